"""Messages as protobuf bytes, both ways.

Reading takes what any writer of proto2 may send: fields in any order, unknown ones, packed numbers, a message
in several pieces. It never reads past the end and goes at most 100 messages deep. Unknown enum numbers leave
the field unset, as in generated code. Source: the protobuf encoding guide.
"""

import struct
from collections.abc import Iterator
from typing import Any

from bireme.mesos.json_form import MAX_DEPTH, Malformed
from bireme.mesos.messages import EnumType, Field, Message, MessageType, Shared, find

_VARINT, _FIXED64, _BYTES, _START, _END, _FIXED32 = range(6)
_MASK64 = 2**64 - 1
_BROKEN = "Failed to parse body into a protobuf object"


def parse(data: bytes, of: MessageType) -> Message:
    """The message in protobuf bytes. Raises Malformed."""
    return _message(memoryview(data), of, 0)


def dump(value: Message, of: MessageType) -> bytes:
    """The protobuf bytes of a message, its fields in the order of their numbers."""
    out = bytearray()
    for number in sorted(of.fields[name].number for name in value):
        field = of.numbered[number]
        item = value[field.name]
        if field.map:
            for key, part in item.items():
                name = key.encode()
                entry = b"\x0a" + _varint(len(name)) + name + _tagged(field, 2, part)
                out += _varint(number << 3 | _BYTES) + _varint(len(entry)) + entry
        else:
            for part in item if field.repeated else (item,):
                out += _tagged(field, number, part)
    return bytes(out)


def _tagged(field: Field, number: int, item: Any) -> bytes:
    body: bytes
    match field.type:
        case "double":
            return _varint(number << 3 | _FIXED64) + struct.pack("<d", item)
        case "string":
            body = item.encode()
        case "bytes":
            body = bytes(item)
        case "bool" | "int32" | "int64" | "uint32" | "uint64":
            return _varint(number << 3) + _varint(int(item) & _MASK64)
        case _:
            kind = find(field.type)
            if isinstance(kind, EnumType):
                return _varint(number << 3) + _varint(kind.numbers[item])
            if not isinstance(item, Shared):
                body = dump(item, kind)
            elif item.wire is None:
                body = item.wire = dump(item, kind)
            else:
                body = item.wire
    return _varint(number << 3 | _BYTES) + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _message(data: memoryview, of: MessageType, depth: int) -> Message:
    if depth > MAX_DEPTH:
        raise Malformed(_BROKEN)
    value: Message = {}
    for number, wire, raw in _fields(data):
        field = of.numbered.get(number)
        if field is not None:
            _put(value, field, wire, raw, depth)
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    at, end = 0, len(data)
    while at < end:
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 2**29:
            raise Malformed(_BROKEN)
        if wire == _VARINT:
            found, at = _read_varint(data, at)
            yield number, wire, found
            continue
        if wire == _BYTES:
            size, at = _read_varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:  # groups were never used here
            raise Malformed(_BROKEN)
        if size > end - at:
            raise Malformed(_BROKEN)
        yield number, wire, data[at : at + size]
        at += size


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return number & _MASK64, at
        shift += 7
    raise Malformed(_BROKEN)


def _put(value: Message, field: Field, wire: int, raw: int | memoryview, depth: int) -> None:
    if field.map:
        key, item = _entry(field, raw, depth)
        value.setdefault(field.name, {})[key] = item
        return
    if field.repeated and wire == _BYTES and not _is_long(field):
        items = [_one(field, _kind_of(field), part, depth) for part in _packed(field, raw)]
        value.setdefault(field.name, []).extend(item for item in items if item is not None)
        return
    item = _one(field, wire, raw, depth)
    if item is None:
        return
    if field.repeated:
        value.setdefault(field.name, []).append(item)
    elif isinstance(item, dict) and field.name in value:
        value[field.name] = {**value[field.name], **item}
    else:
        value[field.name] = item


def _is_long(field: Field) -> bool:
    """Whether a value of this field is length-delimited by nature."""
    return field.type in ("string", "bytes") or not (field.is_scalar or isinstance(find(field.type), EnumType))


def _kind_of(field: Field) -> int:
    return _FIXED64 if field.type == "double" else _VARINT


def _packed(field: Field, raw: int | memoryview) -> Iterator[int | memoryview]:
    data = _view(raw)
    at = 0
    while at < len(data):
        if field.type == "double":
            if len(data) - at < 8:
                raise Malformed(_BROKEN)
            yield data[at : at + 8]
            at += 8
        else:
            number, at = _read_varint(data, at)
            yield number


def _entry(field: Field, raw: int | memoryview, depth: int) -> tuple[str, Any]:
    key, item = "", None
    for number, wire, part in _fields(_view(raw)):
        if number == 1:
            key = _text(_view(part))
        elif number == 2:
            item = _one(field, wire, part, depth)
    return key, {} if item is None else item


def _view(raw: int | memoryview) -> memoryview:
    if isinstance(raw, int):
        raise Malformed(_BROKEN)
    return raw


def _text(raw: memoryview) -> str:
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise Malformed(_BROKEN) from error


def _one(field: Field, wire: int, raw: int | memoryview, depth: int) -> Any:
    kind = field.type
    if kind == "string":
        return _text(_view(raw))
    if kind == "bytes":
        return bytes(_view(raw))
    if kind == "double":
        if wire != _FIXED64:
            raise Malformed(_BROKEN)
        return struct.unpack("<d", _view(raw))[0]
    if not field.is_scalar and not isinstance(of := find(kind), EnumType):
        return _message(_view(raw), of, depth + 1)
    if not isinstance(raw, int):
        raise Malformed(_BROKEN)
    return _number(field, raw)


def _number(field: Field, raw: int) -> int | bool | str | None:
    match field.type:
        case "bool":
            return raw != 0
        case "uint64":
            return raw
        case "uint32":
            return raw & 0xFFFFFFFF
        case "int64":
            return raw - 2**64 if raw >= 2**63 else raw
    low = raw & 0xFFFFFFFF
    signed = low - 2**32 if low >= 2**31 else low
    if field.type == "int32":
        return signed
    kind = find(field.type)
    return kind.names.get(signed) if isinstance(kind, EnumType) else None
