"""Bits of a number behave as the set of pairs that they stand for."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bireme.ledger.ports import PROTOCOLS, PortSet

pairs = st.sets(st.tuples(st.sampled_from(PROTOCOLS), st.integers(1, 65535)), max_size=20)


@given(pairs, pairs)
def test_as_a_set_of_pairs(left: set[tuple[str, int]], right: set[tuple[str, int]]) -> None:
    one, two = PortSet.of(left), PortSet.of(right)
    assert set(one) == left
    assert set(one | two) == left | right
    assert set(one - two) == left - right
    assert one.overlaps(two) == bool(left & right)
    assert bool(one) == bool(left)
    assert all(pair in one for pair in left)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 20)), max_size=6))
def test_ranges_hold_both_protocols_and_come_back_joined(spans: list[tuple[int, int]]) -> None:
    ranges = [(first, first + more) for first, more in spans]
    made = PortSet.spanning(ranges)
    numbers = {number for first, last in ranges for number in range(first, last + 1)}
    assert set(made) == {(protocol, number) for protocol in ("TCP", "UDP") for number in numbers}
    assert {number for first, last in made.ranges() for number in range(first, last + 1)} == numbers
    assert all(low[1] + 1 < high[0] for low, high in itertools.pairwise(made.ranges()))
