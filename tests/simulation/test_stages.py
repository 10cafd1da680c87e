"""The life of a hollow pod, as data."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bireme.api.kinds import core, meta
from bireme.kubelet.status import Surroundings, pod_status
from bireme.simulation.stages import Life, Rule, Script, Stage, advance, claimed, script_of, stopped

START = datetime(2026, 1, 1, tzinfo=UTC)
CREATING = Life(Stage.CREATING, START, address="10.128.0.1")


def pod(**annotations: str) -> core.Pod:
    named = {f"hollow.bireme.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}
    owner = meta.OwnerReference(kind="Job", name="j", controller=True)
    return core.Pod(
        metadata=meta.ObjectMeta(name="p", namespace="n", uid="u", annotations=named, owner_references=[owner]),
        spec=core.PodSpec(
            containers=[core.Container(name="c", image="i")],
            init_containers=[core.Container(name="first", image="i")],
            restart_policy="Never",
        ),
    )


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "stage", "left"),
    [
        pytest.param(0, Stage.CREATING, 1.0, id="it is created for a second"),
        pytest.param(1, Stage.RUNNING, 2.0, id="then it runs"),
        pytest.param(3, Stage.READY, 8.0, id="it is ready two seconds later"),
        pytest.param(11, Stage.ENDED, None, id="it ends ten seconds after its start"),
        pytest.param(500, Stage.ENDED, None, id="and stays so"),
    ],
)
def test_stages_follow_the_script(seconds: float, stage: Stage, left: float | None) -> None:
    life, wait = advance(CREATING, Script(start_s=1, ready_s=2, end_s=10), at(seconds), restarts=False)
    assert (life.stage, wait) == (stage, left)


def test_one_that_is_never_ready_ends_all_the_same() -> None:
    life, _ = advance(CREATING, Script(start_s=0, ready_s=None, end_s=5), at(5), restarts=False)
    assert life.stage is Stage.ENDED


def test_what_ends_is_started_again_after_longer_and_longer_waits() -> None:
    script = Script(start_s=0, end_s=1)
    assert advance(CREATING, script, at(10.9), restarts=True)[0].attempt == 0
    assert advance(CREATING, script, at(11), restarts=True)[0].attempt == 1
    assert advance(CREATING, script, at(31.9), restarts=True)[0].attempt == 1
    assert advance(CREATING, script, at(32), restarts=True)[0].attempt == 2


def test_annotations_go_before_rules_and_bad_ones_count_not() -> None:
    rules = (Rule(Script(end_s=7), owner="Job"), Rule(Script()))
    assert script_of(pod(), rules).end_s == 7
    assert script_of(pod(end_seconds="never", exit_code="3", ready_seconds="x"), rules) == Script(exit_code=3)


@pytest.mark.parametrize(
    ("stage", "phase", "ready"),
    [
        pytest.param(Stage.CREATING, "Pending", "False", id="creating"),
        pytest.param(Stage.RUNNING, "Running", "False", id="running"),
        pytest.param(Stage.READY, "Running", "True", id="ready"),
        pytest.param(Stage.ENDED, "Failed", "False", id="ended"),
    ],
)
def test_a_stage_looks_as_the_kubelet_would_show_it(stage: Stage, phase: str, ready: str) -> None:
    life = replace(CREATING, stage=stage, begun_at=START, ended_at=at(1))
    actual, observed = claimed(pod(), life, Script(exit_code=2))
    status = pod_status(pod(), actual, observed, at(1), Surroundings("198.18.0.1"))
    assert status.phase == phase
    assert {c.type: c.status for c in status.conditions}["Ready"] == ready
    if stage is not Stage.CREATING:
        assert status.pod_ip == "10.128.0.1"
        assert status.init_container_statuses[0].state is not None
        assert status.init_container_statuses[0].state.terminated is not None


def test_one_that_was_stopped_has_ended_well() -> None:
    life = stopped(replace(CREATING, stage=Stage.READY, begun_at=START), at(1))
    actual, observed = claimed(pod(), life, Script(), leaving=True)
    assert pod_status(pod(), actual, observed, at(1), Surroundings("h")).phase == "Succeeded"
