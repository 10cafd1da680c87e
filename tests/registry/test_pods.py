"""Bindings: what the quick way writes is what the tree would have given."""

import asyncio
import copy
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api.errors import Conflict
from bireme.api.kinds import core
from bireme.api.scheme import builtin
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.pods import Bind, bind, bind_all, bind_tree, bound
from bireme.registry.record import decode, encode

POD = builtin().of_type(core.Pod)
NOW = "2026-01-01T00:00:00Z"
texts = st.text(max_size=12)
owner = {
    "manager": "m",
    "operation": "Update",
    "apiVersion": "v1",
    "time": NOW,
    "fieldsType": "FieldsV1",
    "fieldsV1": {"f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}}}}},
}
conditions = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["PodScheduled", "Ready"]), "status": st.sampled_from(["True", "False"])},
        optional={"reason": texts, "message": texts, "lastTransitionTime": st.just("2025-01-01T00:00:00Z")},
    ),
    max_size=2,
    unique_by=lambda each: each["type"],
)
pods = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"name": texts, "uid": st.just("u")},
            optional={
                "labels": st.dictionaries(texts, texts, max_size=2),
                "managedFields": st.just([owner]),
                "deletionTimestamp": st.just(NOW),
            },
        ),
        "spec": st.fixed_dictionaries(
            {"containers": st.just([{"name": "c", "image": "i", "env": [{"name": "E", "value": '"spec":{'}]}])},
            optional={"nodeName": texts, "schedulingGates": st.just([{"name": "g"}]), "hostname": texts},
        ),
        "status": st.fixed_dictionaries(
            {"phase": st.just("Pending")}, optional={"conditions": conditions, "nominatedNodeName": texts}
        ),
    }
)


said = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(texts, texts, max_size=2),
        "annotations": st.dictionaries(texts, texts, max_size=2),
    },
)


@given(tree=pods, node=texts.filter(bool), uid=st.sampled_from(["", "u", "other"]), said=said)
def test_bytes_come_out_as_the_tree_does(tree: dict[str, Any], node: str, uid: str, said: dict[str, Any]) -> None:
    value = encode(POD, tree)
    quick = bound(value, node, said, uid=uid, now=NOW)
    metadata, spec = tree["metadata"], tree["spec"]
    odd = "nodeName" in spec or "schedulingGates" in spec or "deletionTimestamp" in metadata or uid == "other"
    odd = odd or [field for field in tree if field != "metadata"] != ["spec", "status"]
    if quick is None:
        assert odd
        return
    assert not odd
    long = decode(value)
    bind_tree(long, node, said, now=NOW)
    assert quick == encode(POD, long)


@pytest.mark.parametrize(
    "binding",
    [
        pytest.param({}, id="plain"),
        pytest.param({"metadata": {"labels": {"a": "b"}}}, id="with labels"),
    ],
)
async def test_a_pod_is_bound_once(opened, binding):
    async with opened() as registry:
        kind = registry.kind("", "v1", "pods")
        tree = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        uid = (await registry.create(kind, "default", tree, Call())).tree()["metadata"]["uid"]
        binding = {**binding, "metadata": {**binding.get("metadata", {}), "uid": uid}}
        await bind(registry, kind, "default", "p", {**binding, "target": {"name": "n1"}}, Call())
        bound_pod = orjson.loads(orjson.dumps(registry.find("", "v1", "pods", "default", "p")))
        assert bound_pod["spec"]["nodeName"] == "n1"
        assert [each["status"] for each in bound_pod["status"]["conditions"]] == ["True"]
        with pytest.raises(Conflict, match="already assigned"):
            await bind(registry, kind, "default", "p", {**binding, "target": {"name": "n2"}}, Call())


class Deed(NamedTuple):
    """A binding, and whether its pod is made, bound before, or held back."""

    pod: str
    state: str
    said: dict[str, Any]


