"""What was told holds only as long as the same would be told again: random pods, lives and changes, both ways."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.codec.json import decode, encode
from bireme.api.kinds import core, meta
from bireme.kubelet.status import Surroundings, pod_status
from bireme.simulation.claims import claimed
from bireme.simulation.scripts import script_of
from bireme.simulation.stages import Life, Stage, advance
from bireme.simulation.told import Told

START = datetime(2026, 1, 1, tzinfo=UTC)
NODE = "198.18.0.1"

scripts = st.fixed_dictionaries(
    {
        "hollow.bireme.dev/start-seconds": st.sampled_from(["0", "3"]),
        "hollow.bireme.dev/ready-seconds": st.sampled_from(["0", "5", "never"]),
        "hollow.bireme.dev/end-seconds": st.sampled_from(["never", "9"]),
    }
)


def new_pod(annotations: dict[str, str], policy: str) -> core.Pod:
    scheduled = core.PodCondition(type="PodScheduled", status="True", last_transition_time="2026-01-01T00:00:00Z")
    return core.Pod(
        metadata=meta.ObjectMeta(name="p", namespace="n", uid="u", annotations=annotations, generation=1),
        spec=core.PodSpec(containers=[core.Container(name="c", image="i")], restart_policy=policy, node_name="a"),
        status=core.PodStatus(phase="Pending", conditions=[scheduled]),
    )


def worked_out(pod: core.Pod, life: Life, now: datetime) -> tuple[Life, core.PodStatus, float | None]:
    """The long way: every stage that is due, and the status of where it is then."""
    life, wait = advance(life, lambda life: script_of(pod, run=life.attempt), now, policy=pod.spec.restart_policy)
    claim = claimed(pod, life)
    return life, pod_status(pod, claim.actual, claim.observed, now, Surroundings(NODE, claim.waiting)), wait


def read_back(pod: core.Pod, status: core.PodStatus) -> core.Pod:
    """The pod as the watch brings it once the status is written."""
    fresh = decode(core.Pod, encode(pod))
    fresh.metadata.resource_version = "2"
    fresh.status = decode(core.Pod, encode(msgspec.structs.replace(pod, status=status))).status
    return fresh


def unready(pod: core.Pod) -> None:
    for condition in pod.status.conditions:
        condition.status = "False"


def another_image(pod: core.Pod) -> None:
    pod.spec.containers[0].image = "j"


def ends_soon(pod: core.Pod) -> None:
    pod.metadata.annotations = {**pod.metadata.annotations, "hollow.bireme.dev/end-seconds": "1"}


def next_generation(pod: core.Pod) -> None:
    pod.metadata.generation = 2


def a_gate(pod: core.Pod) -> None:
    pod.status.conditions = [*pod.status.conditions, core.PodCondition(type="example.org/gate", status="True")]


def label(pod: core.Pod) -> None:
    pod.metadata.labels = {"a": "b"}


def nothing(pod: core.Pod) -> None:
    """The write of somebody who changed nothing that counts."""
    pod.metadata.resource_version = "3"


changes: list[Callable[[core.Pod], None]] = [
    unready,
    another_image,
    ends_soon,
    next_generation,
    a_gate,
    label,
    nothing,
]


@given(
    scripts,
    st.sampled_from(["Always", "OnFailure", "Never"]),
    st.integers(min_value=0, max_value=12),
    st.integers(min_value=0, max_value=12),
    st.lists(st.sampled_from(changes), max_size=2),
)
def test_what_holds_would_be_told_again(
    annotations: dict[str, str], policy: str, first: int, later: int, made: list[Callable[[core.Pod], Any]]
) -> None:
    pod, now = new_pod(annotations, policy), START + timedelta(seconds=first)
    life, status, wait = worked_out(pod, Life(Stage.CREATING, START, address="10.0.0.1"), now)
    told = Told(pod, status, None if wait is None else now + timedelta(seconds=wait))
    pod, now = read_back(pod, status), now + timedelta(seconds=later)
    for change in made:
        change(pod)
    if told.holds(pod, now):
        after, again, _ = worked_out(pod, life, now)
        assert (after, again) == (life, pod.status)


def test_a_node_need_not_answer_its_own_write() -> None:
    pod = new_pod({}, "Always")
    _, status, _ = worked_out(pod, Life(Stage.CREATING, START, address="10.0.0.1"), START)
    told = Told(pod, status, None)
    fresh = read_back(pod, status)
    assert told.holds(fresh, START)
    nothing(fresh)
    assert told.holds(fresh, START + timedelta(days=1))


@pytest.mark.parametrize("change", [change for change in changes if change is not nothing])
def test_what_others_change_is_looked_at(change: Callable[[core.Pod], None]) -> None:
    pod = new_pod({}, "Always")
    _, status, _ = worked_out(pod, Life(Stage.CREATING, START, address="10.0.0.1"), START)
    fresh = read_back(pod, status)
    change(fresh)
    assert not Told(pod, status, None).holds(fresh, START)


def test_what_is_due_is_looked_at() -> None:
    pod = new_pod({}, "Always")
    _, status, _ = worked_out(pod, Life(Stage.CREATING, START, address="10.0.0.1"), START)
    told = Told(pod, status, START + timedelta(seconds=1))
    fresh = read_back(pod, status)
    assert told.holds(fresh, START)
    assert not told.holds(fresh, START + timedelta(seconds=1))
