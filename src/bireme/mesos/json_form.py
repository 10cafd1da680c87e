"""Messages as JSON, in the dialect of Mesos: lenient in what is read, exact in what is written.

Read: unknown keys and nulls are skipped; numbers and booleans may be strings; bytes are base64; enums go by
name, and an unknown name leaves an optional field unset. Written: what is set, plus the defaults that the table
states for fields not deprecated; empty lists are left out. Lists and objects may be nested 100 deep.
Source: Mesos 1.11's HTTP API.
"""

import base64
import binascii
import math
from typing import Any

import orjson

from bireme.mesos.messages import EnumType, Field, Message, MessageType, Shared, SharedList, find, message

MAX_DEPTH = 100
_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


class Malformed(ValueError):
    """Bytes or a tree that are no such message; the text says why."""


def parse(data: bytes, of: MessageType) -> Message:
    """The message in JSON bytes. Raises Malformed."""
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"Failed to parse body into JSON: {error}") from error
    return read(tree, of)


def read(tree: Any, of: MessageType) -> Message:
    """The message in a JSON tree. Raises Malformed."""
    if not isinstance(tree, dict):
        raise Malformed("Failed to convert JSON into a protobuf: Expecting a JSON object")
    return _message(tree, of, 0)


def _message(tree: dict[str, Any], of: MessageType, depth: int) -> Message:
    if depth > MAX_DEPTH:
        raise Malformed("Failed to convert JSON into a protobuf: nested too deep")
    value: Message = {}
    for name, item in tree.items():
        field = of.fields.get(name)
        if field is None or item is None:
            continue
        found = _field(field, item, depth)
        if found is not None:
            value[name] = found
    return value


def _field(field: Field, item: Any, depth: int) -> Any:
    if field.map:
        if not isinstance(item, dict):
            raise _unexpected(item, field)
        return {key: _one(field, part, depth) for key, part in item.items() if part is not None}
    if field.repeated:
        if not isinstance(item, list):
            raise _unexpected(item, field)
        parts = [_one(field, part, depth) for part in item if part is not None]
        return [part for part in parts if part is not None]
    return _one(field, item, depth)


def _one(field: Field, item: Any, depth: int) -> Any:
    if not field.is_scalar:
        kind = find(field.type)
        if isinstance(kind, EnumType):
            return _enum(field, kind, item)
        if not isinstance(item, dict):
            raise _unexpected(item, field)
        return _message(item, kind, depth + 1)
    match field.type:
        case "string":
            if not isinstance(item, str):
                raise _unexpected(item, field)
            return item
        case "bytes":
            return _bytes(field, item)
        case "bool":
            return _bool(field, item)
        case "double":
            return _double(field, item)
    return _integer(field, item)


def _enum(field: Field, kind: EnumType, item: Any) -> str | None:
    if isinstance(item, str):
        if item in kind.numbers:
            return item
        if field.required:
            raise Malformed(f"Failed to find enum for '{item}'")
        return None
    if isinstance(item, int) and not isinstance(item, bool) and item in kind.names:
        return kind.names[item]
    raise _unexpected(item, field)


def _bytes(field: Field, item: Any) -> bytes:
    if not isinstance(item, str):
        raise _unexpected(item, field)
    try:
        return base64.b64decode(item, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"Failed to base64 decode bytes field '{field.name}': {error}") from error


def _bool(field: Field, item: Any) -> bool:
    if isinstance(item, bool):
        return item
    if item in ("true", "false"):
        return bool(item == "true")
    raise _unexpected(item, field)


def _double(field: Field, item: Any) -> float:
    if isinstance(item, bool) or not isinstance(item, int | float | str):
        raise _unexpected(item, field)
    try:
        return float(item)
    except (ValueError, OverflowError) as error:
        raise _unexpected(item, field) from error


def _integer(field: Field, item: Any) -> int:
    if isinstance(item, str):
        try:
            item = int(item) if len(item) < 32 else math.nan
        except ValueError as error:
            raise _unexpected(item, field) from error
    if isinstance(item, float) and math.isfinite(item):
        item = int(item)
    low, high = _RANGES[field.type]
    if isinstance(item, bool) or not isinstance(item, int) or not low <= item <= high:
        raise _unexpected(item, field)
    return item


_WORDS = {str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}


def _unexpected(item: Any, field: Field) -> Malformed:
    word = _WORDS.get(type(item), "value")
    return Malformed(f"Failed to convert JSON into a protobuf: Not expecting a JSON {word} for field '{field.name}'")


def dump(value: Message, of: MessageType) -> bytes:
    """The JSON bytes of a message."""
    return orjson.dumps(write(value, of))


def write(value: Message, of: MessageType) -> dict[str, Any]:
    """The JSON tree of a message, with stated defaults filled in."""
    tree: dict[str, Any] = {}
    for name, item in value.items():
        if name in of.plain:
            tree[name] = item
            continue
        field = of.fields[name]
        if field.map:
            tree[name] = {key: _written(field, part) for key, part in item.items()}
        elif not field.repeated:
            tree[name] = _written(field, item)
        elif item:
            tree[name] = _written_list(field, item)
    for field in of.defaults:
        tree.setdefault(field.name, field.default)
    return tree


def _written_list(field: Field, items: list[Any]) -> Any:
    if not isinstance(items, SharedList):
        return [_written(field, part) for part in items]
    if items.json is None:
        items.json = _fragment(orjson.dumps([_written(field, part) for part in items]))
    return items.json


def _fragment(written: bytes) -> orjson.Fragment:
    return orjson.Fragment(bytes(memoryview(written)))  # a copy, since the first has room to spare


def _written(field: Field, item: Any) -> Any:
    if isinstance(item, Shared):
        if item.json is None:
            item.json = _fragment(dump(item, message(field.type)))
        return item.json
    if isinstance(item, dict):
        return write(item, message(field.type))
    if field.type == "bytes":
        return base64.b64encode(item).decode()
    if field.type == "double" and not math.isfinite(item):
        return "NaN" if item != item else "Infinity" if item > 0 else "-Infinity"
    return item