states = st.sampled_from(["waits", "waits", "missing", "bound", "gated", "going"])
sayings = st.sampled_from(
    [
        {"target": {"name": "n1"}},
        {"target": {"kind": "Node", "name": "zoned"}},
        {"target": {"name": "n1"}, "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}},
        {"target": {"name": "n1"}, "metadata": {"uid": "another"}},
        {"target": {"kind": "Pod", "name": "n1"}},
        {"target": {}},
    ]
)
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/binding"], "operations": ["CREATE"]}
POLICY = {
    "matchConstraints": {"resourceRules": [RULE]},
    "validations": [{"expression": "object.target.name != 'zoned'"}],
}


async def watched_over(registry: Any) -> None:
    """Have a policy look at each binding."""
    group, version, name = "admissionregistration.k8s.io", "v1", {"name": "not-there"}
    policies = registry.kind(group, version, "validatingadmissionpolicies")
    bindings = registry.kind(group, version, "validatingadmissionpolicybindings")
    await registry.create(policies, "", {"metadata": dict(name), "spec": copy.deepcopy(POLICY)}, Call())
    said = {"policyName": "not-there", "validationActions": ["Deny"]}
    await registry.create(bindings, "", {"metadata": dict(name), "spec": said}, Call())


async def outcome_of(opened: Any, deeds: list[Deed], *, together: bool, asked: bool) -> list[Any]:
    """What came of bindings, and the pods after them."""
    async with opened() as registry:
        kind = registry.kind("", "v1", "pods")
        zone = {"topology.kubernetes.io/zone": "z"}
        nodes = registry.kind("", "v1", "nodes")
        await registry.create(nodes, "", {"metadata": {"name": "zoned", "labels": zone}}, Call())
        for name, state in {deed.pod: deed.state for deed in reversed(deeds)}.items():
            await settled(registry, name, state)
        if asked:
            await watched_over(registry)
        binds = [Bind("default", deed.pod, copy.deepcopy(deed.said)) for deed in deeds]
        if together:
            errors = await bind_all(registry, kind, binds, Call())
        else:
            errors = [(await bind_all(registry, kind, [each], Call()))[0] for each in binds]
        items = registry.store.range(kind.key_prefix)
        return [*(item.value for item in items), *(error and (type(error), str(error)) for error in errors)]


async def settled(registry: Any, name: str, state: str) -> None:
    """Have the pod stand like that."""
    kind, spec = registry.kind("", "v1", "pods"), {"containers": [{"name": "c", "image": "i"}]}
    if state == "missing":
        return
    if state == "gated":
        spec["schedulingGates"] = [{"name": "g"}]
    metadata = {"name": name, "finalizers": ["a/b"]} if state == "going" else {"name": name}
    await registry.create(kind, "default", {"metadata": metadata, "spec": spec}, Call())
    if state == "bound":
        await bind(registry, kind, "default", name, {"target": {"name": "n0"}}, Call())
    if state == "going":
        await registry.delete(kind, "default", name, DeleteOptions(), Call())


@given(
    deeds=st.lists(st.builds(Deed, st.sampled_from("abcd"), states, sayings), max_size=6),
    asked=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_bindings_of_one_call_come_out_as_one_after_the_other(opened_now, deeds, asked):
    if asked:  # then they go side by side, and of two for one pod either may be the first
        deeds = list({deed.pod: deed for deed in deeds}.values())

    async def compared() -> None:
        whole = await outcome_of(opened_now, deeds, together=True, asked=asked)
        assert whole == await outcome_of(opened_now, deeds, together=False, asked=asked)

    asyncio.run(compared())


async def test_bindings_of_one_call_are_one_commit(opened):
    async with opened() as registry:
        kind, names = registry.kind("", "v1", "pods"), ["a", "b", "c"]
        for name in names:
            await settled(registry, name, "waits")
        before = registry.store.statistics().commits
        binds = [Bind("default", name, {"target": {"name": "n1"}}) for name in names]
        assert await bind_all(registry, kind, binds, Call()) == [None] * 3
        assert registry.store.statistics().commits == before + 1


@pytest.mark.parametrize("asked", [False, True], ids=["by nobody", "by a policy"])
async def test_a_binding_is_refused_alone(opened, asked):
    async with opened() as registry:
        kind = registry.kind("", "v1", "pods")
        for name in ("a", "c"):
            await settled(registry, name, "waits")
        await settled(registry, "b", "waits" if asked else "bound")
        if asked:
            await watched_over(registry)
        targets = {"a": "n1", "b": "zoned", "c": "n1"}
        binds = [Bind("default", name, {"target": {"name": node}}) for name, node in targets.items()]
        errors = await bind_all(registry, kind, binds, Call())
        assert [error is None for error in errors] == [True, False, True]
        assert registry.find("", "v1", "pods", "default", "c")["spec"]["nodeName"] == "n1"
