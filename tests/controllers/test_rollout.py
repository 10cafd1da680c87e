"""Tables of single steps, and rollouts played to their end under every order of events."""

from typing import Any

import pytest
from controller_objects import deployment, replica_set
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api.kinds import apps
from bireme.controllers import rollout
from bireme.controllers.revisions import DESIRED, MAXIMUM
from bireme.controllers.rollout import Bounds


@pytest.mark.parametrize(
    ("replicas", "surge", "down", "expected"),
    [
        pytest.param(10, None, None, Bounds(3, 2), id="a quarter each, rounded up and down"),
        pytest.param(1, "25%", "25%", Bounds(1, 0), id="one pod surges"),
        pytest.param(4, 0, 0, Bounds(0, 1), id="both zero would never move"),
        pytest.param(3, "0%", "10%", Bounds(0, 1), id="both zero after rounding"),
        pytest.param(2, 1, 5, Bounds(1, 2), id="no more than all unavailable"),
        pytest.param(0, 1, 1, Bounds(1, 0), id="none wanted"),
        pytest.param(5, "x", "y%", Bounds(0, 1), id="what cannot be read is nothing"),
    ],
)
def test_bounds(replicas: int, surge: Any, down: Any, expected: Bounds) -> None:
    assert rollout.bounds(deployment(replicas, surge=surge, down=down)) == expected


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param((0, 0), [(3, 3)], {"new": 1}, id="surges before it removes"),
        pytest.param((1, 0), [(3, 3)], {}, id="waits for the new pod"),
        pytest.param((1, 1), [(3, 3)], {"old0": 2}, id="removes when the new pod is available"),
        pytest.param((1, 0), [(3, 1)], {}, id="cannot remove what is missing already when too few live"),
        pytest.param((3, 3), [(1, 1)], {"old0": 0}, id="the last old one goes"),
        pytest.param((5, 3), [], {"new": 3}, id="too many new ones"),
        pytest.param((1, 1), [(1, 0), (2, 2)], {"old0": 0}, id="unhealthy old pods first"),
        pytest.param((3, 3), [], {}, id="nothing to do"),
    ],
)
def test_rolling_step(new: tuple[int, int], old: list[tuple[int, int]], expected: dict[str, int]) -> None:
    sets = [replica_set(f"old{i}", *sizes, age=1000 - i) for i, sizes in enumerate(old)]
    step = rollout.rolling_step(deployment(3, surge=1, down=0), replica_set("new", *new, age=1), sets)
    assert step == expected


def test_a_status_older_than_the_last_step_allows_nothing_more() -> None:
    old = replica_set("old", 2, available=3)  # scaled from 3 a moment ago; its status does not know
    new = replica_set("new", 1, available=1, age=1)
    assert rollout.rolling_step(deployment(3, surge=1, down=0), new, [old]) == {"new": 2}
    assert rollout.rolling_step(deployment(3, surge=1, down=0), replica_set("new", 2, available=1), [old]) == {}


@pytest.mark.parametrize(
    ("new", "old", "live", "expected"),
    [
        pytest.param(None, [3], True, {"old0": 0}, id="old ones go first"),
        pytest.param(None, [0], True, {}, id="waits for the last old pod"),
        pytest.param(0, [0], True, {}, id="waits for the last old pod, with a new set"),
        pytest.param(0, [0], False, {"new": 3}, id="then the new ones come"),
        pytest.param(3, [0], False, {}, id="nothing to do"),
    ],
)
def test_recreate_step(new: int | None, old: list[int], live: bool, expected: dict[str, int]) -> None:
    there = deployment(3, strategy=apps.DeploymentStrategy(type="Recreate"))
    sets = [replica_set(f"old{i}", size) for i, size in enumerate(old)]
    fresh = None if new is None else replica_set("new", new)
    assert rollout.recreate_step(there, fresh, sets, old_pods_live=live) == expected


