import random

import pytest
from controller_objects import NOW, ago, pod
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.kinds import core
from bireme.controllers import replicas


def made(number: int, **fields: object) -> list[core.Pod]:
    return [pod(f"p{index}", **fields) for index in range(number)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "active", "create", "delete"),
    [
        pytest.param(3, 3, 0, 0, id="enough are left alone"),
        pytest.param(3, 1, 2, 0, id="missing ones are made"),
        pytest.param(1, 3, 0, 2, id="surplus ones go"),
        pytest.param(0, 3, 0, 3, id="none are wanted"),
        pytest.param(2000, 0, 500, 0, id="no more than a burst at once"),
        pytest.param(0, 600, 0, 500, id="no more than a burst at once goes"),
    ],
)
def test_plan(wanted: int, active: int, create: int, delete: int) -> None:
    plan = replicas.plan(wanted, made(active), now=NOW)
    assert (plan.create, len(plan.delete)) == (create, delete)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        pytest.param({"node": ""}, {"node": "n1", "ready": False}, id="unassigned"),
        pytest.param({"phase": "Pending"}, {"phase": "Unknown"}, id="pending before unknown"),
        pytest.param({"phase": "Unknown"}, {"phase": "Running", "ready": False}, id="unknown before running"),
        pytest.param({"ready": False}, {"ready": True, "restarts": 9}, id="not ready"),
        pytest.param(
            {"annotations": {replicas.DELETION_COST: "-5"}}, {"restarts": 9, "ready_for": 1}, id="cheap to delete"
        ),
        pytest.param({"ready_for": 4}, {"ready_for": 400, "restarts": 9}, id="ready for less time"),
        pytest.param({"restarts": 3}, {"restarts": 1}, id="restarted more often"),
        pytest.param({"creation_timestamp": ago(60)}, {"creation_timestamp": ago(6000)}, id="made later"),
    ],
)
def test_first_to_go(first: dict[str, object], other: dict[str, object]) -> None:
    one, two = pod("z", **first), pod("a", **other)  # type: ignore[arg-type]
    assert replicas.first_to_go([two, one], 1, now=NOW) == [one]
    assert replicas.first_to_go([one, two], 1, now=NOW) == [one]


def test_the_crowded_node_is_relieved_first() -> None:
    crowded, alone = pod("z", node="n2"), pod("a", node="n1")
    siblings = [crowded, alone, pod("s", node="n2"), pod("gone", node="n1", going=True)]
    assert replicas.first_to_go([alone, crowded], 1, siblings=siblings, now=NOW) == [crowded]


@pytest.mark.parametrize("text", ["", "x", "1.5", "--3", "9" * 30])
def test_a_senseless_cost_is_none(text: str) -> None:
    assert replicas.deletion_cost(pod(annotations={replicas.DELETION_COST: text})) == 0


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**32))
def test_plan_reaches_what_is_wanted_whatever_the_order(wanted: int, active: int, seed: int) -> None:
    pods = made(active)
    random.Random(seed).shuffle(pods)
    plan = replicas.plan(wanted, pods, now=NOW)
    assert active + plan.create - len(plan.delete) == wanted
    assert {item.metadata.uid for item in plan.delete} == {
        item.metadata.uid for item in replicas.plan(wanted, made(active), now=NOW).delete
    }


def test_count() -> None:
    pods = [
        pod("ready"),
        pod("young", ready_for=5),
        pod("unready", ready=False),
        pod("other", labels={"app": "a"}),
        pod("going", going=True),
        pod("ended", phase="Failed"),
    ]
    for item in pods:
        if item.metadata.name != "other":
            item.metadata.labels["x"] = "y"
    counts = replicas.count(pods, template_labels={"app": "a", "x": "y"}, min_ready_s=10, now=NOW)
    assert (counts.replicas, counts.fully_labeled, counts.ready, counts.available) == (4, 3, 3, 2)
    assert counts.terminating == 1
    look_again = replicas.look_again(counts, now=NOW)
    assert look_again is not None
    assert look_again.total_seconds() == 5
