"""AdmissionConfiguration files: what is read of them, what is refused, and what becomes of it in a registry."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from bireme.aio.clock import RealClock, VirtualClock
from bireme.api.errors import ApiError, Forbidden
from bireme.api.scheme import builtin
from bireme.http.interface import Identity
from bireme.registry.admission.configuration import AdmissionConfig, AdmissionConfigError, read_admission_config
from bireme.registry.admission.webhook_logins import NOBODY, Login, Logins
from bireme.registry.options import Call
from bireme.registry.verbs import Registry
from bireme.registry.wiring import build_registry, fill_registry, run_registry
from bireme.store.memory import MemoryStore
from support.webhook_server import HookServer, allow, hook_server

Tree = dict[str, Any]
ANN = Identity("ann", ("system:masters",))
SERVER = "apiserver.config.k8s.io/v1"
PODS = "pod-security.admission.config.k8s.io/v1"
WEBHOOKS = ("MutatingAdmissionWebhook", "ValidatingAdmissionWebhook")
GROUP = "admissionregistration.k8s.io"


def written(folder: Path, name: str, tree: Any) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(tree))
    return path


def file_of(folder: Path, *plugins: Tree) -> Path:
    tree = {"apiVersion": SERVER, "kind": "AdmissionConfiguration", "plugins": list(plugins)}
    return written(folder, "admission.yaml", tree)


def webhook_plugin(name: str, kubeconfig: str) -> Tree:
    said = {"apiVersion": SERVER, "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": kubeconfig}
    return {"name": name, "configuration": said}


def quota_plugin(*limited: Tree) -> Tree:
    said = {"apiVersion": SERVER, "kind": "ResourceQuotaConfiguration", "limitedResources": list(limited)}
    return {"name": "ResourceQuota", "configuration": said}


def security_plugin(**said: Any) -> Tree:
    return {"name": "PodSecurity", "configuration": {"apiVersion": PODS, "kind": "PodSecurityConfiguration", **said}}


@asynccontextmanager
async def opened(config: AdmissionConfig) -> AsyncIterator[Registry]:
    clock = VirtualClock()
    registry = build_registry(MemoryStore(clock=clock), builtin(), clock, random=Random(7), admission=config)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run_registry(registry))
        await fill_registry(registry, advertise_address="192.0.2.1", port=6443)
        account = {"metadata": {"name": "default"}}
        await registry.create(registry.kind("", "v1", "serviceaccounts"), "default", account, Call())
        yield registry
        running.cancel()


async def make(registry: Registry, plural: str, tree: Tree, *, user: Identity = ANN) -> Call:
    call = Call(user)
    await registry.create(registry.kind("", "v1", plural), "default", tree, call)
    return call


@pytest.fixture(scope="module")
def server() -> Any:
    with hook_server() as server:
        yield server


def coded(value: bytes) -> str:
    return base64.b64encode(value).decode()


async def shown_to(server: HookServer, config: AdmissionConfig, kind: str) -> tuple[str, str]:
    """What the server is shown by the webhooks of one kind."""
    async with opened(config) as registry:
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
        hook = {
            "name": "h.example.com",
            "clientConfig": server.on("/allow", allow),
            "rules": [rule],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        place = registry.kind(GROUP, "v1", f"{kind}webhookconfigurations")
        await registry.create(place, "", {"metadata": {"name": "h"}, "webhooks": [hook]}, Call())
        server.shown.clear()
        await make(registry, "configmaps", {"metadata": {"name": "c"}})
        (found,) = server.shown
        return found


async def test_webhooks_are_shown_the_user_of_their_host(tmp_path, server):
    pair = server.authority.issue("apiserver", now=RealClock().now())
    (tmp_path / "token").write_text("from-a-file\n")
    place = f"127.0.0.1:{server.port}"
    certificate = {"client-certificate-data": coded(pair.certificate), "client-key-data": coded(pair.key)}
    cases: list[tuple[str, Tree, tuple[str, str]]] = [
        (place, certificate, ("apiserver", "")),
        (place, {"token": "t"}, ("", "Bearer t")),
        ("*", {"tokenFile": "token"}, ("", "Bearer from-a-file")),
        (f"*.0.0.1:{server.port}", {"username": "u", "password": "p"}, ("", "Basic dTpw")),
        ("*.example.com", {"token": "t"}, ("", "")),
    ]
    for name, user, expected in cases:
        kubeconfig = {"apiVersion": "v1", "kind": "Config", "users": [{"name": name, "user": user}]}
        written(tmp_path, "hooks.kubeconfig", kubeconfig)
        config = read_admission_config(file_of(tmp_path, webhook_plugin(WEBHOOKS[1], "hooks.kubeconfig")))
        assert await shown_to(server, config, "validating") == expected, name
        assert await shown_to(server, config, "mutating") == ("", "")
    config = read_admission_config(file_of(tmp_path, webhook_plugin(WEBHOOKS[0], "hooks.kubeconfig")))
    assert set(config.logins) == {WEBHOOKS[0]}


async def test_a_token_file_that_is_gone_fails_the_call(tmp_path, server):
    users = [{"name": "*", "user": {"tokenFile": "gone"}}]
    written(tmp_path, "k", {"users": users})
    config = read_admission_config(file_of(tmp_path, webhook_plugin(WEBHOOKS[1], "k")))
    with pytest.raises(BaseExceptionGroup) as failure:
        await shown_to(server, config, "validating")
    (error,) = failure.value.exceptions
    assert isinstance(error, ApiError)
    assert "the token file of the webhook's user cannot be read" in error.message


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        pytest.param("hooks.ns.svc", 443, "exact", id="the host, at the usual port"),
        pytest.param("hooks.ns.svc", 8443, "port", id="the host and its port"),
        pytest.param("other.ns.svc", 443, "below", id="a host below"),
        pytest.param("other.ns.svc", 8443, "any", id="a port that nobody names"),
        pytest.param("example.com", 443, "any", id="any other"),
    ],
)
def test_the_most_exact_name_counts(host, port, expected):
    names = {"hooks.ns.svc": "exact", "hooks.ns.svc:8443": "port", "*.ns.svc": "below", "*": "any"}
    logins = Logins({name: Login(authorization=value) for name, value in names.items()})
    assert logins.of(host, port).authorization == expected
    assert Logins().of(host, port) is NOBODY
    assert Logins({}, Login(authorization="current")).of(host, port).authorization == "current"


def pod(**spec: Any) -> Tree:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


async def test_a_standard_holds_where_a_namespace_names_none(tmp_path):
    exemptions = {"usernames": ["bob"], "runtimeClasses": ["vm"], "namespaces": ["kube-system"]}
    defaults = {"enforce": "baseline", "enforce-version": "latest", "warn": "restricted"}
    config = read_admission_config(file_of(tmp_path, security_plugin(defaults=defaults, exemptions=exemptions)))
    async with opened(config) as registry:
        with pytest.raises(Forbidden, match='violates PodSecurity "baseline:latest"'):
            await make(registry, "pods", pod(hostPID=True))
        call = await make(registry, "pods", {**pod(), "metadata": {"name": "warned"}})
        assert any('would violate PodSecurity "restricted:latest"' in text for text in call.warnings)
        bob = Identity("bob", ("system:masters",))
        call = await make(registry, "pods", pod(hostPID=True), user=bob)
        assert call.audit["pod-security.kubernetes.io/exempt"] == "user"
        accounts, pods = registry.kind("", "v1", "serviceaccounts"), registry.kind("", "v1", "pods")
        await registry.create(accounts, "kube-system", {"metadata": {"name": "default"}}, Call())
        await registry.create(pods, "kube-system", pod(hostPID=True), Call(ANN))
        runtime = {"metadata": {"name": "vm"}, "handler": "vm"}
        await registry.create(registry.kind("node.k8s.io", "v1", "runtimeclasses"), "", runtime, Call())
        await make(registry, "pods", {**pod(hostPID=True, runtimeClassName="vm"), "metadata": {"name": "vm"}})
        namespaces = registry.kind("", "v1", "namespaces")
        labels = {"pod-security.kubernetes.io/enforce": "privileged"}
        await registry.create(namespaces, "", {"metadata": {"name": "free", "labels": labels}}, Call())
        await registry.create(accounts, "free", {"metadata": {"name": "default"}}, Call())
        await registry.create(pods, "free", pod(hostPID=True), Call(ANN))


async def test_what_is_limited_needs_a_quota_that_covers_it(tmp_path):
    scope = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
    path = file_of(
        tmp_path,
        quota_plugin(
            {"resource": "pods", "matchScopes": [scope]},
            {"resource": "persistentvolumeclaims", "matchContains": ["gold.storageclass"]},
        ),
    )
    async with opened(read_admission_config(path)) as registry:
        priority = {"metadata": {"name": "high"}, "value": 10}
        await registry.create(registry.kind("scheduling.k8s.io", "v1", "priorityclasses"), "", priority, Call())
        await make(registry, "pods", pod())
        high = {**pod(priorityClassName="high"), "metadata": {"name": "high"}}
        with pytest.raises(Forbidden, match=r"insufficient quota to match these scopes: \[\{PriorityClass In \[high"):
            await make(registry, "pods", high)
        # A quota of another scope changes nothing, and one without scopes neither.
        await quota(registry, "any", pods="5")
        await quota(registry, "low", {"scopeName": "PriorityClass", "operator": "In", "values": ["low"]}, pods="5")
        with pytest.raises(Forbidden, match="insufficient quota to match"):
            await make(registry, "pods", high)
        await quota(registry, "high", scope, pods="1")
        await make(registry, "pods", high)
        with pytest.raises(Forbidden, match="exceeded quota: high"):
            await make(registry, "pods", {**high, "metadata": {"name": "second"}})

        def claim(name: str) -> Tree:
            storage = {"requests": {"storage": "1Gi"}}
            spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": name, "resources": storage}
            return {"metadata": {"name": name}, "spec": spec}

        await make(registry, "persistentvolumeclaims", claim("tin"))
        names = ("gold.storageclass.storage.k8s.io/persistentvolumeclaims,", "gold.storageclass.storage.k8s.io/req")
        with pytest.raises(Forbidden, match=f"insufficient quota to consume: {''.join(names)}"):
            await make(registry, "persistentvolumeclaims", claim("gold"))
        name = "gold.storageclass.storage.k8s.io/"
        await quota(registry, "gold", **{f"{name}persistentvolumeclaims": "1", f"{name}requests.storage": "2Gi"})
        await make(registry, "persistentvolumeclaims", claim("gold"))


async def quota(registry: Registry, name: str, scope: Tree | None = None, **hard: str) -> None:
    spec: Tree = {"hard": hard, **({"scopeSelector": {"matchExpressions": [scope]}} if scope else {})}
    await make(registry, "resourcequotas", {"metadata": {"name": name}, "spec": spec})
    for _ in range(60):  # until it is counted
        await asyncio.sleep(0)


def test_a_plugins_part_may_stand_in_a_file_of_its_own(tmp_path):
    (tmp_path / "own").mkdir()
    own = quota_plugin({"resource": "pods", "matchContains": ["cpu"]})["configuration"]
    written(tmp_path / "own", "quota.yaml", own)
    config = read_admission_config(file_of(tmp_path, {"name": "ResourceQuota", "path": "own/quota.yaml"}))
    assert [one.title for one in config.limited] == ["pods"]
    assert read_admission_config(file_of(tmp_path)) == AdmissionConfig()


@pytest.mark.parametrize(
    ("plugin", "why"),
    [
        pytest.param({"name": "AlwaysAdmit", "configuration": {}}, "takes no configuration", id="an unknown one"),
        pytest.param({"name": "PodSecurity", "path": "nowhere"}, "cannot read", id="no file"),
        pytest.param(security_plugin(defaults={"enforce": "high"}), "a level is one of", id="an unknown level"),
        pytest.param(security_plugin(defaults={"force": "baseline"}), "force is not known", id="an unknown mode"),
        pytest.param(
            {"name": "PodSecurity", "configuration": {"kind": "PodSecurityConfiguration", "apiVersion": "v1"}},
            "'v1' is not known",
            id="another version",
        ),
        pytest.param(quota_plugin({"apiGroup": "apps"}), "KeyError", id="no resource"),
        pytest.param(webhook_plugin(WEBHOOKS[0], "nowhere"), "No such file", id="no kubeconfig"),
        pytest.param(webhook_plugin(WEBHOOKS[0], "exec"), "exec is not supported", id="a user by a program"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, plugin, why):
    written(tmp_path, "exec", {"users": [{"name": "*", "user": {"exec": {"command": "x"}}}]})
    with pytest.raises(AdmissionConfigError, match=why):
        read_admission_config(file_of(tmp_path, plugin))
