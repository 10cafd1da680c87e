"""Trees to Kubernetes' protobuf: objects, lists, statuses and watch frames as Go's generated code writes them.

Byte for byte: fields in rising order, what is no pointer in Go always written, maps by sorted key. For each message a
function is written as Python text by the table of fields and compiled when the message is first met, so that no field
is interpreted while objects are written; a message inside another is a call by name of its function, which stands for
itself until it is compiled. Reading is done by `protobuf.py`.
Source: the table of fields (`protobuf_fields.py`); protobuf encoding, developers.google.com; gogo/protobuf.
"""

import base64
import functools
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from bireme.api.codec.protobuf_fields import BY_HAND, MAGIC, META, Field, message_of, messages
from bireme.api.times import parse_time

Tree = Mapping[str, Any]
Encode = Callable[[Any], bytes]

_SMALL = tuple(bytes([n]) for n in range(128)) + tuple(bytes([n & 127 | 128, n >> 7]) for n in range(128, 8192))
_MASK = (1 << 64) - 1


def varint(number: int) -> bytes:
    """A whole number as protobuf writes it; negative ones take ten bytes."""
    if 0 <= number < 8192:
        return _SMALL[number]
    number &= _MASK
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(tree: Tree) -> bytes:
    """The enveloped message of an object by its apiVersion and kind. Raises KeyError for a kind without one."""
    api_version, kind = tree["apiVersion"], tree["kind"]
    message = message_of(api_version, kind)
    if message is None:
        raise KeyError(f"{api_version} {kind} has no protobuf form")
    return envelope(api_version, kind, body(message, tree))


def body(message: str, tree: Tree) -> bytes:
    """The bare message of a tree."""
    return _compiled().encoder(message)(tree)


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    """A bare message in its envelope."""
    return b"".join([*_head(api_version, kind, len(raw)), raw, _TAIL])


def enveloped_list(api_version: str, kind: str, metadata: Tree, items: Iterable[bytes]) -> Iterator[bytes]:
    """An enveloped list of bare messages, in pieces."""
    message = message_of(api_version, kind)
    assert message is not None, (api_version, kind)
    meta, item = (next(f for f in messages()[message].values() if f.name == name) for name in ("metadata", "items"))
    tag = _tag(item.number, 2)
    parts = [part for written in items for part in (tag, varint(len(written)), written)]
    about = body(f"{META}ListMeta", metadata)
    first = [_tag(meta.number, 2), varint(len(about)), about]
    parts = first + parts if meta.number < item.number else parts + first
    yield b"".join(_head(api_version, kind, sum(map(len, parts))))
    for begin in range(0, len(parts), 180):
        yield b"".join(parts[begin : begin + 180])
    yield _TAIL


def watch_frame(kind: str, enveloped: bytes) -> bytes:
    """One event of a watch, with its length before it: the event is enveloped too."""
    about = kind.encode()
    inner = b"\x0a%b%b" % (varint(len(enveloped)), enveloped)
    event = b"\x0a%b%b\x12%b%b" % (varint(len(about)), about, varint(len(inner)), inner)
    framed = b"".join([*_head("v1", "WatchEvent", len(event)), event, _TAIL])
    return struct.pack(">I", len(framed)) + framed


_TAIL = b"\x1a\x00\x22\x00"  # contentEncoding and contentType


@functools.lru_cache(maxsize=1024)
def _type_meta(api_version: str, kind: str) -> bytes:
    said = b"\x0a%b%b\x12%b%b" % (varint(len(api_version)), api_version.encode(), varint(len(kind)), kind.encode())
    return b"%b\x0a%b%b\x12" % (MAGIC, varint(len(said)), said)


def _head(api_version: str, kind: str, size: int) -> tuple[bytes, bytes]:
    return _type_meta(api_version, kind), varint(size)


def _tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


