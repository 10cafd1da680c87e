import base64
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api import schema
from bireme.api.codec import protobuf
from bireme.api.codec import protobuf_encoder as encoder
from bireme.api.codec.protobuf_fields import BY_HAND, MAGIC, META, SCALARS, Field, message_of, messages
from bireme.api.scheme import Resource, builtin
from bireme.api.shape import Form, Node
from bireme.api.times import parse_time, rfc3339_micro
from support.trees import grow

GOLDEN = (Path(__file__).parent / "kubectl-requests.txt").read_text().splitlines()[1:]
# What a definition of a kind holds cannot be grown from its schema: it is tried below.
KINDS = [
    each
    for each in builtin().resources()
    if each.kind != "CustomResourceDefinition" and message_of(each.api_version, each.kind)
]
TYPES = descriptor_pb2.FieldDescriptorProto
# Fields whose numbers are not published yet.
UNWRITTEN = {"scheduling", "derivedAttributes", "compatibilityGroups", "runningInUserNamespace"}
WIRE = {
    "string": TYPES.TYPE_STRING,
    "bytes": TYPES.TYPE_BYTES,
    "bool": TYPES.TYPE_BOOL,
    "int32": TYPES.TYPE_INT32,
    "int64": TYPES.TYPE_INT64,
    "double": TYPES.TYPE_DOUBLE,
}


@pytest.mark.parametrize("line", GOLDEN, ids=lambda line: line.rpartition(" ")[0])
def test_bytes_are_those_that_go_writes(line: str) -> None:
    sent = base64.b64decode(line.rpartition(" ")[2])
    assert encoder.encode(protobuf.decode(sent)) == sent


# An independent reader: the protobuf library, told of our messages by descriptors.


@cache
def pool() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="kubernetes", package="k", syntax="proto2")
    for name, fields in messages().items():
        message = file.message_type.add(name=flat(name))
        for field in fields.values():
            entry = message.field.add(name=f"f{field.number}", number=field.number)
            many = field.repeated or field.key
            entry.label = TYPES.LABEL_REPEATED if many else TYPES.LABEL_OPTIONAL
            if field.key:
                pair = message.nested_type.add(name=f"F{field.number}Entry")
                pair.options.map_entry = True
                pair.field.add(name="key", number=1, type=TYPES.TYPE_STRING, label=TYPES.LABEL_OPTIONAL)
                typed(pair.field.add(name="value", number=2, label=TYPES.LABEL_OPTIONAL), field.kind)
                entry.type = TYPES.TYPE_MESSAGE
                entry.type_name = f".k.{flat(name)}.{pair.name}"
            else:
                typed(entry, field.kind)
    found = descriptor_pool.DescriptorPool()
    found.Add(file)
    return found


def flat(name: str) -> str:
    return name.replace(".", "_")


def typed(entry: Any, kind: str) -> None:
    if kind in SCALARS:
        entry.type = WIRE[kind]
    else:
        entry.type = TYPES.TYPE_MESSAGE
        entry.type_name = f".k.{flat(kind)}"


def read(message: str, data: bytes) -> Any:
    made = message_factory.GetMessageClass(pool().FindMessageTypeByName(f"k.{flat(message)}"))()
    made.ParseFromString(data)
    made.DiscardUnknownFields()
    assert made.ByteSize() == len(data)
    return made


def faults(name: str, found: Any, tree: Any) -> Iterator[str]:
    """Where a message read by the library does not say what the tree says."""
    for field in messages()[name].values():
        at = getattr(found, f"f{field.number}")
        if field.inline:
            assert found.HasField(f"f{field.number}")
            yield from faults(field.kind, at, tree)
            continue
        said = tree.get(field.name)
        if field.key:
            pairs = [(at[key], (said or {})[key]) for key in at]
            wrong = set(at) != set(said or {})
        elif field.repeated:
            pairs = list(zip(at, said or [], strict=False))
            wrong = len(at) != len(said or [])
        else:
            there = found.HasField(f"f{field.number}")
            wrong = there != (said is not None) if field.optional else not there
            pairs = [(at, said)] if said is not None else []
        if wrong:
            yield f"{name}.{field.name}: {at} for {said}"
        for one, other in pairs:
            yield from value_faults(field, one, other)


def value_faults(field: Field, found: Any, said: Any) -> Iterator[str]:
    kind = field.kind.rpartition(".")[2] if field.kind in BY_HAND else ""
    expected: Any
    match kind:
        case "Time" | "MicroTime":
            found, expected = found.f1, int(parse_time(said).timestamp())
        case "Quantity":
            found, expected = found.f1, str(said)
        case "IntOrString":
            found, expected = (found.f3 if found.f1 else found.f2), said
        case "Verbs" | "ExtraValue":
            found, expected = list(found.f1), said
        case "":
            if field.is_message:
                yield from faults(field.kind, found, said)
                return
            expected = base64.b64decode(said) if field.kind == "bytes" else said
        case _:
            return  # JSON, or a schema in one of its three places
    if found != expected:
        yield f"{field.name}: {found!r} for {expected!r}"


def settled(node: Node, tree: Any) -> Any:
    """The tree less what the wire does not hold: amounts and times in their one form."""
    if node.form is Form.QUANTITY:
        return str(tree)
    if node.go_type == "v1.MicroTime":
        return rfc3339_micro(parse_time(tree))
    if node.form is Form.LIST:
        assert node.items
        return [settled(node.items, item) for item in tree]
    if node.form is Form.MAP:
        assert node.items
        return {key: settled(node.items, value) for key, value in tree.items()}
    if node.form is Form.OBJECT:
        written = node.fields if "metadata" not in node.fields else node.fields.keys() - {"apiVersion", "kind"}
        fields = {key: node.fields[key].node for key in written if key not in UNWRITTEN}
        return {key: settled(fields[key], value) for key, value in tree.items() if key in fields}
    return tree


