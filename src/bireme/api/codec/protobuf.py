"""Kubernetes' protobuf envelope in: what typed clients send as bodies, to the tree that JSON would have given.

Recent clients (kubectl's typed commands since 1.32) send protobuf and offer to read JSON, so only this way is
needed. Field numbers are a table (`data/protobuf-fields.txt.gz`); structures that JSON has inline are told by the
schema, which does not know their field. The wire has no "unset" for plain fields: zeros are dropped, but where Go
has a pointer and zero means something (`POINTERS`).
Source: the Kubernetes documentation on HTTP and content; the field table; protobuf encoding, developers.google.com.
"""

import base64
import functools
import gzip
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

from bireme.api import schema
from bireme.api.codec.json import parse
from bireme.api.errors import BadRequest
from bireme.api.times import rfc3339, rfc3339_micro

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
DEPTH = 64

# Fields whose zero is not the same as unset.
_POINTERS = """
    activeDeadlineSeconds allocateLoadBalancerNodePorts allowPrivilegeEscalation automountServiceAccountToken
    averageUtilization backoffLimit backoffLimitPerIndex blockOwnerDeletion completions controller defaultMode
    enableServiceLinks expirationSeconds failedJobsHistoryLimit fsGroup gracePeriodSeconds hostUsers immutable
    leaseDurationSeconds maxFailedIndexes minReplicas mode optional orphanDependents parallelism partition privileged
    progressDeadlineSeconds readOnlyRootFilesystem ready replicas revisionHistoryLimit runAsGroup runAsNonRoot
    runAsUser serving setHostnameAsFQDN shareProcessNamespace startingDeadlineSeconds stabilizationWindowSeconds
    storageClassName successfulJobsHistoryLimit suspend terminating terminationGracePeriodSeconds tolerationSeconds
    ttlSecondsAfterFinished value weight
"""
POINTERS = frozenset(_POINTERS.split())