class _Compiled:
    """Encoders by message. They share one name space, in which they find each other as `m` and a number."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._space: dict[str, Any] = {"varint": varint, "b64": base64.b64decode, "pack": struct.pack}
        for number in range(1, 64):
            tag = _tag(number, 2)
            self._space[f"s{tag.hex()}"] = tuple(tag + bytes([n]) for n in range(128))

    def encoder(self, message: str) -> Encode:
        """The encoder of a message; one that was not yet needed compiles itself when called."""
        found: Encode = self._space[self._name(message)]
        return found

    def _name(self, message: str) -> str:
        known = self._names.get(message)
        if known is None:
            known = self._names[message] = f"m{len(self._names)}"
            by_hand = _BY_HAND.get(message.rpartition(".")[2]) if message in BY_HAND else None
            self._space[known] = by_hand or functools.partial(self._first, message, known)
        return known

    def _first(self, message: str, name: str, tree: Tree) -> bytes:
        text = "\n    ".join(
            [
                f"def {name}(tree):",
                "get = tree.get",
                "out = []",
                "add = out.append",
                *(line for field in messages()[message].values() for line in self._lines(field)),
                "return b''.join(out)",
            ]
        )
        exec(compile(text, f"<protobuf {message}>", "exec"), self._space)
        made: bytes = self._space[name](tree)
        return made

    def _lines(self, field: Field) -> list[str]:
        """The lines that write one field."""
        if field.inline:
            return [f"v = {self._name(field.kind)}(tree)", *_sized(_tag(field.number, 2))]
        lines = [f"v = get({field.name!r})"]
        if field.key:
            return [*lines, "if v:", *_deeper(self._entries(field))]
        if field.repeated:
            return [*lines, "if v:", "    for v in v:", *_deeper(_deeper(self._value(field)))]
        if field.optional:
            return [*lines, "if v is not None:", *_deeper(self._value(field))]
        return [*lines, "if v:", *_deeper(self._value(field)), f"else: add({_written_zero(field)!r})"]

    def _value(self, field: Field) -> list[str]:
        """The lines that write the value `v`, with its tag."""
        wire, expression = self._form(field)
        tag = _tag(field.number, wire)
        if wire == 2:
            return [f"v = {expression}", *_sized(tag)]
        return [f"add({tag!r}); add({expression})"]

    def _entries(self, field: Field) -> list[str]:
        """The lines that write the map `v`, an entry for each key."""
        wire, expression = self._form(field)
        sized = "varint(len(v)) + v" if wire == 2 else "v"
        return [
            "for k, v in sorted(v.items()):",
            f"    v = {expression}",
            "    k = k.encode()",
            f"    v = b'\\x0a' + varint(len(k)) + k + {_tag(2, wire)!r} + {sized}",
            *_deeper(_sized(_tag(field.number, 2))),
        ]

    def _form(self, field: Field) -> tuple[int, str]:
        """How `v` goes over the wire: its wire type and the expression of its bytes."""
        if field.is_message:
            return 2, f"{self._name(field.kind)}(v)"
        return _SCALARS[field.kind]


_SCALARS = {
    "string": (2, "v.encode()"),
    "bytes": (2, "b64(v)"),
    "bool": (0, r"b'\x01' if v else b'\x00'"),
    "int32": (0, "varint(v)"),
    "int64": (0, "varint(v)"),
    "double": (1, "pack('<d', v)"),
}


def _deeper(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _sized(tag: bytes) -> list[str]:
    """The lines that write the bytes `v`; a short one's length stands beside its tag."""
    return [f"n = len(v); add(s{tag.hex()}[n] if n < 128 else {tag!r} + varint(n)); add(v)"]


def _written_zero(field: Field) -> bytes:
    """A field that Go writes though nothing is set."""
    if field.is_message:
        zero = _zero(field.kind)
        return _tag(field.number, 2) + varint(len(zero)) + zero
    wire = _SCALARS[field.kind][0]
    return _tag(field.number, wire) + (b"\0" * 8 if wire == 1 else b"\0")


@functools.cache
def _zero(message: str) -> bytes:
    """A message of which nothing is set."""
    if message in BY_HAND:
        return _ZEROS.get(message.rpartition(".")[2], b"")
    fields = messages()[message].values()
    always = (field for field in fields if not (field.optional or field.repeated or field.key))
    return b"".join(_written_zero(field) for field in always)


# Types that Go writes by hand.


@functools.lru_cache(maxsize=4096)
def _time(text: str) -> bytes:
    return b"\x08%b\x10\x00" % varint(int(parse_time(text).timestamp())) if text else b""


@functools.lru_cache(maxsize=4096)
def _micro_time(text: str) -> bytes:
    if not text:
        return b""
    moment = parse_time(text)
    seconds = int(moment.replace(microsecond=0).timestamp())
    return b"\x08%b\x10%b" % (varint(seconds), varint(moment.microsecond * 1000))


def _text(value: Any) -> bytes:
    said = str(value).encode()
    return b"\x0a%b%b" % (varint(len(said)), said)


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, int):
        return b"\x08\x00\x10%b\x1a\x00" % varint(value)
    said = value.encode()
    return b"\x08\x01\x10\x00\x1a%b%b" % (varint(len(said)), said)


def _raw(value: Any) -> bytes:
    said = orjson.dumps(value)
    return b"\x0a%b%b" % (varint(len(said)), said)


def _words(value: Iterable[str], number: int = 1) -> bytes:
    tag = _tag(number, 2)
    return b"".join(part for word in value for part in (tag, varint(len(word.encode())), word.encode()))


def _or_bool(value: Any) -> bytes:
    if isinstance(value, Mapping):
        return b"\x08\x01" + _schemas([value], number=2)
    return b"\x08\x01" if value else b"\x08\x00"


def _or_array(value: Any) -> bytes:
    return _schemas([value], number=1) if isinstance(value, Mapping) else _schemas(value, number=2)


def _or_words(value: Any) -> bytes:
    return _schemas([value], number=1) if isinstance(value, Mapping) else _words(value, number=2)


def _schemas(values: Iterable[Tree], *, number: int) -> bytes:
    tag = _tag(number, 2)
    made = [body("apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", value) for value in values]
    return b"".join(part for written in made for part in (tag, varint(len(written)), written))


_BY_HAND: Mapping[str, Encode] = {
    "Time": _time,
    "MicroTime": _micro_time,
    "Quantity": _text,
    "IntOrString": _int_or_string,
    "FieldsV1": _raw,
    "RawExtension": _raw,
    "JSON": _raw,
    "Verbs": _words,
    "ExtraValue": _words,
    "JSONSchemaPropsOrArray": _or_array,
    "JSONSchemaPropsOrBool": _or_bool,
    "JSONSchemaPropsOrStringArray": _or_words,
}
_ZEROS: Mapping[str, bytes] = {"Quantity": b"\x0a\x010", "IntOrString": b"\x08\x00\x10\x00\x1a\x00"}


@functools.cache
def _compiled() -> _Compiled:
    return _Compiled()
