"""Operators, conversions and sizes. Source: the CEL specification, "List of standard definitions"."""

import datetime
import math
import re
from collections.abc import Callable
from typing import Any

from bireme.api.cel.coercion import parse_duration, parse_timestamp, show_duration, show_timestamp
from bireme.api.cel.errors import CelError
from bireme.api.cel.functions import Row
from bireme.api.cel.regex import matches
from bireme.api.cel.values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    UTC,
    Opaque,
    Optional,
    TypeValue,
    UInt,
    compare,
    equal,
    kind_of,
    to_int,
    to_uint,
)

Spend = Callable[[int], None]

# Texts and lists that expressions build may not grow beyond this.
LARGEST = 10_000_000


def check_size(size: int) -> None:
    """Raises CelError where something would get too large."""
    if size > LARGEST:
        raise CelError("value too large")


def metered_equal(spend: Spend, left: Any, right: Any) -> bool:
    """As `values.equal`, and what it goes over is paid for."""
    kind = type(left)
    if kind is type(right) and kind in (list, dict):
        if left is right:
            return True
        if len(left) != len(right):
            spend(1)
            return False
        spend(1 + len(left) // 10)
        if kind is list:
            return all(metered_equal(spend, mine, other) for mine, other in zip(left, right, strict=True))
        return all(key in right and metered_equal(spend, value, right[key]) for key, value in left.items())
    spend(1 + (min(len(left), len(right)) // 10 if kind is str and type(right) is str else 0))
    return equal(left, right)


def _not_equal(spend: Spend, left: Any, right: Any) -> bool:
    return not metered_equal(spend, left, right)


def _in_list(spend: Spend, item: Any, items: list[Any]) -> bool:
    spend(len(items) or 1)
    if type(item) is str:
        return item in items
    if type(item) in (list, dict):
        return any(metered_equal(spend, item, each) for each in items)
    return any(equal(item, each) for each in items)


def _in_map(item: Any, entries: dict[Any, Any]) -> bool:
    return item in entries if isinstance(item, (str, int, float)) else False


def _not(value: bool) -> bool:
    return not value


def _plus_text(left: Any, right: Any) -> Any:
    check_size(len(left) + len(right))
    return left + right


def _quotient(left: int, right: int) -> int:
    if right == 0:
        raise CelError("division by zero")
    whole = abs(left) // abs(right)
    return to_int(whole if (left < 0) == (right < 0) else -whole)


def _remainder(left: int, right: int) -> int:
    if right == 0:
        raise CelError("modulus by zero")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def _float_quotient(left: float, right: float) -> float:
    if right == 0:
        if left == 0 or math.isnan(left):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    return left / right


def _times(left: float, right: float) -> float:
    return left * right


def _moment(value: datetime.datetime, amount: datetime.timedelta) -> datetime.datetime:
    try:
        return value + amount
    except OverflowError as error:
        raise CelError("timestamp overflow") from error


def _index_list(items: list[Any], index: float) -> Any:
    place = int(index)
    if place == index and 0 <= place < len(items):
        return items[place]
    raise CelError(f"index out of bounds: {place}")


def _index_map(entries: dict[Any, Any], key: Any) -> Any:
    try:
        return entries[key]
    except (KeyError, TypeError):
        raise CelError(f"no such key: {key}") from None


def _optional_index(value: Any, key: Any) -> Optional:
    if isinstance(value, Optional):
        return _optional_index(value.value, key) if value.present else value
    if isinstance(value, list):
        found = isinstance(key, int) and 0 <= key < len(value)
        return Optional(value[key]) if found else Optional(None, present=False)
    found = isinstance(value, dict) and isinstance(key, (str, int, float)) and key in value
    return Optional(value[key]) if found else Optional(None, present=False)


def _less(left: Any, right: Any) -> bool:
    return compare(left, right) < 0


def _at_most(left: Any, right: Any) -> bool:
    return compare(left, right) <= 0


def _greater(left: Any, right: Any) -> bool:
    return compare(left, right) > 0


def _at_least(left: Any, right: Any) -> bool:
    return compare(left, right) >= 0


# Conversions


def _double_to_int(value: float) -> int:
    if math.isnan(value) or not INT_MIN < value < INT_MAX:
        raise CelError("integer overflow")
    return int(value)


def _double_to_uint(value: float) -> UInt:
    if math.isnan(value) or not 0 <= value < UINT_MAX:
        raise CelError("unsigned integer overflow")
    return UInt(value)


def _text_to_int(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,25}", text, re.ASCII):
        raise CelError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return to_int(int(text))


def _text_to_uint(text: str) -> UInt:
    if not re.fullmatch(r"\d{1,25}", text, re.ASCII):
        raise CelError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return to_uint(int(text))


def _text_to_double(text: str) -> float:
    if not re.fullmatch(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|[Ii]nf(inity)?|[Nn]a[Nn])", text):
        raise CelError(f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    return float(text)


def _text_to_bool(text: str) -> bool:
    if text in ("true", "True", "TRUE", "t", "1"):
        return True
    if text in ("false", "False", "FALSE", "f", "0"):
        return False
    raise CelError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def show_double(value: float) -> str:
    """A number as Go's %g writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return re.sub(r"e([+-])(\d)$", r"e\g<1>0\2", repr(value))


def _bytes_to_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None


def _type_of(value: Any) -> TypeValue:
    return TypeValue(kind_of(value))


def _same(value: Any) -> Any:
    return value


def _epoch(value: datetime.datetime) -> int:
    return math.floor(value.timestamp())


def _from_epoch(seconds: int) -> datetime.datetime:
    try:
        return datetime.datetime.fromtimestamp(seconds, tz=UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise CelError("timestamp overflow") from error


def _ordered() -> list[Row]:
    kinds = ["int", "uint", "double"]
    pairs = [(left, right) for left in kinds for right in kinds]
    pairs += [(kind, kind) for kind in ("bool", "timestamp", "duration")]
    texts = ["string", "bytes"]
    rows: list[Row] = []
    for name, run in (("_<_", _less), ("_<=_", _at_most), ("_>_", _greater), ("_>=_", _at_least)):
        rows += [(name, f"({left}, {right}): bool", run) for left, right in pairs]
        rows += [(name, f"({kind}, {kind}): bool", run, "shorter") for kind in texts]
    return rows


def _text_of(value: Opaque) -> str:
    return str(value)


ROWS: list[Row] = [
    ("_&&_", "(bool, bool): bool", _same),
    ("_||_", "(bool, bool): bool", _same),
    ("_?_:_", "(bool, T, T): T", _same),
    ("@not_strictly_false", "(bool): bool", _same),
    ("!_", "(bool): bool", _not),
    ("_==_", "(T, T): bool", metered_equal, "metered"),
    ("_!=_", "(T, T): bool", _not_equal, "metered"),
    ("@in", "(T, list<T>): bool", _in_list, "metered"),
    ("@in", "(K, map<K, V>): bool", lambda spend, item, entries: _in_map(item, entries), "metered"),
    ("_[_]", "(list<T>, int): T", _index_list),
    ("_[_]", "(map<K, V>, K): V", _index_map),
    ("_[_]", "(optional<list<T>>, int): optional<T>", _optional_index),
    ("_[_]", "(optional<map<K, V>>, K): optional<V>", _optional_index),
    ("_[?_]", "(list<T>, int): optional<T>", _optional_index),
    ("_[?_]", "(map<K, V>, K): optional<V>", _optional_index),
    ("_[?_]", "(optional<list<T>>, int): optional<T>", _optional_index),
    ("_[?_]", "(optional<map<K, V>>, K): optional<V>", _optional_index),
    ("_+_", "(int, int): int", lambda a, b: to_int(a + b)),
    ("_+_", "(uint, uint): uint", lambda a, b: to_uint(int(a) + int(b))),
    ("_+_", "(double, double): double", lambda a, b: a + b),
    ("_+_", "(string, string): string", _plus_text, "joined"),
    ("_+_", "(bytes, bytes): bytes", _plus_text, "joined"),
    ("_+_", "(list<T>, list<T>): list<T>", _plus_text, "joined"),
    ("_+_", "(timestamp, duration): timestamp", _moment),
    ("_+_", "(duration, timestamp): timestamp", lambda a, b: _moment(b, a)),
    ("_+_", "(duration, duration): duration", lambda a, b: a + b),
    ("_-_", "(int, int): int", lambda a, b: to_int(a - b)),
    ("_-_", "(uint, uint): uint", lambda a, b: to_uint(int(a) - int(b))),
    ("_-_", "(double, double): double", lambda a, b: a - b),
    ("_-_", "(timestamp, timestamp): duration", lambda a, b: a - b),
    ("_-_", "(timestamp, duration): timestamp", lambda a, b: _moment(a, -b)),
    ("_-_", "(duration, duration): duration", lambda a, b: a - b),
    ("_*_", "(int, int): int", lambda a, b: to_int(a * b)),
    ("_*_", "(uint, uint): uint", lambda a, b: to_uint(int(a) * int(b))),
    ("_*_", "(double, double): double", _times),
    ("_/_", "(int, int): int", _quotient),
    ("_/_", "(uint, uint): uint", lambda a, b: UInt(_quotient(a, b))),
    ("_/_", "(double, double): double", _float_quotient),
    ("_%_", "(int, int): int", _remainder),
    ("_%_", "(uint, uint): uint", lambda a, b: UInt(_remainder(a, b))),
    ("-_", "(int): int", lambda a: to_int(-a)),
    ("-_", "(double): double", lambda a: -a),
    *_ordered(),
    ("size", "(string): int", len),
    ("size", "(bytes): int", len),
    ("size", "(list<T>): int", len),
    ("size", "(map<K, V>): int", len),
    ("size", "string.(): int", len),
    ("size", "bytes.(): int", len),
    ("size", "list<T>.(): int", len),
    ("size", "map<K, V>.(): int", len),
    ("contains", "string.(string): bool", lambda a, b: b in a, "contains"),
    ("startsWith", "string.(string): bool", str.startswith, "argument"),
    ("endsWith", "string.(string): bool", str.endswith, "argument"),
    ("matches", "string.(string): bool", matches, "pattern"),
    ("matches", "(string, string): bool", matches, "pattern"),
    ("int", "(int): int", _same),
    ("int", "(uint): int", lambda a: to_int(int(a))),
    ("int", "(double): int", _double_to_int),
    ("int", "(string): int", _text_to_int, "traverse"),
    ("int", "(timestamp): int", _epoch),
    ("uint", "(uint): uint", _same),
    ("uint", "(int): uint", to_uint),
    ("uint", "(double): uint", _double_to_uint),
    ("uint", "(string): uint", _text_to_uint, "traverse"),
    ("double", "(double): double", _same),
    ("double", "(int): double", float),
    ("double", "(uint): double", float),
    ("double", "(string): double", _text_to_double, "traverse"),
    ("bool", "(bool): bool", _same),
    ("bool", "(string): bool", _text_to_bool),
    ("string", "(string): string", _same),
    ("string", "(bool): string", lambda a: "true" if a else "false"),
    ("string", "(int): string", str),
    ("string", "(uint): string", lambda a: str(int(a))),
    ("string", "(double): string", show_double),
    ("string", "(bytes): string", _bytes_to_text, "traverse"),
    ("string", "(timestamp): string", show_timestamp),
    ("string", "(duration): string", show_duration),
    ("string", "(kubernetes.IP): string", _text_of),
    ("string", "(kubernetes.CIDR): string", _text_of),
    ("string", "(kubernetes.URL): string", _text_of),
    ("bytes", "(bytes): bytes", _same),
    ("bytes", "(string): bytes", str.encode, "traverse"),
    ("timestamp", "(string): timestamp", parse_timestamp),
    ("timestamp", "(timestamp): timestamp", _same),
    ("timestamp", "(int): timestamp", _from_epoch),
    ("duration", "(string): duration", parse_duration),
    ("duration", "(duration): duration", _same),
    ("dyn", "(T): dyn", _same),
    ("type", "(T): type<T>", _type_of),
]
