"""Lists, sets, optional values, and mathematics.

Source: the documentation of the list library of Kubernetes, and of cel-go's ext.Sets, ext.Math and optional types.
"""

import datetime
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from bireme.api.cel.errors import CelError
from bireme.api.cel.functions import Row
from bireme.api.cel.values import NONE, Optional, UInt, compare, equal, to_int, to_uint

_ORDERED = ("int", "uint", "double", "bool", "string", "bytes", "timestamp", "duration")
_BITS = (1 << 64) - 1


def _is_sorted(items: list[Any]) -> bool:
    return all(compare(first, second) <= 0 for first, second in pairwise(items))


def _sum_of(zero: Any) -> Callable[[list[Any]], Any]:
    def total(items: list[Any]) -> Any:
        found = sum(items, zero)
        if type(zero) is int:
            return to_int(found)
        return to_uint(found) if type(zero) is UInt else found

    return total


def _extreme(name: str, choose: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    def extreme(items: list[Any]) -> Any:
        if not items:
            raise CelError(f"{name} called on empty list")
        return choose(items)

    return extreme


def _index_of(items: list[Any], item: Any) -> int:
    return next((place for place, each in enumerate(items) if equal(each, item)), -1)


def _last_index_of(items: list[Any], item: Any) -> int:
    return next((place for place in range(len(items) - 1, -1, -1) if equal(items[place], item)), -1)


# Sets


def _holds(items: list[Any], item: Any) -> bool:
    return any(equal(item, each) for each in items)


def _contains(items: list[Any], others: list[Any]) -> bool:
    return all(_holds(items, other) for other in others)


def _equivalent(items: list[Any], others: list[Any]) -> bool:
    return _contains(items, others) and _contains(others, items)


def _intersects(items: list[Any], others: list[Any]) -> bool:
    return any(_holds(items, other) for other in others)


# Optional values


def _of_non_zero(value: Any) -> Optional:
    empty = value is None or value is False or value in ("", b"", 0) or value in ([], {})
    return NONE if empty or value == datetime.timedelta() else Optional(value)


def _value(optional: Optional) -> Any:
    if not optional.present:
        raise CelError("optional.none() dereference")
    return optional.value


def _unwrap(items: list[Optional]) -> list[Any]:
    return [item.value for item in items if item.present]


def _first(items: list[Any]) -> Optional:
    return Optional(items[0]) if items else NONE


def _last(items: list[Any]) -> Optional:
    return Optional(items[-1]) if items else NONE


# Mathematics


def _greatest(*given: Any) -> Any:
    items = given[0] if isinstance(given[0], list) else given
    if not items:
        raise CelError("math.@max(list) argument must not be empty")
    return max(items)


def _least(*given: Any) -> Any:
    items = given[0] if isinstance(given[0], list) else given
    if not items:
        raise CelError("math.@min(list) argument must not be empty")
    return min(items)


def _absolute(value: Any) -> Any:
    return UInt(value) if isinstance(value, UInt) else to_int(abs(value)) if isinstance(value, int) else abs(value)


def _sign(value: Any) -> Any:
    sign = (value > 0) - (value < 0)
    if isinstance(value, float):
        return math.nan if math.isnan(value) else float(sign)
    return UInt(sign) if isinstance(value, UInt) else sign


def _rounded(way: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: value if math.isnan(value) or math.isinf(value) else float(way(value))


def _half_away(value: float) -> int:
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def _root(value: float) -> float:
    return math.sqrt(value) if value >= 0 else math.nan


def _int_bits(value: int) -> int:
    value &= _BITS
    return value - (1 << 64) if value >> 63 else value


def _shift_left(value: int, by: int) -> int:
    if by < 0:
        raise CelError(f"math.bitShiftLeft() negative offset: {by}")
    shifted = 0 if by > 63 else int(value) << by
    return UInt(shifted & _BITS) if isinstance(value, UInt) else _int_bits(shifted)


def _shift_right(value: int, by: int) -> int:
    if by < 0:
        raise CelError(f"math.bitShiftRight() negative offset: {by}")
    if by > 63:
        return UInt(0) if isinstance(value, UInt) else 0
    shifted = (int(value) & _BITS) >> by
    return UInt(shifted) if isinstance(value, UInt) else _int_bits(shifted)


def _lists() -> list[Row]:
    rows: list[Row] = [("isSorted", f"list<{kind}>.(): bool", _is_sorted, "elements") for kind in _ORDERED]
    for name, choose in (("min", min), ("max", max)):
        rows += [(name, f"list<{kind}>.(): {kind}", _extreme(name, choose), "elements") for kind in _ORDERED]
    zeros: dict[str, Any] = {"int": 0, "uint": UInt(0), "double": 0.0, "duration": datetime.timedelta()}
    rows += [("sum", f"list<{kind}>.(): {kind}", _sum_of(zero), "elements") for kind, zero in zeros.items()]
    return rows


def _math() -> list[Row]:
    numbers = ("int", "uint", "double")
    rows: list[Row] = []
    for name, run in (("math.@max", _greatest), ("math.@min", _least)):
        for kind in numbers:
            rows += [(name, f"({kind}): {kind}", run), (name, f"(list<{kind}>): {kind}", run, "elements")]
            rows += [(name, f"({kind}, {other}): {kind if kind == other else 'dyn'}", run) for other in numbers]
    for name, step in (("math.abs", _absolute), ("math.sign", _sign)):
        rows += [(name, f"({kind}): {kind}", step) for kind in numbers]
    for name, way in (("ceil", math.ceil), ("floor", math.floor), ("trunc", math.trunc), ("round", _half_away)):
        rows.append((f"math.{name}", "(double): double", _rounded(way)))
    rows += [("math.sqrt", f"({kind}): double", _root) for kind in numbers]
    rows += [
        ("math.isNaN", "(double): bool", math.isnan),
        ("math.isInf", "(double): bool", math.isinf),
        ("math.isFinite", "(double): bool", math.isfinite),
        ("math.bitNot", "(int): int", lambda a: ~a),
        ("math.bitNot", "(uint): uint", lambda a: UInt(~int(a) & _BITS)),
    ]
    bits: list[tuple[str, Callable[[int, int], int]]] = [
        ("math.bitAnd", lambda a, b: a & b),
        ("math.bitOr", lambda a, b: a | b),
        ("math.bitXor", lambda a, b: a ^ b),
    ]
    for name, both in bits:
        rows.append((name, "(int, int): int", both))
        rows.append((name, "(uint, uint): uint", _unsigned(both)))
    for name, shift in (("math.bitShiftLeft", _shift_left), ("math.bitShiftRight", _shift_right)):
        rows += [(name, "(int, int): int", shift), (name, "(uint, int): uint", shift)]
    return rows


def _unsigned(both: Callable[[int, int], int]) -> Callable[[int, int], UInt]:
    return lambda left, right: UInt(both(int(left), int(right)))


ROWS: list[Row] = [
    *_lists(),
    ("indexOf", "list<T>.(T): int", _index_of, "elements"),
    ("lastIndexOf", "list<T>.(T): int", _last_index_of, "elements"),
    ("sets.contains", "(list<T>, list<T>): bool", _contains, "product"),
    ("sets.equivalent", "(list<T>, list<T>): bool", _equivalent, "product"),
    ("sets.intersects", "(list<T>, list<T>): bool", _intersects, "product"),
    ("optional.of", "(T): optional<T>", Optional),
    ("optional.ofNonZeroValue", "(T): optional<T>", _of_non_zero),
    ("optional.none", "(): optional<T>", lambda: NONE),
    ("optional.unwrap", "(list<optional<T>>): list<T>", _unwrap, "elements"),
    ("unwrapOpt", "list<optional<T>>.(): list<T>", _unwrap, "elements"),
    ("hasValue", "optional<T>.(): bool", lambda optional: optional.present),
    ("value", "optional<T>.(): T", _value),
    ("or", "optional<T>.(optional<T>): optional<T>", _value),
    ("orValue", "optional<T>.(T): T", _value),
    ("first", "list<T>.(): optional<T>", _first),
    ("last", "list<T>.(): optional<T>", _last),
    ("cel.@mapInsert", "(map<K, V>, K, V): map<K, V>", _value),
    ("cel.@mapInsert", "(map<K, V>, map<K, V>): map<K, V>", _value),
    *_math(),
]
