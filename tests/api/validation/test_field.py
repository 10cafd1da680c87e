"""How faults are gathered, and when there are enough."""

import pytest

from bireme.api.errors import Cause
from bireme.api.validation.field import MOST_FAULTS, MOST_TEXT, Enough, Problems, and_more


def test_the_last_fault_that_is_shown_is_kept() -> None:
    problems = Problems(bounded=True)
    for number in range(MOST_FAULTS - 1):
        problems.required(f"a[{number}]")
    with pytest.raises(Enough):
        problems.required("b")
    assert len(problems) == MOST_FAULTS
    assert problems[-1].field == "b"


def test_long_messages_are_enough_sooner() -> None:
    problems = Problems(bounded=True)
    with pytest.raises(Enough):
        problems.invalid("a", "x" * MOST_TEXT, "is too long")
    assert len(problems) == 1


def test_faults_found_elsewhere_count_too() -> None:
    problems = Problems(bounded=True)
    with pytest.raises(Enough):
        problems += [Cause("FieldValueRequired", "Required value", "a")] * (MOST_FAULTS + 1)
    assert len(problems) == MOST_FAULTS


def test_unbounded_ones_go_on() -> None:
    problems = Problems()
    problems += [Cause("FieldValueRequired", "Required value", "a")] * 1000
    assert len(problems) == 1000


def test_a_last_cause_says_that_there_are_more() -> None:
    shown = and_more([Cause("FieldValueRequired", "Required value", "a")] * 3)
    assert shown[-1] == Cause("FieldValueTooMany", "Too many: 3: further faults are not shown")
