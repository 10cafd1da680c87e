"""Sums of quantities that remember how they were written, so that 64Mi and 64Mi are 128Mi and not 134217728.

A vector holds amounts by resource name. What a name means is left to those who count. A sum is written as its
first part was, as in apimachinery's pkg/api/resource (described, not copied).
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from bireme.api import quantity
from bireme.api.model import Quantity


class Amount(NamedTuple):
    """A whole number of nanos, and the family of suffixes that it is written with."""

    nanos: int
    family: str = "decimal"

    def plus(self, other: "Amount") -> "Amount":
        return Amount(self.nanos + other.nanos, self.family if self.nanos else other.family)

    def minus(self, other: "Amount") -> "Amount":
        return Amount(self.nanos - other.nanos, self.family if self.nanos else other.family)

    def __str__(self) -> str:
        return quantity.text_of(self.nanos, self.family)


Amounts = Mapping[str, Amount]
ZERO = Amount(0)


def read_amount(of: Quantity) -> Amount:
    """The amount of a quantity as the API holds it. Raises QuantityError."""
    return _read(of if type(of) is str else repr(of))


@lru_cache(maxsize=8192)
def _read(text: str) -> Amount:
    return Amount(*quantity.family_of(text))


def count(number: int) -> Amount:
    """So many things."""
    return Amount(number * quantity.NANOS)


def read(amounts: Mapping[str, Quantity] | None) -> dict[str, Amount]:
    """A vector from the map of quantities that the API holds."""
    return {name: read_amount(of) for name, of in amounts.items()} if amounts else {}


def write(amounts: Amounts) -> dict[str, str]:
    """The map of quantities that the API holds."""
    return {name: str(of) for name, of in amounts.items()}


def add(left: Amounts, right: Amounts) -> dict[str, Amount]:
    """The sum, name by name."""
    total = dict(left)
    for name, of in right.items():
        held = total.get(name)
        total[name] = of if held is None else held.plus(of)
    return total


def subtract(left: Amounts, right: Amounts) -> dict[str, Amount]:
    """What is left, name by name; it may go below 0."""
    rest = dict(left)
    for name, of in right.items():
        rest[name] = rest.get(name, ZERO).minus(of)
    return rest


def largest(vectors: Iterable[Amounts]) -> dict[str, Amount]:
    """The largest amount of each name."""
    most: dict[str, Amount] = {}
    for vector in vectors:
        for name, of in vector.items():
            if name not in most or of.nanos > most[name].nanos:
                most[name] = of
    return most


def only(amounts: Amounts, names: Iterable[str]) -> dict[str, Amount]:
    """The part of the vector under these names."""
    return {name: amounts[name] for name in names if name in amounts}


def shown(amounts: Amounts) -> str:
    """`cpu=1,memory=1Gi`, in the order of the names, as refusals say it."""
    return ",".join(f"{name}={amounts[name]}" for name in sorted(amounts))
