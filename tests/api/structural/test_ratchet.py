"""What an update of an object is excused from, and what that may cost."""

import time
from typing import Any

import pytest

from bireme.api.structural.checks import compile_check
from bireme.api.structural.places import Faults, Place
from bireme.api.structural.ratchet import Ratchet
from bireme.api.validation.field import MOST_FAULTS, Enough

KEYS = ("n",)


@pytest.mark.parametrize(
    ("new", "old", "place", "excused"),
    [
        pytest.param({"a": 1}, {"a": 1}, None, True, id="an object as it was"),
        pytest.param({"a": 1, "b": 1}, {"a": 1, "b": 2}, (None, "a"), True, id="a field as it was"),
        pytest.param({"a": 1}, {"a": 2}, (None, "a"), False, id="a field that changed"),
        pytest.param({"a": 1}, {}, (None, "a"), False, id="a new field"),
        pytest.param(
            {"a": {"b": 1}, "c": 1}, {"a": {"b": 1}}, ((None, "a"), "b"), True, id="below what is as it was"
        ),
        pytest.param({"l": [1, 2]}, {"l": [1]}, ((None, "l"), (0, None)), False, id="an item without a key"),
        pytest.param({"l": [{"n": 2}, {"n": 1}]}, {"l": [{"n": 1}]}, ((None, "l"), (1, KEYS)), True, id="moved"),
        pytest.param(
            {"l": [{"n": 1}]},
            {"l": [{"n": 1}, {"n": 1}]},
            ((None, "l"), (0, KEYS)),
            False,
            id="a key that stood twice",
        ),
    ],
)
def test_excuses(new: Any, old: Any, place: Place, excused: bool) -> None:
    assert Ratchet(new, old).excuses(place) is excused


ITEM = {"type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "integer", "maximum": 1}}}
LISTED = {"type": "array", "items": ITEM, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}


def test_new_faults_count_behind_many_that_are_excused() -> None:
    items = [{"n": str(number), "v": 2} for number in range(20_000)]
    check, found = compile_check(LISTED), Faults(excuse=Ratchet([*items, {"n": "x", "v": 3}], items))
    assert check is not None
    began = time.process_time()
    check([*items, {"n": "x", "v": 3}], None, found)
    assert time.process_time() - began < 8
    assert [cause.field for cause in found.causes] == ["[20000].v"]


def test_faults_end_where_there_are_enough() -> None:
    check, found = compile_check(LISTED), Faults()
    assert check is not None
    with pytest.raises(Enough):
        check([{"n": str(number), "v": 2} for number in range(1000)], None, found)
    assert len(found.causes) == MOST_FAULTS
