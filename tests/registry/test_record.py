from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.codec.shared import decode_shared
from bireme.api.kinds import core
from bireme.api.scheme import builtin
from bireme.registry.headers import HeaderReader
from bireme.registry.record import encode, prefix_of, stamp

POD = builtin().of_kind("", "v1", "Pod")
KEY = "/registry/core/pods/default/a"


def test_the_version_is_put_in_on_the_way_out():
    tree = {"spec": {}, "metadata": {"name": "a", "resourceVersion": "3"}, "apiVersion": "v1", "kind": "Pod"}
    value = encode(POD, tree)
    assert b"resourceVersion" not in value
    assert value.startswith(prefix_of(POD))
    assert orjson.loads(stamp(value, 7, prefix_of(POD)))["metadata"] == {"resourceVersion": "7", "name": "a"}
    elsewhere = orjson.dumps({"metadata": {"name": "a"}, "kind": "Pod"})
    assert orjson.loads(stamp(elsewhere, 7, prefix_of(POD)))["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize(
    ("tree", "field", "expected"),
    [
        ({"spec": {"nodeName": "n"}}, "spec.nodeName", "n"),
        ({"spec": None}, "spec.nodeName", ""),
        ({}, "spec.hostNetwork", "false"),
        ({"spec": {"hostNetwork": True}}, "spec.hostNetwork", "true"),
        ({"status": {"podIPs": [{"ip": "1.2.3.4"}, {"ip": "::1"}]}}, "status.podIPs", "1.2.3.4,::1"),
    ],
)
def test_headers_hold_the_selectable_fields(tree, field, expected):
    record = HeaderReader(POD).read(KEY, encode(POD, {"metadata": {"name": "a"}, **tree}), 3)
    assert record.fields[POD.fields.index(field)] == expected


def test_an_object_that_cannot_be_read_keeps_its_name():
    record = HeaderReader(POD).read(KEY, b'{"metadata":{"labels":7', 3)
    assert (record.namespace, record.name, record.labels) == ("default", "a", {})


PLACES = {
    "spec": ("nodeName", "restartPolicy", "schedulerName", "unschedulable", "clusterIP", "hostNetwork"),
    "status": ("phase", "podIP", "replicas", "succeeded", "nominatedNodeName"),
    "involvedObject": ("kind", "name", "uid"),
    "source": ("component",),
}
FLAGS, NUMBERS = ("unschedulable", "hostNetwork"), ("replicas", "succeeded")
UNSET = {"spec.unschedulable": "false", "spec.hostNetwork": "false"}
ZERO = {"status.replicas", "status.successful"}


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """Objects that say something, nothing or null at the places that fields are read from."""
    tree: dict[str, Any] = {}
    for branch, leaves in PLACES.items():
        values = {}
        for leaf in leaves:
            said = (
                st.booleans()
                if leaf in FLAGS
                else st.integers(0, 2)
                if leaf in NUMBERS
                else st.sampled_from(["", "a", "1"])
            )
            value = draw(st.just(...) | st.none() | said)
            if value is not ...:
                values[leaf] = value
        tree |= draw(st.sampled_from([{branch: values}, {branch: None}, {}]))
    tree |= draw(st.sampled_from([{}, {"reason": "r"}, {"reportingComponent": "c"}, {"type": None}]))
    if tree.get("status"):
        tree["status"] |= draw(st.sampled_from([{}, {"podIPs": None}, {"podIPs": [{"ip": "1"}, {"ip": "2"}]}]))
    return tree


def field_of(tree: dict[str, Any], name: str) -> str:
    """A field by the slow way: step by step through the tree."""
    if name == "source":
        return (tree.get("source") or {}).get("component") or tree.get("reportingComponent") or ""
    at: Any = tree
    for step in name.replace("successful", "succeeded").split("."):
        at = at.get(step) if at is not None else None
    if at is None:
        return "0" if name in ZERO else UNSET.get(name, "")
    if isinstance(at, list):
        return ",".join(each["ip"] for each in at)
    return str(at).lower() if isinstance(at, bool) else str(at)


READERS = {kind: HeaderReader(builtin().of_kind("", "v1", kind)) for kind in ("Pod", "Event", "Node", "Service")}
READERS["Job"] = HeaderReader(builtin().of_kind("batch", "v1", "Job"))


@given(st.sampled_from(list(READERS)), st.lists(trees(), max_size=4))
def test_fields_read_the_same_whatever_was_read_before(kind: str, several: list[dict[str, Any]]) -> None:
    reader = READERS[kind]
    for tree in several:
        record = reader.read(KEY, orjson.dumps({**tree, "metadata": {"name": "a"}}), 3)
        assert record.fields == tuple(field_of(tree, name) for name in reader.field_names)


LABELS = st.sampled_from([{}, {"app": "x"}, {"app": "x", "tier": "y"}])


@given(st.lists(st.tuples(trees(), LABELS), max_size=4))
def test_a_header_reads_the_same_from_bytes_and_from_the_struct(several: list[tuple[dict[str, Any], Any]]) -> None:
    reader = READERS["Pod"]
    for tree, labels in several:
        said = {name: tree[name] for name in ("spec", "status") if name in tree}
        value = orjson.dumps({**said, "metadata": {"name": "a", "namespace": "default", "labels": labels}})
        pod = decode_shared(core.Pod, value)
        record = reader.read_struct(KEY, value, 3, pod)
        assert record.struct is pod
        record.struct = None
        assert msgspec.structs.asdict(record) == msgspec.structs.asdict(reader.read(KEY, value, 3))
