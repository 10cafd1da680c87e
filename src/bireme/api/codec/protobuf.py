"""Kubernetes' protobuf envelope in: what typed clients send as bodies, to the tree that JSON would have given.

Messages and field numbers are a table (`protobuf_fields.py`). The wire has no "unset" for plain fields: their zeros
are dropped, but where JSON shows them. Writing is done by `protobuf_encoder.py`.
Source: the Kubernetes documentation on HTTP and content; protobuf encoding, developers.google.com.
"""

import base64
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bireme.api.codec.json import parse
from bireme.api.codec.protobuf_fields import BY_HAND, MAGIC, Field, message_of, messages
from bireme.api.errors import BadRequest
from bireme.api.times import rfc3339, rfc3339_micro

DEPTH = 64

Tree = dict[str, Any]


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
        message = message_of(api_version, kind)
        if message is None:
            raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')
        raw = envelope.get(2, b"")
        tree = _Decoder().message(message, raw if isinstance(raw, bytes) else b"", 0)
    except (ValueError, IndexError, OverflowError, TypeError) as error:
        raise BadRequest(f"the protobuf body cannot be read: {error}") from error
    return {"apiVersion": api_version, "kind": kind, **tree}


def _type_meta(data: Any) -> tuple[str, str]:
    said = {number: _text(value) for number, value in _fields(data)}
    return said.get(1, ""), said.get(2, "")


class _Decoder:
    """Messages to trees."""

    def message(self, name: str, data: bytes, depth: int) -> Any:
        if depth > DEPTH:
            raise ValueError(f"nested deeper than {DEPTH}")
        if name in BY_HAND:
            return _SPECIAL[name.rpartition(".")[2]](self, name, data, depth)
        fields = messages()[name]
        tree: Tree = {}
        for number, wire in _fields(data):
            field = fields.get(number)
            if field is not None:
                self._take(tree, field, wire, depth)
        return tree

    def _take(self, tree: Tree, field: Field, wire: Any, depth: int) -> None:
        if field.key:
            key, value = self._entry(field, wire, depth)
            tree.setdefault(field.name, {})[key] = value
        elif field.repeated:
            tree.setdefault(field.name, []).extend(self._items(field, wire, depth))
        elif field.inline:
            tree.update(self.message(field.kind, _bytes(wire), depth + 1))
        else:
            value = self._value(field.kind, wire, depth)
            if value is not None and (value not in ("", 0) or field.optional or field.shown):
                tree[field.name] = value

    def _entry(self, field: Field, wire: Any, depth: int) -> tuple[str, Any]:
        parts = dict(_fields(_bytes(wire)))
        return _text(parts.get(1, b"")), self._value(field.kind, parts.get(2, b""), depth)

    def _items(self, field: Field, wire: Any, depth: int) -> list[Any]:
        if field.kind in ("int32", "int64", "bool") and isinstance(wire, bytes):
            return [_scalar(field.kind, number) for number in _packed(wire)]
        return [self._value(field.kind, wire, depth)]

    def _value(self, kind: str, wire: Any, depth: int) -> Any:
        if "." in kind:
            return self.message(kind, _bytes(wire), depth + 1)
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
        fields = messages()[name]
        schema_field = next(field for field in fields.values() if field.name == "schema")
        others: list[Any] = []
        allows = False
        for number, wire in _fields(data):
            field = fields[number]
            if field is schema_field:
                return self.message(field.kind, _bytes(wire), depth + 1)
            value = self._value(field.kind, wire, depth)
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
