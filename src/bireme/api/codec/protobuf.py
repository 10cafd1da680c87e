"""Kubernetes' protobuf envelope in: what typed clients send as bodies, to the tree that JSON would have given.

For each message a function is written as Python text by the table of fields (`protobuf_fields.py`) and compiled when
the message is first met, as in `protobuf_encoder.py`. The wire has no "unset" for plain fields: their zeros are
dropped, but where JSON shows them. Fields that we don't know are passed over.
Source: the Kubernetes documentation on HTTP and content; protobuf encoding, developers.google.com.
"""

import base64
import functools
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bireme.api.codec.json import LIMITS, check_depth, check_values, parse
from bireme.api.codec.protobuf_fields import BY_HAND, MAGIC, Field, message_of, messages
from bireme.api.errors import BadRequest, TooLarge
from bireme.api.times import rfc3339, rfc3339_micro

DEPTH = 64

Tree = dict[str, Any]


class _Room:
    """What one body may still hold of messages, those of the envelopes in it counted, and whether JSON is in it."""

    __slots__ = ("holds_json", "messages")

    def __init__(self) -> None:
        self.messages = LIMITS.values
        self.holds_json = False


Decode = Callable[[bytes, int, _Room], Any]


def is_protobuf(data: bytes) -> bool:
    """Whether `data` begins as the envelope does."""
    return data.startswith(MAGIC)