def bare(tree: Any) -> Any:
    """A tree without what is empty; the type of what an object holds is not written."""
    if isinstance(tree, dict):
        made = {key: bare(value) for key, value in tree.items()}
        return {key: value for key, value in made.items() if value not in ("", 0, "0", {}, [], None)}
    return [bare(item) for item in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize("each", KINDS, ids=lambda each: f"{each.group}/{each.version}/{each.kind}")
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_the_protobuf_library_reads_what_the_tree_says(each: Resource, seed: int) -> None:
    node = schema.builtin().node(each.definition)
    tree = settled(node, grow(node, Random(seed)))
    message = message_of(each.api_version, each.kind)
    assert message
    assert not list(faults(message, read(message, encoder.body(message, tree)), tree))
    whole = {**tree, "apiVersion": each.api_version, "kind": each.kind}
    assert bare(protobuf.decode(encoder.encode(whole))) == bare(whole)


def test_schemas_stand_in_their_three_places() -> None:
    schema = {
        "type": "object",
        "$schema": "x",
        "x-kubernetes-preserve-unknown-fields": False,
        "default": {"a": [1, None]},
        "additionalProperties": {"type": "string"},
        "dependencies": {"a": ["b"], "c": {"type": "object"}},
        "properties": {
            "list": {"type": "array", "items": {"type": "integer", "maximum": 1.5}, "minItems": 0},
            "pair": {"items": [{"type": "string"}, {"type": "integer"}], "additionalItems": True},
        },
        "x-kubernetes-validations": [{"rule": "self.a > 0", "message": "no", "optionalOldSelf": False}],
    }
    tree = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "a.b"},
        "spec": {
            "group": "b",
            "scope": "Namespaced",
            "names": {"plural": "a", "kind": "A"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": False,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
            ],
        },
        "status": {"acceptedNames": {"plural": "", "kind": ""}, "conditions": [], "storedVersions": []},
    }
    message = "apiextensions_apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
    assert read(message, encoder.body(message, tree)).f2.f7[0].f5.HasField("f1")
    found = protobuf.decode(encoder.encode(tree))
    assert found["spec"]["versions"] == tree["spec"]["versions"]  # type: ignore[index]


def unnumbered(name: str, node: Node, seen: set[str]) -> Iterator[str]:
    while node.form in (Form.LIST, Form.MAP):
        assert node.items
        node = node.items
    if name in seen or name in BY_HAND:
        return
    seen.add(name)
    fields = list(messages()[name].values())
    for field in fields:
        if field.inline:
            fields += messages()[field.kind].values()
    by_name = {field.name: field for field in fields}
    for each in node.fields.keys() - {"apiVersion", "kind"}:
        if each not in by_name:
            yield each
        elif by_name[each].is_message:
            yield from unnumbered(by_name[each].kind, node.fields[each].node, seen)


def test_every_field_has_a_number() -> None:
    seen: set[str] = set()
    found = set()
    for each in builtin().resources():
        message = message_of(each.api_version, each.kind)
        if message is not None:
            found |= set(unnumbered(message, schema.builtin().node(each.definition), seen))
    assert found == UNWRITTEN


def test_every_built_in_kind_has_a_message() -> None:
    ours = [each for each in builtin().resources() if not each.group.endswith("bireme.dev")]
    assert not [each.title for each in ours if message_of(each.api_version, each.kind) is None]
    assert message_of("core.example.com/v1", "Pod") is None


def test_a_list_is_read_by_the_library() -> None:
    items = [encoder.body("api.core.v1.ConfigMap", {"metadata": {"name": name}}) for name in "ab"]
    written = b"".join(
        encoder.enveloped_list("v1", "ConfigMapList", {"resourceVersion": "7", "continue": "x"}, items)
    )
    assert written.startswith(MAGIC)
    unknown = read("apimachinery.pkg.runtime.Unknown", written[4:])
    assert (unknown.f1.f1, unknown.f1.f2) == ("v1", "ConfigMapList")
    found = read("api.core.v1.ConfigMapList", unknown.f2)
    assert (found.f1.f2, found.f1.f3) == ("7", "x")
    assert [item.f1.f1 for item in found.f2] == ["a", "b"]


def test_a_frame_of_a_watch_has_its_length_before_it() -> None:
    frame = encoder.watch_frame(
        "ADDED", encoder.encode({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})
    )
    (size,) = struct.unpack(">I", frame[:4])
    assert size == len(frame) - 4
    event = read(f"{META}WatchEvent", read("apimachinery.pkg.runtime.Unknown", frame[8:]).f2)
    assert event.f1 == "ADDED"
    inside = read("apimachinery.pkg.runtime.Unknown", event.f2.f1[4:])
    assert read("api.core.v1.Pod", inside.f2).f1.f1 == "a"


@pytest.mark.parametrize("number", [0, 1, 127, 128, 8191, 8192, 1 << 40, -1, -(1 << 63)])
def test_numbers(number: int) -> None:
    lease = encoder.body("api.coordination.v1.LeaseSpec", {"leaseTransitions": number})
    if abs(number) < 1 << 31:
        assert read("api.coordination.v1.LeaseSpec", lease).f5 == number
    meta = encoder.body(f"{META}ObjectMeta", {"generation": number})
    assert read(f"{META}ObjectMeta", meta).f7 == number
