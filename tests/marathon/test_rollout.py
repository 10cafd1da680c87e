"""Decisions on instances: tables for each, and the promise of a rolling update as a property of whole plays."""

import math
import sys
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path[:0] = [str(Path(__file__).parent)]

from marathon_build import NOW, app, instance  # noqa: E402

from bireme.marathon.instances import DECOMMISSIONED, Instance  # noqa: E402
from bireme.marathon.model import App  # noqa: E402
from bireme.marathon.rollout import bounds, keep, overdue, replace, shrink, stop, victims  # noqa: E402


@pytest.mark.parametrize(
    ("instances", "minimum", "over", "serving", "expected"),
    [
        pytest.param(4, 1, 1, 4, (4, 8), id="doubles, then drops"),
        pytest.param(4, 0, 0, 4, (0, 4), id="kills all, then starts all"),
        pytest.param(4, 0.5, 0, 4, (2, 4), id="half at a time"),
        pytest.param(3, 0.5, 0.5, 3, (2, 4), id="rounds minimum up and maximum down"),
        pytest.param(4, 1, 0, 4, (4, 5), id="one more where nothing could move"),
        pytest.param(4, 1, 0, 3, (4, 4), id="none more while too few serve"),
        pytest.param(10, 0.3, 0.1, 10, (3, 11), id="no rounding error of floats"),
    ],
)
def test_bounds(instances: int, minimum: float, over: float, serving: int, expected: tuple[int, int]) -> None:
    assert bounds(app(instances=instances, minimum=minimum, over=over), serving) == expected


def test_victims_are_the_least_useful_then_the_youngest() -> None:
    spec = app(instances=5)
    old, young = instance(spec, "old", age=100), instance(spec, "young", age=1)
    staging = instance(spec, "staging", age=50, state="TASK_STAGING")
    lost = instance(spec, "lost", age=200, state="TASK_UNREACHABLE")
    chosen = victims(spec, [old, young, staging, lost], 3)
    assert [each.id for each in chosen] == ["lost", "staging", "young"]
    oldest = App({**spec.tree, "killSelection": "OLDEST_FIRST"})
    assert [each.id for each in victims(oldest, [young, old], 1)] == ["old"]


def test_victims_even_out_a_group_by() -> None:
    spec = App({**app(instances=4).tree, "constraints": [["hostname", "GROUP_BY"]]})
    there = [instance(spec, f"i{number}", host=host, age=9 - number) for number, host in enumerate("aaab")]
    assert [each.host for each in victims(spec, there, 2)] == ["a", "a"]


def test_keep_replaces_what_is_lost_and_kills_what_is_too_much() -> None:
    spec = app(instances=2)
    one, two, three = (instance(spec, name) for name in "abc")
    assert keep(spec, [one]).launch == 1
    assert len(keep(spec, [one, two, three]).kill) == 1
    assert keep(spec, [one, two]).done
    one.goal = DECOMMISSIONED
    assert keep(spec, [one, two]) == keep(spec, [two, one])
    assert keep(spec, [one, two]).launch == 1
    assert not keep(spec, [one, two]).done


def test_shrink_does_not_wait_for_health_and_stop_waits_for_the_end() -> None:
    spec = app(instances=1)
    staging = instance(spec, "a", state="TASK_STAGING")
    assert shrink(spec, [staging]).done
    assert not keep(spec, [staging]).done
    assert stop([staging]).kill == (staging,)
    assert not stop([staging]).done
    assert stop([]).done


@pytest.mark.parametrize(
    ("strategy", "seconds", "expected"),
    [
        pytest.param({"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}, 0, "expunge", id="at once"),
        pytest.param({"inactiveAfterSeconds": 60, "expungeAfterSeconds": 120}, 59, "", id="waits"),
        pytest.param({"inactiveAfterSeconds": 60, "expungeAfterSeconds": 120}, 60, "inactivate", id="is replaced"),
        pytest.param({"inactiveAfterSeconds": 60, "expungeAfterSeconds": 120}, 120, "expunge", id="is forgotten"),
        pytest.param("disabled", 10**6, "", id="is never replaced"),
    ],
)
def test_overdue(strategy: object, seconds: int, expected: str) -> None:
    spec = App({**app().tree, "unreachableStrategy": strategy})
    lost = instance(spec, "a", state="TASK_UNREACHABLE")
    lost.since = NOW
    assert overdue(lost, NOW + timedelta(seconds=seconds)) == expected


class Play:
    """A rolling update among tasks that start, become healthy, fail and die in any order."""

    def __init__(self, target: App, old: list[Instance], random: Random, *, failing: bool) -> None:
        self.target, self.there, self.random, self.failing = target, old, random, failing
        self.number = 0

    def serving(self) -> int:
        return sum(each.serving for each in self.there if each.wanted)

    def step(self) -> bool:
        """Decide, check the promise, let something happen; True when all is done."""
        before = self.serving()
        least, most = bounds(self.target, before)
        todo = replace(self.target, self.there)
        for each in todo.kill:
            each.goal = DECOMMISSIONED
        assert self.serving() >= min(least, before)
        for _ in range(todo.launch):
            self.number += 1
            self.there.append(instance(self.target, f"new-{self.number}", state="TASK_STAGING"))
        if todo.launch:
            assert len(self.there) <= most
        assert sum(each.wanted and each.app is self.target for each in self.there) <= self.target.instances
        if todo.done:
            return True
        self.happen()
        return False

    def happen(self) -> None:
        for each in list(self.there):
            luck = self.random.random()
            if each.goal == DECOMMISSIONED and luck < 0.5:
                self.there.remove(each)
            elif each.state == "TASK_STAGING" and luck < 0.6:
                each.state = "TASK_RUNNING"
            elif each.app is self.target and self.failing and luck > 0.9:
                self.there.remove(each)


@given(
    wanted=st.integers(1, 12),
    before=st.integers(0, 14),
    minimum=st.sampled_from([0, 0.3, 0.5, 0.75, 1]),
    over=st.sampled_from([0, 0.1, 0.5, 1]),
    idle=st.integers(0, 5),
    failing=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_capacity_stays_within_its_bounds_at_every_step(
    *, wanted: int, before: int, minimum: float, over: float, idle: int, failing: bool, seed: int
) -> None:
    first = app(instances=before, minimum=minimum, over=over, config="2026-01-01T00:00:00.000Z")
    target = app(instances=wanted, minimum=minimum, over=over, config="2026-01-02T00:00:00.000Z")
    old = [
        instance(first, f"old-{number}", state="TASK_RUNNING" if number >= idle else "TASK_STAGING")
        for number in range(before)
    ]
    play = Play(target, old, Random(seed), failing=failing)
    for turn in range(2000):
        if turn == 1000:
            play.failing = False
        if play.step():
            break
    else:
        raise AssertionError("the update never ends")
    assert len(play.there) == wanted
    assert all(each.app is target and each.serving for each in play.there)


def test_bounds_agree_with_the_words_of_the_reference() -> None:
    for count in range(1, 30):
        spec = app(instances=count, minimum=0.5, over=0.25)
        assert bounds(spec, 0) == (math.ceil(count * 0.5), math.floor(count * 1.25))
