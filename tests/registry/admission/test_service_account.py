from typing import Any

import pytest

from bireme.api.errors import Forbidden
from bireme.api.scheme import builtin
from bireme.registry.admission.chain import Attributes
from bireme.registry.admission.service_account import MOUNT_PATH, ServiceAccount
from bireme.registry.kinds import Kinds
from bireme.registry.options import Call
from support.admission import Lookup, put_before


class Accounts:
    """Knows the accounts that it is given, by name."""

    def __init__(self, **accounts: dict[str, Any]) -> None:
        self._accounts = accounts

    def find(self, group: str, version: str, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self._accounts.get(name)

    def every(self, group: str, version: str, plural: str, namespace: str = "") -> list[dict[str, Any]]:
        return list(self._accounts.values())


DEFAULT = {"metadata": {"name": "default", "uid": "u-1"}}


async def admitted(accounts: Accounts, **spec: Any) -> dict[str, Any]:
    kind = Kinds(builtin()).at("", "v1", "pods")
    assert kind is not None
    tree = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], **spec}}
    await ServiceAccount(accounts).admit(Attributes("CREATE", kind, "default", "p", tree, None, Call()))
    made: dict[str, Any] = tree["spec"]
    return made


async def test_pods_of_one_account_get_the_same_volume() -> None:
    accounts = Accounts(default=DEFAULT)
    first, second = await admitted(accounts), await admitted(accounts)
    assert first == second
    (volume,) = first["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    mount = {"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}
    assert first["containers"][0]["volumeMounts"] == [mount]


async def test_a_container_that_came_later_shares_the_volume_of_the_first() -> None:
    accounts = Accounts(default=DEFAULT)
    first = await admitted(accounts)
    copy = await admitted(accounts, volumes=first["volumes"], containers=[*first["containers"], {"name": "debugger"}])
    names = [volume["name"] for volume in copy["volumes"]]
    assert len(names) == 1
    assert [container["volumeMounts"][0]["name"] for container in copy["containers"]] == names * 2


async def test_an_account_may_keep_its_token() -> None:
    accounts = Accounts(default={**DEFAULT, "automountServiceAccountToken": False})
    assert "volumes" not in await admitted(accounts)


async def test_a_missing_account_is_refused() -> None:
    with pytest.raises(Forbidden, match='serviceaccount "nope" not found'):
        await admitted(Accounts(), serviceAccountName="nope")


BOUND = {
    "metadata": {"name": "default", "uid": "u-1", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
    "secrets": [{"name": "mine"}],
    "imagePullSecrets": [{"name": "pull"}],
    "automountServiceAccountToken": False,
}


def debugger(**more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c"}], "ephemeralContainers": [{"name": "e", **more}]}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}, 'volume with secret.secretName="x"'),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "x"}}]}}]},
            'volume with secret.secretName="x"',
        ),
        (
            {"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "x"}}]}]},
            'container c with envFrom referencing secret.secretName="x"',
        ),
        (
            {"initContainers": [{"name": "i", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "x"}}}]}]},
            'init container i with envVar E referencing secret.secretName="x"',
        ),
        (debugger(envFrom=[{"secretRef": {"name": "x"}}]), "ephemeral container e with envFrom referencing"),
        ({"imagePullSecrets": [{"name": "x"}]}, 'imagePullSecrets[0].name="x" is not allowed'),
        ({"volumes": [{"name": "v", "secret": {"secretName": "mine"}}]}, ""),
    ],
)
async def test_an_account_may_bind_its_pods_to_its_secrets(spec: dict[str, Any], text: str) -> None:
    tree = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], **spec}}
    plugin = ServiceAccount(Lookup(serviceaccounts=[BOUND]))
    if not text:
        await put_before(plugin, "pods", tree)
        return
    with pytest.raises(Forbidden) as refusal:
        await put_before(plugin, "pods", tree)
    assert text in refusal.value.message


async def test_debuggers_are_bound_too() -> None:
    plugin = ServiceAccount(Lookup(serviceaccounts=[BOUND]))
    old = {"metadata": {"name": "p"}, "spec": {"serviceAccountName": "default", **debugger()}}
    new = {**old, "spec": {**old["spec"], **debugger(envFrom=[{"secretRef": {"name": "x"}}])}}
    with pytest.raises(Forbidden, match="ephemeral container e with envFrom"):
        await put_before(plugin, "pods", new, old=old, subresource="ephemeralcontainers")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"serviceAccountName": "a"}, "may not reference service accounts"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}, "may not reference secrets"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {}}]}}]},
            "may not use ServiceAccountToken",
        ),
    ],
)
async def test_mirror_pods_ask_for_nothing(spec: dict[str, Any], text: str) -> None:
    tree = {"metadata": {"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": spec}
    with pytest.raises(Forbidden, match=text):
        await put_before(ServiceAccount(Lookup()), "pods", tree)
