import orjson
import pytest

from bireme.api.scheme import builtin
from bireme.registry.record import HeaderReader, encode, prefix_of, stamp

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