def decode(data: bytes) -> Tree:
    """The tree of an enveloped object. Raises BadRequest for what is none, or of a kind that has no such form."""
    if len(data) > LIMITS.size:
        raise TooLarge(f"Request entity too large: limit is {LIMITS.size}")
    if not is_protobuf(data):
        raise BadRequest("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    room = _Room()
    try:
        tree = _opened(data, DEPTH, room)
    except (ValueError, IndexError, OverflowError, TypeError, struct.error) as error:
        raise BadRequest(f"the protobuf body cannot be read: {error}") from error
    if len(data) > LIMITS.values:  # no value is shorter than a byte
        check_values(tree)
    if room.holds_json:
        check_depth(tree)
    return tree


def _opened(data: bytes, depth: int, room: _Room) -> Tree:
    envelope = dict(_fields(data[len(MAGIC) :]))
    api_version, kind = _type_meta(envelope.get(1, b""))
    message = message_of(api_version, kind)
    if message is None:
        raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')
    tree = _compiled().decoder(message)(_bytes(envelope.get(2, b"")), depth, room)
    return {"apiVersion": api_version, "kind": kind, **tree}


def _type_meta(data: Any) -> tuple[str, str]:
    said = {number: _text(value) for number, value in _fields(_bytes(data))}
    return said.get(1, ""), said.get(2, "")


class _Compiled:
    """Decoders by message. They share one name space, in which they find each other as `m` and a number.

    A decoder takes the bytes of a message, how much deeper it may go, and what room there is in the whole body.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._space: dict[str, Any] = {
            "number": _varint,
            "skipped": _skipped,
            "signed": _signed,
            "packed": _packed,
            "b64": base64.b64encode,
            "unpack": struct.unpack,
            "entry": _entry,
            "too_many": _too_many,
        }

    def decoder(self, message: str) -> Decode:
        """The decoder of a message; one that was not yet needed compiles itself when called."""
        found: Decode = self._space[self._name(message)]
        return found

    def _name(self, message: str) -> str:
        known = self._names.get(message)
        if known is None:
            known = self._names[message] = f"m{len(self._names)}"
            by_hand = _BY_HAND[message.rpartition(".")[2]] if message in BY_HAND else None
            self._space[known] = by_hand or functools.partial(self._first, message, known)
        return known

    def _first(self, message: str, name: str, data: bytes, depth: int, room: _Room) -> Any:
        head = f"""\
def {name}(data, depth, room):
    if not depth: raise ValueError("nested deeper than {DEPTH}")
    depth -= 1
    room.messages -= 1
    if room.messages < 0: too_many()
    tree = {{}}
    at, end = 0, len(data)
    while at < end:
        tag = data[at]; at += 1
        if tag > 127:
            tag += data[at] - 1 << 7; at += 1
            if tag > 16383: tag, at = number(data, at - 2)
        if tag & 7 == 2:
            size = data[at]; at += 1
            if size > 127: size, at = number(data, at - 1)
            v = data[at:at + size]; at += size
            if at > end: raise ValueError("unexpected EOF")
"""
        fields = messages()[message].values()
        sized = "".join(_branch(12, *found) for field in fields if (found := self._sized(field)))
        plain = "".join(_branch(8, *found) for field in fields if (found := self._plain(field)))
        text = f"{head}{sized}            continue\n{plain}        at = skipped(data, at, tag)\n    return tree\n"
        exec(compile(text, f"<protobuf {message}>", "exec"), self._space)
        return self._space[name](data, depth, room)

    def _sized(self, field: Field) -> tuple[int, str] | None:
        """The tag of a field that has a length, and what is done with its bytes `v`."""
        tag, name = field.number << 3 | 2, field.name
        if field.key:
            values = {"string": "v.decode()", "bytes": "b64(v).decode()"}
            value = values.get(field.kind) or f"{self._name(field.kind)}(v, depth, room)"
            return tag, f"k, v = entry(v); tree.setdefault({name!r}, {{}})[k.decode()] = {value}"
        value = {"string": "v.decode()", "bytes": "b64(v).decode()"}.get(field.kind, "")
        if field.is_message:
            value = f"{self._name(field.kind)}(v, depth, room)"
        if not value:
            return (tag, f"tree.setdefault({name!r}, []).extend(packed(v))") if field.repeated else None
        if field.repeated:
            return tag, f"tree.setdefault({name!r}, []).append({value})"
        if field.inline:
            return tag, f"tree.update({value})"
        if field.is_message:
            return tag, f"v = {value}\nif v is not None: tree[{name!r}] = v"
        return tag, f"tree[{name!r}] = {value}" if field.optional else f"if v: tree[{name!r}] = {value}"

    def _plain(self, field: Field) -> tuple[int, str] | None:
        """The tag of a field that is a number, and how it is read."""
        name = field.name
        if field.kind == "double":
            return field.number << 3 | 1, f'tree[{name!r}], = unpack("<d", data[at:at + 8]); at += 8'
        if field.kind not in ("bool", "int32", "int64"):
            return None
        read = "v = data[at]; at += 1\nif v > 127: v, at = number(data, at - 1)"
        value = "bool(v)" if field.kind == "bool" else "signed(v) if v > 127 else v"
        if field.repeated:
            keep = f"tree.setdefault({name!r}, []).append({value})"
        elif field.optional or field.shown:
            keep = f"tree[{name!r}] = {value}"
        else:
            keep = f"if v: tree[{name!r}] = {value}"
        return field.number << 3, f"{read}\n{keep}"


def _branch(indent: int, tag: int, deed: str) -> str:
    """Do `deed` where the tag is `tag`, and go on to the next field."""
    space = " " * indent
    lines = "".join(f"{space}    {line}\n" for line in deed.splitlines())
    return f"{space}if tag == {tag}:\n{lines}{space}    continue\n"


# Types that Go reads by hand.


def _time(data: bytes, depth: int, room: _Room) -> str | None:
    moment = _moment(data)
    return None if moment is None else rfc3339(moment)


def _micro_time(data: bytes, depth: int, room: _Room) -> str | None:
    moment = _moment(data)
    return None if moment is None else rfc3339_micro(moment)


def _moment(data: bytes) -> datetime | None:
    parts = dict(_fields(data))
    if not parts:
        return None
    passed = timedelta(seconds=_signed(parts.get(1, 0)), microseconds=parts.get(2, 0) // 1000)
    return datetime(1970, 1, 1, tzinfo=UTC) + passed


def _quantity(data: bytes, depth: int, room: _Room) -> str:
    if len(data) > 2 and data[0] == 0x0A and data[1] == len(data) - 2:
        return data[2:].decode()
    return _text(dict(_fields(data)).get(1, b""))


def _int_or_string(data: bytes, depth: int, room: _Room) -> int | str:
    parts = dict(_fields(data))
    return _text(parts.get(3, b"")) if parts.get(1) else _signed(parts.get(2, 0))


def _raw(data: bytes, depth: int, room: _Room) -> Any:
    inside = _bytes(dict(_fields(data)).get(1, b""))
    if inside.startswith(MAGIC):
        if not depth:
            raise ValueError(f"nested deeper than {DEPTH}")
        return _opened(inside, depth - 1, room)
    room.holds_json = True
    return parse(inside) if inside else None


def _words(data: bytes, depth: int, room: _Room) -> list[str]:
    return [_text(value) for number, value in _fields(data) if number == 1]


def _duration(data: bytes, depth: int, room: _Room) -> str:
    return f"{_signed(dict(_fields(data)).get(1, 0)) / 1e9:g}s"


def _or_bool(data: bytes, depth: int, room: _Room) -> Any:
    parts = dict(_fields(data))
    return _schema(parts[2], depth, room) if 2 in parts else bool(parts.get(1))


def _or_array(data: bytes, depth: int, room: _Room) -> Any:
    parts = list(_fields(data))
    alone = [_schema(value, depth, room) for number, value in parts if number == 1]
    return alone[-1] if alone else [_schema(value, depth, room) for number, value in parts if number == 2]


def _or_words(data: bytes, depth: int, room: _Room) -> Any:
    parts = list(_fields(data))
    alone = [_schema(value, depth, room) for number, value in parts if number == 1]
    return alone[-1] if alone else [_text(value) for number, value in parts if number == 2]


def _schema(data: Any, depth: int, room: _Room) -> Any:
    return _compiled().decoder("apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")(
        _bytes(data), depth, room
    )


_BY_HAND: Mapping[str, Decode] = {
    "Time": _time,
    "MicroTime": _micro_time,
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "FieldsV1": _raw,
    "RawExtension": _raw,
    "JSON": _raw,
    "Verbs": _words,
    "ExtraValue": _words,
    "Duration": _duration,
    "JSONSchemaPropsOrArray": _or_array,
    "JSONSchemaPropsOrBool": _or_bool,
    "JSONSchemaPropsOrStringArray": _or_words,
}


@functools.cache
def _compiled() -> _Compiled:
    return _Compiled()


# The wire.


def _too_many() -> None:
    raise TooLarge(f"Request entity too large: limit is {LIMITS.values} values")


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
        else:
            size = _fixed(wire)
        if position + size > end:
            raise ValueError("unexpected EOF")
        yield number, data[position : position + size]
        position += size


def _entry(data: bytes) -> tuple[bytes, bytes]:
    """Key and value of a map's entry."""
    if len(data) > 3 and data[0] == 0x0A and data[1] < 128:  # as nearly all are: a short key, then a short value
        behind = 2 + data[1]
        if behind + 2 <= len(data) and data[behind] == 0x12 and data[behind + 1] == len(data) - behind - 2 < 128:
            return data[2:behind], data[behind + 2 :]
    parts = dict(_fields(data))
    return _bytes(parts.get(1, b"")), _bytes(parts.get(2, b""))


def _skipped(data: bytes, position: int, tag: int) -> int:
    """The place behind a number that is of no use."""
    if tag & 7 == 0:
        return _varint(data, position)[1]
    return position + _fixed(tag & 7)


def _fixed(wire: int) -> int:
    if wire not in (1, 5):
        raise ValueError(f"wire type {wire} is not known")
    return 8 if wire == 1 else 4


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
    if len(data) > LIMITS.values:
        _too_many()
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield _signed(value)


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
