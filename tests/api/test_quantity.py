"""Quantities: what is read, what is refused, and one spelling for one amount."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api import quantity

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e3", "E-3", "e0"]


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        pytest.param("250m", Fraction(1, 4), id="thousandths"),
        pytest.param("1Gi", 2**30, id="binary"),
        pytest.param("1.5Gi", 3 * 2**29, id="binary with a fraction"),
        pytest.param("1e3", 1000, id="exponent"),
        pytest.param("1E", 10**18, id="E alone is exa"),
        pytest.param("1E2", 100, id="E with digits is an exponent"),
        pytest.param("100u", Fraction(1, 10_000), id="millionths"),
        pytest.param(".5", Fraction(1, 2), id="no whole part"),
        pytest.param("5.", 5, id="no fraction after the dot"),
        pytest.param("+2", 2, id="plus sign"),
        pytest.param("-1k", -1000, id="minus sign"),
        pytest.param(2, 2, id="a number"),
        pytest.param(0.5, Fraction(1, 2), id="a number with a fraction"),
        pytest.param("0.1n", Fraction(1, 10**9), id="finer than nano rounds up"),
        pytest.param("-0.1n", Fraction(-1, 10**9), id="finer than nano rounds away from zero"),
        pytest.param("1e99999999", 2**63 - 1, id="a huge exponent is capped without work"),
        pytest.param("-100E", -(2**63 - 1), id="capped below zero"),
        pytest.param("1e-99999999", Fraction(1, 10**9), id="a tiny exponent rounds up to a nano"),
    ],
)
def test_parse(given_text: str | float, expected: Fraction | int) -> None:
    assert quantity.parse(given_text) == expected


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1Kib", "1KB", "m", "1.2.3", "--1", "1e", "1e1.5", "1i", "٣", "9" * 200]
)
def test_refused(text: str) -> None:
    with pytest.raises(quantity.QuantityError):
        quantity.parse(text)
    assert not quantity.is_quantity(text)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        pytest.param("1000m", "1", id="thousand thousandths"),
        pytest.param("0.5", "500m", id="fraction"),
        pytest.param("1024Mi", "1Gi", id="binary goes up"),
        pytest.param("1.5Gi", "1536Mi", id="binary fraction goes down"),
        pytest.param("1000Mi", "1000Mi", id="binary keeps its family"),
        pytest.param("0.5Ki", "512", id="under 1024 is decimal"),
        pytest.param("1000", "1k", id="decimal goes up"),
        pytest.param("1048576", "1048576", id="no thousand in it"),
        pytest.param("1e3", "1e3", id="exponent stays"),
        pytest.param("1000E0", "1e3", id="exponent in steps of three"),
        pytest.param("12e1", "120", id="exponent of none"),
        pytest.param("0Gi", "0", id="zero"),
        pytest.param("-2500m", "-2500m", id="negative"),
        pytest.param(3, "3", id="number"),
        pytest.param(0.1, "100m", id="number with fraction"),
    ],
)
def test_canonical(given_text: str | float, expected: str) -> None:
    assert quantity.canonical(given_text) == expected


def test_rounding_goes_up() -> None:
    assert quantity.milli("1.0001") == 1001
    assert quantity.milli("100u") == 1
    assert quantity.value("1.5") == 2
    assert quantity.value("1m") == 1
    assert quantity.value("-1.5") == -2


@given(st.integers(min_value=-(10**9), max_value=10**9), st.sampled_from(SUFFIXES))
def test_canonical_keeps_the_amount_and_is_its_own_canonical(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    once = quantity.canonical(text)
    assert quantity.parse(once) == quantity.parse(text)
    assert quantity.canonical(once) == once


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    if quantity.is_quantity(text):
        assert quantity.parse(quantity.canonical(text)) == quantity.parse(text)


@given(st.integers(min_value=0, max_value=10**15))
def test_milli_round_trip(amount: int) -> None:
    assert quantity.milli(quantity.from_milli(amount)) == amount
