"""Text to parts of an expression: a thin seam over the parser of the CEL project.

The library's C++ parser has the grammar, the macros and the bounds (100,000 characters, 32 levels); what it
hands back is the wire form of `cel.expr.ParsedExpr`, which is read here by hand. Checking and evaluating are
ours (ADR 0015). The library is loaded when the first expression is parsed: it is large.
"""

import functools
import struct
from typing import Any

from bireme.api.cel.ast import (
    Call,
    Comprehension,
    Constant,
    Entry,
    Expr,
    Ident,
    ListOf,
    MapOf,
    Parsed,
    Select,
    StructOf,
)
from bireme.api.cel.errors import CelError
from bireme.api.cel.values import UInt

_EXTENSIONS = ("optional", "bindings", "two-var-comprehensions", "math")

# The fields of one message by number; a field that repeats has all its values.
_Fields = dict[int, list[Any]]


@functools.cache
def _environment() -> Any:
    from cel_expr_python import cel

    names = "".join(f"  - name: {name}\n" for name in _EXTENSIONS)
    return cel.NewEnv(config=cel.NewEnvConfigFromYaml(f"extensions:\n{names}"))


def parse(text: str) -> Parsed:
    """The parts of an expression. Raises CelError for wrong syntax."""
    try:
        wire: bytes = _environment().compile(text, disable_check=True).serialize()
    except RuntimeError as error:
        raise CelError(_told(str(error))) from None
    parsed = _fields(_fields(wire)[2][0])
    source = _fields(parsed[3][0]) if 3 in parsed else {}
    positions = {}
    for pair in source.get(4, ()):
        numbers = _fields(pair)
        positions[_one(numbers, 1, 0)] = _one(numbers, 2, 0)
    return Parsed(text, _expr(parsed[2][0]), positions)


def _told(message: str) -> str:
    """The library's message without the names of its status codes."""
    code, _, rest = message.partition(": ")
    if code.isupper():
        message = rest.removesuffix(f" [{code}]")
    if "ecursion" in message:
        return "ERROR: <input>:1:1: expression is nested too deeply"
    return message if message.startswith("ERROR:") else f"ERROR: <input>:1:1: {message}"


def _fields(data: bytes) -> _Fields:
    found: _Fields = {}
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
                found.setdefault(tag >> 3, []).append(value)
            case 1:
                found.setdefault(tag >> 3, []).append(data[at : at + 8])
                at += 8
            case _:
                size, at = _varint(data, at)
                found.setdefault(tag >> 3, []).append(data[at : at + size])
                at += size
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _one(fields: _Fields, number: int, default: Any) -> Any:
    values = fields.get(number)
    return values[-1] if values else default


def _text(fields: _Fields, number: int) -> str:
    value: bytes = _one(fields, number, b"")
    return value.decode()


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _expr(data: bytes) -> Expr:
    fields = _fields(data)
    id = _one(fields, 2, 0)
    for number, make in _MAKERS.items():
        if number in fields:
            return make(id, _fields(fields[number][0]))
    raise CelError("ERROR: <input>:1:1: unsupported expression")


def _constant(id: int, fields: _Fields) -> Expr:
    number, values = next(iter(fields.items()), (1, [0]))
    value: Any = values[0]
    match number:
        case 1:
            return Constant(id, None)
        case 2:
            return Constant(id, bool(value))
        case 3:
            return Constant(id, _signed(value))
        case 4:
            return Constant(id, UInt(value))
        case 5:
            return Constant(id, struct.unpack("<d", value)[0])
        case 6:
            return Constant(id, value.decode())
    return Constant(id, value)


def _ident(id: int, fields: _Fields) -> Expr:
    return Ident(id, _text(fields, 1))


def _select(id: int, fields: _Fields) -> Expr:
    return Select(id, _expr(fields[1][0]), _text(fields, 2), bool(_one(fields, 3, 0)))


def _call(id: int, fields: _Fields) -> Expr:
    target = _expr(fields[1][0]) if 1 in fields else None
    return Call(id, target, _text(fields, 2), tuple(_expr(each) for each in fields.get(3, ())))


def _list(id: int, fields: _Fields) -> Expr:
    places: list[int] = []
    for packed in fields.get(2, ()):
        at = 0
        while isinstance(packed, bytes) and at < len(packed):
            place, at = _varint(packed, at)
            places.append(place)
    return ListOf(id, tuple(_expr(each) for each in fields.get(1, ())), frozenset(places))


def _struct(id: int, fields: _Fields) -> Expr:
    entries = tuple(_entry(_fields(each)) for each in fields.get(2, ()))
    name = _text(fields, 1)
    return StructOf(id, name, entries) if name else MapOf(id, entries)


def _entry(fields: _Fields) -> Entry:
    key: Expr | str = _expr(fields[3][0]) if 3 in fields else _text(fields, 2)
    return Entry(_one(fields, 1, 0), key, _expr(fields[4][0]), bool(_one(fields, 5, 0)))


def _comprehension(id: int, fields: _Fields) -> Expr:
    parts = [_expr(fields[number][0]) for number in (2, 4, 5, 6, 7)]
    span, start, condition, step, result = parts
    return Comprehension(
        id,
        variable=_text(fields, 1),
        second=_text(fields, 8),
        range=span,
        accumulator=_text(fields, 3),
        start=start,
        condition=condition,
        step=step,
        result=result,
    )


_MAKERS = {
    3: _constant,
    4: _ident,
    5: _select,
    6: _call,
    7: _list,
    8: _struct,
    9: _comprehension,
}
