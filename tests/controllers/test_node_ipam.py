import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from bireme.controllers.node_ipam import Ranges


def test_in_turn_and_never_twice() -> None:
    ranges = Ranges("10.244.0.0/16", 24)
    seen = []
    while (network := ranges.free()) is not None:
        seen.append(network)
        ranges.take(network)
    assert seen[:2] == ["10.244.0.0/24", "10.244.1.0/24"]
    assert len(seen) == len(set(seen)) == 256
    ranges.give_back("10.244.7.0/24")
    assert ranges.free() == "10.244.7.0/24"


def test_larger_and_foreign_ranges() -> None:
    ranges = Ranges("10.244.0.0/16", 24)
    ranges.take("10.244.0.0/23")
    ranges.take("192.168.0.0/24")
    ranges.take("fd00::/64")
    assert ranges.free() == "10.244.2.0/24"
    ranges.take("10.0.0.0/8")
    assert ranges.free() is None


def test_ipv6() -> None:
    ranges = Ranges("fd00:1::/48", 64)
    ranges.take("fd00:1::/64")
    assert ranges.free() == "fd00:1:0:1::/64"


@given(st.lists(st.integers(0, 15)))
def test_what_is_free_touches_nothing_taken(numbers: list[int]) -> None:
    ranges = Ranges("10.0.0.0/20", 24)
    taken: list[str] = []
    for number in numbers:
        if taken and number % 3 == 0:
            ranges.give_back(taken.pop(number % len(taken)))
        elif (network := ranges.free()) is not None:
            assert not any(ipaddress.ip_network(network).overlaps(ipaddress.ip_network(item)) for item in taken)
            ranges.take(network)
            taken.append(network)
