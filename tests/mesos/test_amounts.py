"""Exact amounts: what is added can be taken away again, and nothing is offered twice."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.mesos import amounts
from bireme.mesos.amounts import Amounts, Range, Unusable


def ranges() -> st.SearchStrategy[list[Range]]:
    return st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda pair: (pair[0], sum(pair))), max_size=5
    )


def numbers(of: list[Range] | amounts.Ranges) -> set[int]:
    return {number for begin, end in of for number in range(begin, end + 1)}


@given(ranges(), ranges())
def test_ranges_behave_as_sets(left: list[Range], right: list[Range]) -> None:
    assert numbers(amounts.union(left, right)) == numbers(left) | numbers(right)
    assert numbers(amounts.difference(left, right)) == numbers(left) - numbers(right)
    merged = amounts.union(left, right)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(merged))


@given(ranges(), st.integers(0, 30))
def test_the_first_numbers(held: list[Range], limit: int) -> None:
    merged = amounts.union(held)
    assert amounts.numbers(merged, limit=limit) == sorted(numbers(merged))[:limit]


def vectors() -> st.SearchStrategy[Amounts]:
    scalars = st.dictionaries(st.sampled_from(("cpus", "mem", "disk")), st.integers(1, 10_000))
    return st.builds(
        lambda held, ports: Amounts(held, {"ports": amounts.union(ports)} if ports else {}), scalars, ranges()
    )


@given(vectors(), vectors())
def test_a_sum_contains_its_parts(left: Amounts, right: Amounts) -> None:
    whole = left + right
    assert whole.contains(left)
    assert whole.contains(right)
    assert left.contains(left)
    assert (left - left) == amounts.NOTHING


@given(vectors())
def test_messages_say_the_same(held: Amounts) -> None:
    assert amounts.read(amounts.write(held, role="eng")) == held


@given(vectors())
def test_a_node_has_room_for_what_it_offers(held: Amounts) -> None:
    """Rounded up one way, down the other: an offer never promises more than the node gives."""
    vector = {"cpu": 7, "memory": 123_456_789, "ephemeral-storage": 1_000_000_007}
    again = amounts.to_node(amounts.from_node(vector))
    assert all(again[name] <= vector[name] for name in again)


def scalar(value: float, **more: object) -> dict[str, object]:
    return {"name": "cpus", "type": "SCALAR", "scalar": {"value": value}} | more


def port_range(*parts: Range) -> dict[str, object]:
    listed = [{"begin": begin, "end": end} for begin, end in parts]
    return {"name": "ports", "type": "RANGES", "ranges": {"range": listed}}


@pytest.mark.parametrize(
    "resources",
    [
        pytest.param([scalar(-1)], id="negative"),
        pytest.param([scalar(float("nan"))], id="not a number"),
        pytest.param([scalar(float("inf"))], id="infinite"),
        pytest.param([scalar(1, role="ads")], id="static reservation"),
        pytest.param([scalar(1, reservations=[{"type": "DYNAMIC", "role": "ads"}])], id="dynamic reservation"),
        pytest.param([scalar(1, revocable={})], id="revocable"),
        pytest.param([scalar(1, name="gpus") | {"scalar": {"value": 1.5}}], id="half a gpu"),
        pytest.param([port_range((5, 1))], id="range upside down"),
        pytest.param([port_range((1, 5), (5, 9))], id="ranges that overlap"),
        pytest.param([port_range((1, 5)), port_range((2, 3))], id="two resources that overlap"),
        pytest.param([{"name": "cpus", "type": "SCALAR"}], id="no value"),
        pytest.param([{"name": "", "type": "SCALAR", "scalar": {"value": 1}}], id="no name"),
    ],
)
def test_what_no_offer_holds(resources: list[amounts.Message]) -> None:
    with pytest.raises(Unusable):
        amounts.read(resources)


def test_three_decimals_are_exact() -> None:
    tenth = amounts.read([scalar(0.1)])
    assert amounts.total([tenth] * 10) == amounts.read([scalar(1)])
    assert amounts.read([scalar(0.0005)]).scalar("cpus") == 1
