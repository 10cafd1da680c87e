from random import Random
from typing import Any

import pytest

from bireme.api.errors import Forbidden
from bireme.api.scheme import builtin
from bireme.registry.admission.chain import Attributes
from bireme.registry.admission.service_account import MOUNT_PATH, ServiceAccount
from bireme.registry.kinds import Kinds
from bireme.registry.options import Call


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
    await ServiceAccount(accounts, Random(1)).admit(Attributes("CREATE", kind, "default", "p", tree, None, Call()))
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


async def test_a_copy_of_a_pod_gets_a_volume_beside_that_of_the_first() -> None:
    accounts = Accounts(default=DEFAULT)
    first = await admitted(accounts)
    copy = await admitted(accounts, volumes=first["volumes"], containers=[*first["containers"], {"name": "debugger"}])
    names = [volume["name"] for volume in copy["volumes"]]
    assert len(set(names)) == 2
    assert [container["volumeMounts"][0]["name"] for container in copy["containers"]] == names


async def test_an_account_may_keep_its_token() -> None:
    accounts = Accounts(default={**DEFAULT, "automountServiceAccountToken": False})
    assert "volumes" not in await admitted(accounts)


async def test_a_missing_account_is_refused() -> None:
    with pytest.raises(Forbidden, match='serviceaccount "nope" not found'):
        await admitted(Accounts(), serviceAccountName="nope")
