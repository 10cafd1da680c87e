"""JSON of messages: lenient in, exact out, never a crash."""

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.mesos import json_form, protocol, wire
from bireme.mesos.json_form import Malformed
from bireme.mesos.messages import EnumType, Field, Message, MessageType, enum, find, message, missing, names
from bireme.mesos.protocol import ContentType

CALL = message(protocol.SCHEDULER_CALL)
_RANGES = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1)}


def values(of: MessageType, depth: int = 0) -> st.SearchStrategy[Message]:
    """Values of a message, a few levels deep."""
    fields = {
        name: _value(field, depth)
        for name, field in of.fields.items()
        if field.is_scalar or isinstance(find(field.type), EnumType) or depth < 3
    }
    return st.fixed_dictionaries({}, optional=fields)


def _value(field: Field, depth: int) -> st.SearchStrategy[Any]:
    one = _one(field, depth)
    if field.map:
        return st.dictionaries(st.text(string.ascii_letters, max_size=4), one, min_size=1, max_size=2)
    return st.lists(one, min_size=1, max_size=2) if field.repeated else one


def _one(field: Field, depth: int) -> st.SearchStrategy[Any]:
    match field.type:
        case "double":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "bool":
            return st.booleans()
        case "string":
            return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        case "bytes":
            return st.binary(max_size=8)
        case "int32" | "uint32" | "int64" | "uint64":
            return st.integers(*_RANGES.get(field.type, (0, 2**64 - 1)))
    kind = find(field.type)
    if isinstance(kind, EnumType):
        return st.sampled_from(sorted(kind.numbers))
    return st.deferred(lambda: values(kind, depth + 1))


def without_defaults(value: Message, of: MessageType) -> Message:
    """The value with what JSON fills in also filled in."""
    return json_form.read(json_form.write(value, of), of)


def test_every_message_of_the_table_can_be_read() -> None:
    assert len(names()) > 390
    for name in names():
        find(name)


def test_enums_and_messages_are_looked_up_from_inside_out() -> None:
    fields = message("mesos.v1.scheduler.Call.Reconcile").fields
    assert fields["tasks"].type == "mesos.v1.scheduler.Call.Reconcile.Task"
    assert message("mesos.v1.Resource").fields["type"].type == "mesos.v1.Value.Type"
    assert enum("mesos.v1.TaskState").numbers["TASK_STAGING"] == 6


@given(values(CALL))
@settings(max_examples=60, deadline=None)
def test_json_and_protobuf_say_the_same(value: Message) -> None:
    assert wire.parse(wire.dump(value, CALL), CALL) == value
    filled = without_defaults(value, CALL)
    assert json_form.parse(json_form.dump(value, CALL), CALL) == filled
    assert json_form.parse(json_form.dump(filled, CALL), CALL) == filled


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_no_bytes_crash_the_readers(data: bytes) -> None:
    for content_type in ContentType:
        try:
            protocol.decode(data, protocol.SCHEDULER_CALL, content_type)
        except Malformed:
            pass


@given(values(CALL), st.data())
@settings(max_examples=60, deadline=None)
def test_a_cut_or_spoilt_message_is_refused_or_read(value: Message, data: st.DataObject) -> None:
    encoded = bytearray(wire.dump(value, CALL))
    if not encoded:
        return
    place = data.draw(st.integers(0, len(encoded) - 1))
    for broken in (encoded[:place], bytes([*encoded[:place], encoded[place] ^ 0xFF, *encoded[place + 1 :]])):
        try:
            wire.parse(bytes(broken), CALL)
        except Malformed:
            pass


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*CALL.fields, "value", "x"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
@settings(max_examples=300, deadline=None)
def test_no_tree_crashes_the_reader(tree: Any) -> None:
    try:
        missing(json_form.read(tree, CALL), CALL)
    except Malformed:
        pass


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        pytest.param({"port": "8080"}, {"port": 8080}, id="numbers may be text"),
        pytest.param({"port": 8080.0}, {"port": 8080}, id="whole floats are numbers"),
        pytest.param({"port": None, "other": 1}, {}, id="nulls and unknown keys are skipped"),
    ],
)
def test_lenient_reading(tree: Any, expected: Message) -> None:
    assert json_form.read(tree, message("mesos.v1.Address")) == expected


@pytest.mark.parametrize(
    ("name", "tree", "reason"),
    [
        ("Address", {"port": "x"}, "Not expecting a JSON string for field 'port'"),
        ("Address", {"port": 2**40}, "Not expecting a JSON number for field 'port'"),
        ("Address", {"port": {}}, "Not expecting a JSON object for field 'port'"),
        ("Secret.Value", {"data": "_-_-"}, "Failed to base64 decode bytes field 'data'"),
        ("TaskStatus", {"state": "TASK_DANCING"}, "Failed to find enum for 'TASK_DANCING'"),
    ],
)
def test_what_is_refused(name: str, tree: Any, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        json_form.read(tree, message(f"mesos.v1.{name}"))


def test_an_unknown_name_leaves_an_optional_enum_unset() -> None:
    assert json_form.read({"type": "NO_SUCH_CALL"}, CALL) == {}


def test_stated_defaults_are_written_but_deprecated_ones_are_not() -> None:
    info = json_form.write({"user": "u", "name": "n"}, message("mesos.v1.FrameworkInfo"))
    assert info == {"user": "u", "name": "n", "failover_timeout": 0.0, "checkpoint": False}


def test_infinity_is_text() -> None:
    scalar = message("mesos.v1.Value.Scalar")
    assert json_form.write({"value": float("inf")}, scalar) == {"value": "Infinity"}
    assert json_form.read({"value": "Infinity"}, scalar) == {"value": float("inf")}


def test_nesting_is_bounded() -> None:
    tree: Any = {"value": "x"}
    for _ in range(200):
        tree = {"value": "x", "parent": tree}
    with pytest.raises(Malformed, match="nested too deep"):
        json_form.read(tree, message("mesos.v1.ContainerID"))


def test_missing_fields_are_named_by_path() -> None:
    call = json_form.read({"type": "SUBSCRIBE", "subscribe": {"framework_info": {"name": "x"}}}, CALL)
    assert missing(call, CALL) == ["subscribe.framework_info.user"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", ContentType.JSON),
        ("*/*", ContentType.JSON),
        ("application/x-protobuf", ContentType.PROTOBUF),
        ("application/json;q=0, application/*", ContentType.PROTOBUF),
        ("text/html", None),
        ("application/json;q=nonsense", None),
    ],
)
def test_the_accept_header(accept: str, expected: ContentType | None) -> None:
    assert protocol.acceptable(accept) is expected
