"""Bindings: what the quick way writes is what the tree would have given."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.errors import Conflict
from bireme.api.kinds import core
from bireme.api.scheme import builtin
from bireme.registry.options import Call
from bireme.registry.pods import bind, bind_tree, bound
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


@given(tree=pods, node=texts.filter(bool), uid=st.sampled_from(["", "u", "other"]))
def test_bytes_come_out_as_the_tree_does(tree: dict[str, Any], node: str, uid: str) -> None:
    value = encode(POD, tree)
    quick = bound(value, node, uid=uid, now=NOW)
    metadata, spec = tree["metadata"], tree["spec"]
    odd = "nodeName" in spec or "schedulingGates" in spec or "deletionTimestamp" in metadata or uid == "other"
    odd = odd or [field for field in tree if field != "metadata"] != ["spec", "status"]
    if quick is None:
        assert odd
        return
    assert not odd
    long = decode(value)
    bind_tree(long, node, {}, now=NOW)
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
