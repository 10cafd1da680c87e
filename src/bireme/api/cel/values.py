"""What expressions compute with: plain JSON values, and a few of our own beside them.

bool, int, float, str, bytes, None, list and dict stand for themselves; a timestamp is an aware datetime and a
duration a timedelta. Python counts True as 1, which CEL doesn't, so equality is ours. Source: the CEL
specification, "Values" and "Equality".
"""

import datetime
import math
from dataclasses import dataclass
from typing import Any

from bireme.api.cel.errors import CelError

INT_MIN, INT_MAX, UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
UTC = datetime.UTC


class UInt(int):
    """An unsigned number."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class TypeValue:
    """A type as a value, as `type(x)` gives."""

    name: str


class Optional:
    """A value that may be absent."""

    __slots__ = ("present", "value")

    def __init__(self, value: Any, *, present: bool = True) -> None:
        self.value = value
        self.present = present


NONE = Optional(None, present=False)


class Opaque:
    """A value of a library type; `type_name` is what the checker calls it."""

    __slots__ = ()
    type_name = "opaque"

    def same(self, other: "Opaque") -> bool:
        """Equal, where both are of one type."""
        return self is other


_KINDS: dict[type, str] = {
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null_type",
    list: "list",
    tuple: "list",
    dict: "map",
    datetime.datetime: "google.protobuf.Timestamp",
    datetime.timedelta: "google.protobuf.Duration",
    TypeValue: "type",
    Optional: "optional_type",
}
_NUMBERS = (int, float, UInt)


def kind_of(value: Any) -> str:
    """The name of a value's type."""
    known = _KINDS.get(type(value))
    if known is not None:
        return known
    name: str = getattr(value, "type_name", "dyn")
    return name


def equal(left: Any, right: Any) -> bool:
    """`left == right` as CEL has it: numbers by value whatever their type, and nothing equals its like by chance."""
    kind, other = type(left), type(right)
    if kind is other:
        if kind is list:
            return len(left) == len(right) and all(map(equal, left, right))
        if kind is dict:
            return len(left) == len(right) and all(
                key in right and equal(value, right[key]) for key, value in left.items()
            )
        if kind is Optional:
            return left.present == right.present and (not left.present or equal(left.value, right.value))
        if isinstance(left, Opaque):
            return left.same(right)
        return bool(left == right)
    if kind in _NUMBERS and other in _NUMBERS:
        return bool(left == right)
    return False


def size_of(value: Any) -> int:
    """How long a text, list or map is; 1 for everything else. For costs."""
    if isinstance(value, (str, bytes, list, dict)):
        return len(value)
    if isinstance(value, Opaque):
        return getattr(value, "size", 1)
    return 1


def to_int(value: int) -> int:
    """An integer that fits. Raises CelError."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise CelError("integer overflow")


def to_uint(value: int) -> UInt:
    """An unsigned number that fits. Raises CelError."""
    if 0 <= value <= UINT_MAX:
        return UInt(value)
    raise CelError("unsigned integer overflow")


def compare(left: Any, right: Any) -> int:
    """-1, 0 or 1; numbers of different types by value."""
    if (isinstance(left, float) and math.isnan(left)) or (isinstance(right, float) and math.isnan(right)):
        raise CelError("NaN values cannot be ordered")
    return -1 if left < right else 1 if left > right else 0
