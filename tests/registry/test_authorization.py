"""Who may do what in a registry with its default roles: users by bindings, nodes by their pods."""

from typing import Any

import pytest

from bireme.api.errors import Forbidden, Invalid
from bireme.http.interface import Identity
from bireme.registry.access import Attempt
from bireme.registry.options import NOBODY, Call
from bireme.registry.verbs import Registry

GROUP = "rbac.authorization.k8s.io"
ANN = Identity("ann", ("devs", "system:authenticated"))
NODE = Identity("system:node:n1", ("system:nodes", "system:authenticated"))


async def make(registry: Registry, plural: str, tree: dict[str, Any], *, by: Identity = NOBODY) -> None:
    namespace = tree["metadata"].get("namespace", "")
    await registry.create(registry.kind(GROUP, "v1", plural), namespace, tree, Call(user=by))


def role(name: str, *rules: dict[str, Any], namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"metadata": metadata, "rules": list(rules)}


def binding(name: str, kind: str, to: str, *subjects: dict[str, Any], namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {
        "metadata": metadata,
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": to},
        "subjects": list(subjects),
    }


def group(name: str) -> dict[str, Any]:
    return {"kind": "Group", "name": name, "apiGroup": GROUP}


def may(registry: Registry, user: Identity, verb: str, resource: str, **more: Any) -> bool:
    return registry.authorizer.decide(user, Attempt(verb, resource=resource, **more)).allowed


async def settled(registry: Registry) -> None:
    await registry.cache.wait_fresh(registry.store.revision)


async def test_a_binding_gives_its_role_in_its_namespace_until_it_goes(opened) -> None:
    async with opened() as registry:
        await make(registry, "rolebindings", binding("b", "ClusterRole", "view", group("devs"), namespace="default"))
        await settled(registry)
        assert may(registry, ANN, "list", "pods", namespace="default")
        assert not may(registry, ANN, "list", "pods", namespace="other")
        assert not may(registry, ANN, "list", "pods")
        assert not may(registry, ANN, "get", "secrets", namespace="default", name="s")
        decision = registry.authorizer.decide(ANN, Attempt("list", resource="pods", namespace="default"))
        assert decision.reason == ('RBAC: allowed by RoleBinding "b/default" of ClusterRole "view" to Group "devs"')
        kind = registry.kind(GROUP, "v1", "rolebindings")
        tree = dict(registry.find(GROUP, "v1", "rolebindings", "default", "b") or {})
        await registry.update(kind, "default", "b", {**tree, "subjects": [group("ops")]}, Call())
        await settled(registry)
        assert not may(registry, ANN, "list", "pods", namespace="default")


async def test_a_role_that_changes_counts_at_once_and_a_missing_one_is_told(opened) -> None:
    async with opened() as registry:
        await make(registry, "clusterrolebindings", binding("b", "ClusterRole", "own", group("devs")))
        await settled(registry)
        decision = registry.authorizer.decide(ANN, Attempt("get", resource="pods"))
        assert decision.reason == f'RBAC: clusterrole.{GROUP} "own" not found'
        rules = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}
        await make(registry, "clusterroles", role("own", rules))
        await settled(registry)
        assert may(registry, ANN, "get", "pods", name="a", namespace="x")
        assert not may(registry, ANN, "get", "pods", name="b", namespace="x")
        assert not may(registry, ANN, "list", "pods", namespace="x")


async def test_service_accounts_are_bound_by_name_and_namespace(opened) -> None:
    async with opened() as registry:
        subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
        await make(registry, "rolebindings", binding("b", "ClusterRole", "edit", subject, namespace="default"))
        await settled(registry)
        mine = Identity("system:serviceaccount:default:robot", ("system:serviceaccounts",))
        other = Identity("system:serviceaccount:other:robot", ("system:serviceaccounts",))
        assert may(registry, mine, "create", "pods", namespace="default")
        assert not may(registry, other, "create", "pods", namespace="default")


