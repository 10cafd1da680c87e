"""Exact amounts as Kubernetes writes them: "250m", "1Gi", "1e3", 0.5.

An amount is held as a whole number of nanos (10^-9), which is the finest unit that the API knows; finer parts
round away from zero and what is over 2^63-1 is capped, as the original does. Nothing here knows what a resource
is: see `resources.py`. Source: apimachinery pkg/api/resource, quantity.go and suffix.go (described, not copied).
"""

import re
from fractions import Fraction
from functools import lru_cache

from bireme.api.model import Quantity

RULE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"

NANOS = 10**9
_LARGEST = (2**63 - 1) * NANOS
_LONGEST_TEXT = 128  # a bound on the work that a hostile number can ask for
_LARGEST_EXPONENT = 40  # beyond it any amount is capped, or rounds to one nano

_FORM = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])|[eE]([+-]?\d+))?", re.ASCII)

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_NAMES = ("", *_BINARY)
_DECIMAL_NAMES = {power: name for name, power in _DECIMAL.items()}


class QuantityError(ValueError):
    """The text is no quantity."""


def parse(quantity: Quantity) -> Fraction | int:
    """The exact amount; an int when it is whole. Raises QuantityError."""
    amount = nanos(quantity)
    whole, rest = divmod(amount, NANOS)
    return Fraction(amount, NANOS) if rest else whole


def nanos(quantity: Quantity) -> int:
    """The amount in units of 10^-9, the form in which sums and comparisons are cheapest."""
    return _read(quantity if type(quantity) is str else repr(quantity))[0]


def milli(quantity: Quantity) -> int:
    """The amount in thousandths, rounded up (away from zero)."""
    return _scaled(nanos(quantity), NANOS // 1000)


def value(quantity: Quantity) -> int:
    """The amount in units, rounded up (away from zero)."""
    return _scaled(nanos(quantity), NANOS)


def canonical(quantity: Quantity) -> str:
    """The one spelling of that amount in its own family of suffixes: "1024Mi" is "1Gi", 0.5 is "500m"."""
    return _canonical(_text(quantity))


def from_milli(amount: int) -> str:
    """The canonical text of an amount in thousandths."""
    return _decimal(amount * (NANOS // 1000), exponent=False)


def is_quantity(quantity: object) -> bool:
    """Whether `parse` would take it."""
    if isinstance(quantity, bool) or not isinstance(quantity, str | int | float):
        return False
    try:
        nanos(quantity)
    except QuantityError:
        return False
    return True


def _text(quantity: Quantity) -> str:
    return quantity if isinstance(quantity, str) else repr(quantity)


def _scaled(amount: int, unit: int) -> int:
    return -(-amount // unit) if amount >= 0 else amount // unit


@lru_cache(maxsize=8192)
def _read(text: str) -> tuple[int, str]:
    """The amount in nanos, and its family: "binary", "decimal" or "exponent"."""
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    if found is None:
        raise QuantityError(RULE)
    sign, whole, part, suffix, exponent = found.groups()
    part = part or ""
    if not whole and not part:
        raise QuantityError(RULE)
    digits = int(whole + part)
    if suffix in _BINARY:
        family, amount = "binary", _over(digits * NANOS << 10 * _BINARY[suffix], 10 ** len(part))
    else:
        family = "decimal" if exponent is None else "exponent"
        power = _DECIMAL[suffix or ""] if exponent is None else _bounded(int(exponent))
        scale = power + 9 - len(part)
        amount = digits * 10**scale if scale >= 0 else _over(digits, 10**-scale)
    amount = min(amount, _LARGEST)
    return (-amount if sign == "-" else amount), family


def _over(amount: int, divisor: int) -> int:
    return -(-amount // divisor)


def _bounded(exponent: int) -> int:
    return max(-_LONGEST_TEXT - _LARGEST_EXPONENT, min(_LONGEST_TEXT + _LARGEST_EXPONENT, exponent))


@lru_cache(maxsize=8192)
def _canonical(text: str) -> str:
    return text_of(*_read(text))


def family_of(text: str) -> tuple[int, str]:
    """The amount in nanos, and the family of suffixes that `text` is written with. Raises QuantityError."""
    return _read(text)


def text_of(amount: int, family: str) -> str:
    """The canonical text of an amount in nanos, written with that family of suffixes."""
    # Small or broken amounts in the binary family are written in the decimal one, so that nothing is rounded.
    if family == "binary" and abs(amount) >= 1024 * NANOS and amount % NANOS == 0:
        return _binary(amount // NANOS)
    return _decimal(amount, exponent=family == "exponent")


def _binary(amount: int) -> str:
    power = 0
    while amount % 1024 == 0 and power < 6:
        amount //= 1024
        power += 1
    return f"{amount}{_BINARY_NAMES[power]}"


def _decimal(amount: int, *, exponent: bool) -> str:
    if amount == 0:
        return "0"
    power = -9
    while amount % 1000 == 0 and power < 18:
        amount //= 1000
        power += 3
    if exponent:
        return f"{amount}e{power}" if power else str(amount)
    return f"{amount}{_DECIMAL_NAMES[power]}"
