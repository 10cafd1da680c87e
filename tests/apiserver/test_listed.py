from types import SimpleNamespace

import pytest

from bireme.api.scheme import builtin
from bireme.apiserver.listed import KEPT_S, Listed
from bireme.registry.headers import HeaderReader
from bireme.registry.kinds import kind_of
from bireme.registry.record import Record, encode

PODS = kind_of(builtin().of_kind("", "v1", "Pod"))
NODES = kind_of(builtin().of_kind("", "v1", "Node"))
SIZE = 1_000


def record(name: str, revision: int, *, fill: str = "x") -> Record:
    tree = {"metadata": {"name": name, "annotations": {"at": str(revision), "filled": fill * SIZE}}}
    return HeaderReader(PODS.resource).read(f"{PODS.key_prefix}default/{name}", encode(PODS.resource, tree), revision)


def lists(listed: Listed, *records: Record) -> list[bytes]:
    return listed.spell(PODS)(list(records))


@pytest.fixture
def clock():
    return SimpleNamespace(now=0.0)


@pytest.fixture
def listed(clock):
    return Listed(lambda: clock.now, limit=5 * SIZE)


def test_from_the_second_list_on_an_object_is_spelled_out_once(listed):
    one = record("a", 1)
    (first,), (second,), (third,) = lists(listed, one), lists(listed, one), lists(listed, one)
    assert first == second == third == one.stamped()
    assert first is not second
    assert second is third


def test_an_object_that_was_written_is_spelled_out_anew(listed):
    for revision in (1, 1, 1, 2, 3):
        now = record("a", revision)
        assert lists(listed, now) == [now.stamped()]


def test_a_list_beyond_the_bound_gains_for_its_beginning(listed):
    pods = [record(f"p{number}", number + 1) for number in range(20)]
    _, second, third = (lists(listed, *pods) for _ in range(3))
    assert third == [one.stamped() for one in pods]
    kept = [one is other for one, other in zip(second, third, strict=True)]
    assert kept == [True] * sum(kept) + [False] * (20 - sum(kept))
    assert 3 <= sum(kept) <= 5


def test_what_is_no_longer_listed_makes_room_in_time(listed, clock):
    pods = [record(f"p{number}", number + 1) for number in range(20)]
    lists(listed, *pods)
    lists(listed, *pods)
    clock.now = KEPT_S + 1
    others = [record("other", 100)]
    lists(listed, *others)
    assert lists(listed, *others)[0] is lists(listed, *others)[0]


def test_kinds_are_listed_each_for_itself(listed, clock):
    lists(listed)
    anew = listed.spell(NODES)
    assert listed.spell(PODS) != anew
    clock.now = KEPT_S + 1
    assert listed.spell(PODS) == anew


def test_what_is_made_up_is_not_kept(listed):
    for fill in "aabc":
        one = record("a", 0, fill=fill)
        assert lists(listed, one) == [one.stamped()]