@pytest.mark.parametrize(
    ("wanted", "new", "old", "expected"),
    [
        pytest.param(5, (3, 3), [], {"new": 5}, id="one set takes it all"),
        pytest.param(0, (3, 3), [], {"new": 0}, id="to none"),
        pytest.param(15, (3, 13), [(8, 13), (2, 13)], {"new": 4, "old0": 12, "old1": 3}, id="growing, by size"),
        pytest.param(5, (3, 13), [(8, 13), (2, 13)], {"new": 2, "old0": 5, "old1": 1}, id="shrinking, by size"),
        pytest.param(0, (3, 13), [(8, 13)], {"new": 0, "old0": 0}, id="none of any"),
    ],
)
def test_resize(wanted: int, new: tuple[int, int], old: list[tuple[int, int]], expected: dict[str, int]) -> None:
    there = deployment(wanted, surge=3 if wanted == 15 else "25%", down=2)
    sets = [replica_set(f"old{i}", size, desired=10, maximum=m, age=900 + i) for i, (size, m) in enumerate(old)]
    sizes = rollout.resize(there, replica_set("new", new[0], desired=10, maximum=new[1], age=1), sets)
    limit = wanted + rollout.bounds(there).surge if wanted else 0
    assert set(sizes) == set(expected)
    if old:
        assert sum(sizes.values()) == limit
    else:
        assert sizes == expected


def test_a_saturated_new_set_leaves_nothing_to_the_old() -> None:
    new = replica_set("new", 3, desired=3, maximum=4)
    assert rollout.resize(deployment(3), new, [replica_set("old", 2, desired=2)]) == {"old": 0}


@given(
    wanted=st.integers(0, 30),
    sizes=st.lists(st.integers(1, 20), min_size=2, max_size=5),
    surge=st.sampled_from([0, 1, "25%", "100%"]),
)
def test_a_resize_never_goes_beyond_the_surge(wanted: int, sizes: list[int], surge: Any) -> None:
    there = deployment(wanted, surge=surge, down=1)
    before = sum(sizes)
    new, *old = [
        replica_set(f"rs{i}", size, desired=before, maximum=before, age=10 * i) for i, size in enumerate(sizes)
    ]
    after = rollout.resize(there, new, old)
    assert all(size >= 0 for size in after.values())
    limit = wanted + rollout.bounds(there).surge if wanted else 0
    if len(after) == len(sizes):
        assert sum(after.values()) == limit


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_never_fewer_available_than_promised_and_never_too_many(data: st.DataObject) -> None:
    """Pods become available, and old ones are found broken, in any order; the rollout keeps its bounds and ends."""
    wanted = data.draw(st.integers(1, 12))
    there = deployment(
        wanted,
        surge=data.draw(st.sampled_from([0, 1, 2, "25%", "100%"])),
        down=data.draw(st.sampled_from([0, 1, "25%", "50%"])),
    )
    bounds = rollout.bounds(there)
    old = [replica_set("old", wanted, age=1000)]
    if data.draw(st.booleans()):
        first = data.draw(st.integers(0, wanted))
        old = [replica_set("old", wanted - first, age=1000), replica_set("older", first, age=2000)]
    new = replica_set("new", 0, age=1)
    minimum = wanted - bounds.unavailable
    for _ in range(20 * wanted + 20):
        step = rollout.rolling_step(there, new, old)
        for item in [new, *old]:
            size = step.get(item.metadata.name)
            if size is not None:
                item.spec.replicas = size
                item.status.available_replicas = min(item.status.available_replicas or 0, size)
        assert rollout.total([new, *old]) <= wanted + bounds.surge
        assert rollout.available([new, *old]) >= minimum
        missing = (new.spec.replicas or 0) - (new.status.available_replicas or 0)
        if missing:
            new.status.available_replicas = (new.status.available_replicas or 0) + data.draw(st.integers(0, missing))
        if not step and rollout.available([new]) == wanted and not rollout.total(old):
            break
        if not step and missing:
            new.status.available_replicas = new.spec.replicas
    assert rollout.available([new]) == wanted
    assert rollout.total(old) == 0


def test_is_resize() -> None:
    assert rollout.is_resize(deployment(3), [replica_set("a", 2, desired=2)])
    assert not rollout.is_resize(deployment(3), [replica_set("a", 0, desired=2), replica_set("b", 3, desired=3)])
    assert not rollout.is_resize(deployment(3), [replica_set("a", 3)])
    assert DESIRED != MAXIMUM
