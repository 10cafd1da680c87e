"""Quantities such as "1.5Gi". Source: the documentation of the quantity library of Kubernetes."""

from fractions import Fraction

from bireme.api import quantity
from bireme.api.cel.errors import CelError
from bireme.api.cel.functions import Row
from bireme.api.cel.values import INT_MAX, INT_MIN, Opaque

_NAME = "kubernetes.Quantity"


class Amount(Opaque):
    """A quantity."""

    __slots__ = ("nanos",)
    type_name = _NAME

    def __init__(self, nanos: int) -> None:
        self.nanos = nanos

    def same(self, other: Opaque) -> bool:
        return isinstance(other, Amount) and self.nanos == other.nanos

    def __str__(self) -> str:
        return quantity.canonical(_text(self.nanos))


def _text(nanos: int) -> str:
    return f"{nanos}n"


def _parse(text: str) -> Amount:
    try:
        return Amount(quantity.nanos(text))
    except quantity.QuantityError as error:
        raise CelError(str(error)) from None


def _whole(amount: int) -> Amount:
    return Amount(amount * quantity.NANOS)


def _as_integer(amount: Amount) -> int:
    if not _is_integer(amount):
        raise CelError("cannot convert value to integer")
    return amount.nanos // quantity.NANOS


def _is_integer(amount: Amount) -> bool:
    whole, rest = divmod(amount.nanos, quantity.NANOS)
    return not rest and INT_MIN <= whole <= INT_MAX


def _as_float(amount: Amount) -> float:
    return float(Fraction(amount.nanos, quantity.NANOS))


def _sign(amount: Amount) -> int:
    return (amount.nanos > 0) - (amount.nanos < 0)


def _compare(left: Amount, right: Amount) -> int:
    return (left.nanos > right.nanos) - (left.nanos < right.nanos)


ROWS: list[Row] = [
    ("quantity", f"(string): {_NAME}", _parse, "traverse"),
    ("isQuantity", "(string): bool", quantity.is_quantity, "traverse"),
    ("sign", f"{_NAME}.(): int", _sign),
    ("isInteger", f"{_NAME}.(): bool", _is_integer),
    ("asInteger", f"{_NAME}.(): int", _as_integer),
    ("asApproximateFloat", f"{_NAME}.(): double", _as_float),
    ("isGreaterThan", f"{_NAME}.({_NAME}): bool", lambda a, b: a.nanos > b.nanos),
    ("isLessThan", f"{_NAME}.({_NAME}): bool", lambda a, b: a.nanos < b.nanos),
    ("compareTo", f"{_NAME}.({_NAME}): int", _compare),
    ("add", f"{_NAME}.({_NAME}): {_NAME}", lambda a, b: Amount(a.nanos + b.nanos)),
    ("add", f"{_NAME}.(int): {_NAME}", lambda a, b: Amount(a.nanos + _whole(b).nanos)),
    ("sub", f"{_NAME}.({_NAME}): {_NAME}", lambda a, b: Amount(a.nanos - b.nanos)),
    ("sub", f"{_NAME}.(int): {_NAME}", lambda a, b: Amount(a.nanos - _whole(b).nanos)),
]
