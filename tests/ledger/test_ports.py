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


addresses = st.sampled_from(("", "0.0.0.0", "10.0.0.1", "10.0.0.2"))
taken = st.lists(st.tuples(addresses, st.sampled_from(PROTOCOLS[:2]), st.integers(80, 82)), max_size=4)


def at(claims: list[tuple[str, str, int]]) -> PortSet:
    made = PortSet()
    for address, protocol, port in claims:
        made |= PortSet.of([(protocol, port)], address=address)
    return made


@given(taken, taken)
def test_addresses_clash_when_equal_or_when_one_is_every_address(
    left: list[tuple[str, str, int]], right: list[tuple[str, str, int]]
) -> None:
    one, two = at(left), at(right)
    everywhere = ("", "0.0.0.0")
    clash = any(
        a[1:] == b[1:] and (a[0] == b[0] or a[0] in everywhere or b[0] in everywhere) for a in left for b in right
    )
    assert one.overlaps(two) == two.overlaps(one) == clash
    assert set(one) == {claim[1:] for claim in left}
    assert (one | two) == (two | one)
    assert not (one - one)
    if not clash:
        assert ((one | two) - two) == one