Tree = dict[str, Any]
_META = "apimachinery.pkg.apis.meta.v1."


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: its name in JSON, its type, and whether it may come more than once."""

    name: str
    kind: str
    repeated: bool
    key: str = ""


def is_protobuf(data: bytes) -> bool:
    """Whether `data` begins as the envelope does."""
    return data.startswith(MAGIC)


def decode(data: bytes) -> Tree:
    """The tree of an enveloped object. Raises BadRequest for what is none, or of a kind that has no such form."""
    if not is_protobuf(data):
        raise BadRequest("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = dict(_fields(data[len(MAGIC) :]))
        api_version, kind = _type_meta(envelope.get(1, b""))
        message = _message_of(api_version, kind)
        raw = envelope.get(2, b"")
        tree = _Decoder().message(message, raw if isinstance(raw, bytes) else b"", _node_of(message), 0)
    except (ValueError, IndexError, OverflowError, TypeError) as error:
        raise BadRequest(f"the protobuf body cannot be read: {error}") from error
    return {"apiVersion": api_version, "kind": kind, **tree}


def _type_meta(data: Any) -> tuple[str, str]:
    said = {number: _text(value) for number, value in _fields(data)}
    return said.get(1, ""), said.get(2, "")


def _message_of(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    packages = {
        "apiextensions.k8s.io": "apiextensions_apiserver.pkg.apis.apiextensions",
        "apiregistration.k8s.io": "kube_aggregator.pkg.apis.apiregistration",
    }
    package = packages.get(group, f"api.{group.partition('.')[0] or 'core'}")
    for name in (f"{package}.{version}.{kind}", f"{_META}{kind}"):
        if name in _messages():
            return name
    raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')


class _Decoder:
    """Messages to trees; `node` is what the schema knows of the object that the fields go into."""

    def message(self, name: str, data: bytes, node: Any, depth: int) -> Any:
        if depth > DEPTH:
            raise ValueError(f"nested deeper than {DEPTH}")
        special = _SPECIAL.get(name.rpartition(".")[2]) if name.startswith(_BY_HAND) else None
        if special is not None:
            return special(self, name, data, depth)
        fields = _messages()[name]
        tree: Tree = {}
        for number, wire in _fields(data):
            field = fields.get(number)
            if field is not None:
                self._take(tree, field, wire, node, depth)
        return tree

    def _take(self, tree: Tree, field: Field, wire: Any, node: Any, depth: int) -> None:
        below = _below(node, field.name)
        if field.key:
            key, value = self._entry(field, wire, below, depth)
            tree.setdefault(field.name, {})[key] = value
        elif field.repeated:
            tree.setdefault(field.name, []).extend(self._items(field, wire, below, depth))
        elif below is None and "." in field.kind and _known(node):
            tree.update(self.message(field.kind, _bytes(wire), node, depth + 1))
        else:
            value = self._value(field.kind, wire, below, depth)
            if value is not None and (value not in ("", 0) or field.name in POINTERS or isinstance(value, dict)):
                tree[field.name] = value

    def _entry(self, field: Field, wire: Any, below: Any, depth: int) -> tuple[str, Any]:
        parts = dict(_fields(_bytes(wire)))
        inside = getattr(below, "items", None)
        return _text(parts.get(1, b"")), self._value(field.kind, parts.get(2, b""), inside, depth)

    def _items(self, field: Field, wire: Any, below: Any, depth: int) -> list[Any]:
        inside = getattr(below, "items", None)
        if field.kind in ("int32", "int64", "bool") and isinstance(wire, bytes):
            return [_scalar(field.kind, number) for number in _packed(wire)]
        return [self._value(field.kind, wire, inside, depth)]

    def _value(self, kind: str, wire: Any, node: Any, depth: int) -> Any:
        if "." in kind:
            return self.message(kind, _bytes(wire), node, depth + 1)
        return _scalar(kind, wire)

    def time(self, name: str, data: bytes, depth: int) -> str | None:
        parts = dict(_fields(data))
        if not parts:
            return None
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            seconds=_signed(parts.get(1, 0)), microseconds=parts.get(2, 0) // 1000
        )
        return rfc3339_micro(moment) if name.endswith("MicroTime") else rfc3339(moment)

    def text(self, name: str, data: bytes, depth: int) -> str:
        return _text(dict(_fields(data)).get(1, b""))

    def int_or_string(self, name: str, data: bytes, depth: int) -> int | str:
        parts = dict(_fields(data))
        return _text(parts.get(3, b"")) if parts.get(1) else _signed(parts.get(2, 0))

    def raw(self, name: str, data: bytes, depth: int) -> Any:
        inside = _bytes(dict(_fields(data)).get(1, b""))
        if inside.startswith(MAGIC):
            return decode(inside)
        return parse(inside) if inside else None

    def words(self, name: str, data: bytes, depth: int) -> list[str]:
        return [_text(value) for number, value in _fields(data) if number == 1]

    def duration(self, name: str, data: bytes, depth: int) -> str:
        return f"{_signed(dict(_fields(data)).get(1, 0)) / 1e9:g}s"

    def either(self, name: str, data: bytes, depth: int) -> Any:
        """A schema, or what stands in its place: a flag or a list."""
        fields = _messages()[name]
        schema_field = next(field for field in fields.values() if field.name == "schema")
        others: list[Any] = []
        allows = False
        for number, wire in _fields(data):
            field = fields[number]
            if field is schema_field:
                return self.message(field.kind, _bytes(wire), None, depth + 1)
            value = self._value(field.kind, wire, None, depth)
            allows = bool(value) if field.kind == "bool" else allows
            others.append(value)
        return allows if any(field.kind == "bool" for field in fields.values()) else others


_SPECIAL: Mapping[str, Callable[[_Decoder, str, bytes, int], Any]] = {
    "Time": _Decoder.time,
    "MicroTime": _Decoder.time,
    "Quantity": _Decoder.text,
    "IntOrString": _Decoder.int_or_string,
    "FieldsV1": _Decoder.raw,
    "RawExtension": _Decoder.raw,
    "JSON": _Decoder.raw,
    "Verbs": _Decoder.words,
    "ExtraValue": _Decoder.words,
    "Duration": _Decoder.duration,
    "JSONSchemaPropsOrArray": _Decoder.either,
    "JSONSchemaPropsOrBool": _Decoder.either,
    "JSONSchemaPropsOrStringArray": _Decoder.either,
}
_BY_HAND = (
    "apimachinery.",
    "apiextensions_apiserver.",
    "api.authentication.",
    "api.authorization.",
    "api.certificates.",
)


@functools.cache
def _messages() -> Mapping[str, Mapping[int, Field]]:
    text = gzip.decompress((files("bireme.api") / "data" / "protobuf-fields.txt.gz").read_bytes()).decode()
    found: dict[str, Mapping[int, Field]] = {}
    package = ""
    for line in text.splitlines():
        if line.startswith("## "):
            package = line[3:]
            continue
        name, _, rows = line.partition(":")
        found[f"{package}.{name}"] = dict(_field(package, row.strip()) for row in rows.split(";") if row.strip())
    return found


_SCALARS = frozenset({"string", "int32", "int64", "bool", "bytes", "double"})


def _field(package: str, row: str) -> tuple[int, Field]:
    head, _, kind = row.partition(" ")
    name, _, number = head.partition("=")
    name = name[0].lower() + name[1:]
    repeated = kind.startswith("[]")
    key = ""
    if kind.startswith("map<"):
        key, _, kind = kind[4:-1].partition(", ")
    kind = kind.removeprefix("[]").removeprefix(".")
    if kind not in _SCALARS and "." not in kind:
        kind = f"{package}.{kind}"
    return int(number), Field(name, kind, repeated, key)


def _node_of(message: str) -> Any:
    name = message.replace("apiextensions_apiserver", "apiextensions-apiserver").replace(
        "kube_aggregator", "kube-aggregator"
    )
    try:
        return schema.builtin().node(f"io.k8s.{name}")
    except KeyError:
        return None


def _known(node: Any) -> bool:
    return bool(getattr(node, "fields", None))


def _below(node: Any, name: str) -> Any:
    """What the schema knows of a field; None where it doesn't know the field."""
    fields = getattr(node, "fields", None) or {}
    found = fields.get(name)
    return None if found is None else found.node


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values as they lie on the wire: whole numbers, or bytes."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} is not known")
        if position + size > end:
            raise ValueError("unexpected EOF")
        yield number, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")


def _packed(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def _scalar(kind: str, wire: Any) -> Any:
    if kind == "string":
        return _text(wire)
    if kind == "bytes":
        return base64.b64encode(_bytes(wire)).decode()
    if kind == "bool":
        return bool(wire)
    if kind == "double":
        return struct.unpack("<d", _bytes(wire))[0]
    return _signed(wire)


def _signed(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError("a number was expected")
    return value - (1 << 64) if value >= 1 << 63 else value


def _bytes(wire: Any) -> bytes:
    if not isinstance(wire, bytes):
        raise TypeError("bytes were expected")
    return wire


def _text(wire: Any) -> str:
    return _bytes(wire).decode()