@pytest.mark.parametrize(
    ("plural", "tree", "lacking"),
    [
        pytest.param(
            "clusterroles",
            role("r", {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}),
            'Resources:["secrets"]',
            id="a role that holds more",
        ),
        pytest.param(
            "clusterrolebindings",
            binding("b", "ClusterRole", "cluster-admin", group("devs")),
            'Verbs:["*"]',
            id="a binding to a role that holds more",
        ),
        pytest.param(
            "clusterroles",
            {**role("r"), "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}},
            'Verbs:["*"]',
            id="a role that gathers others",
        ),
    ],
)
async def test_c27_nobody_gives_on_what_he_does_not_hold(opened, plural, tree, lacking) -> None:
    async with opened() as registry:
        manage = {"verbs": ["*"], "apiGroups": [GROUP], "resources": ["clusterroles/x", "clusterrolebindings"]}
        write = {"verbs": ["create", "update"], "apiGroups": [GROUP], "resources": ["clusterroles"]}
        await make(registry, "clusterroles", role("manager", manage, write))
        await make(registry, "clusterrolebindings", binding("m", "ClusterRole", "manager", group("devs")))
        await settled(registry)
        with pytest.raises(Forbidden) as refused:
            await make(registry, plural, tree, by=ANN)
        assert 'user "ann" (groups=["devs" "system:authenticated"]) is attempting to grant' in str(refused.value)
        assert lacking in str(refused.value)


@pytest.mark.parametrize(("verb", "plural"), [("escalate", "clusterroles"), ("bind", "clusterrolebindings")])
async def test_c27_the_verbs_that_let_one_give_more(opened, verb, plural) -> None:
    async with opened() as registry:
        power = {"verbs": [verb], "apiGroups": [GROUP], "resources": ["clusterroles"]}
        await make(registry, "clusterroles", role("power", power))
        await make(registry, "clusterrolebindings", binding("p", "ClusterRole", "power", group("devs")))
        await settled(registry)
        tree = {
            "clusterroles": role("r", {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}),
            "clusterrolebindings": binding("b", "ClusterRole", "view", group("x")),
        }[plural]
        await make(registry, plural, tree, by=ANN)


async def test_a_bindings_role_stays(opened) -> None:
    async with opened() as registry:
        await make(registry, "clusterrolebindings", binding("b", "ClusterRole", "view", group("devs")))
        tree = dict(registry.find(GROUP, "v1", "clusterrolebindings", "", "b") or {})
        changed = {**tree, "roleRef": {**tree["roleRef"], "name": "edit"}}
        with pytest.raises(Invalid, match="cannot change roleRef"):
            await registry.update(registry.kind(GROUP, "v1", "clusterrolebindings"), "", "b", changed, Call())


async def test_admin_edit_and_view_are_gathered_from_the_start(opened) -> None:
    async with opened() as registry:
        for name, wanted in (("admin", "roles"), ("edit", "configmaps"), ("view", "pods")):
            found = registry.find(GROUP, "v1", "clusterroles", "", name) or {}
            assert any(wanted in rule["resources"] for rule in found["rules"]), name


POD = {
    "metadata": {"name": "p"},
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": "default",
        "containers": [
            {
                "name": "c",
                "image": "i",
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "from-env", "key": "k"}}}],
                "envFrom": [{"configMapRef": {"name": "all"}}],
            }
        ],
        "volumes": [
            {"name": "s", "secret": {"secretName": "in-volume"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "p", "projected": {"sources": [{"configMap": {"name": "projected"}}]}},
        ],
    },
}


@pytest.mark.parametrize(
    ("verb", "resource", "more", "allowed"),
    [
        ("get", "secrets", {"name": "from-env"}, True),
        ("get", "secrets", {"name": "in-volume"}, True),
        ("get", "secrets", {"name": "other"}, False),
        ("list", "secrets", {}, False),
        ("watch", "secrets", {"fields": (("metadata.name", "in-volume"),)}, True),
        ("get", "configmaps", {"name": "all"}, True),
        ("get", "configmaps", {"name": "projected"}, True),
        ("get", "configmaps", {"name": "other"}, False),
        ("get", "persistentvolumeclaims", {"name": "claim"}, True),
        ("create", "serviceaccounts", {"name": "default", "subresource": "token"}, True),
        ("create", "serviceaccounts", {"name": "other", "subresource": "token"}, False),
        ("get", "pods", {"name": "p"}, True),
        ("get", "pods", {"name": "q"}, False),
        ("list", "pods", {"fields": (("spec.nodeName", "n1"),)}, True),
        ("list", "pods", {"fields": (("spec.nodeName", "n2"),)}, False),
        ("list", "pods", {}, False),
        ("delete", "secrets", {"name": "in-volume"}, False),
        ("create", "deployments", {"group": "apps"}, False),
    ],
)
async def test_a_node_sees_what_its_pods_need(opened, verb, resource, more, allowed) -> None:
    async with opened() as registry:
        await registry.create(registry.kind("", "v1", "pods"), "default", POD, Call())
        await settled(registry)
        assert may(registry, NODE, verb, resource, namespace="default", **more) is allowed
        assert not may(registry, Identity("system:node:n1"), verb, resource, namespace="default", **more)


@pytest.mark.parametrize(
    ("verb", "name", "allowed"),
    [("get", "n1", True), ("get", "n2", False), ("update", "n2", False), ("create", "", True)],
)
async def test_a_node_sees_itself(opened, verb, name, allowed) -> None:
    async with opened() as registry:
        assert may(registry, NODE, verb, "nodes", name=name) is allowed
        lease = {"group": "coordination.k8s.io", "namespace": "kube-node-lease"}
        assert may(registry, NODE, verb, "leases", name=name, **lease) is allowed
