"""Pod status to task states."""

import pytest

from bireme.api.kinds import core
from bireme.mesos import task_status, tasks
from bireme.mesos.task_status import Seen, see, steps


def pod(state: core.ContainerState | None = None, *, phase: str = "Running", **status: object) -> core.Pod:
    made = core.Pod()
    made.spec.containers = [core.Container(name="task")]
    made.status.phase = phase
    made.status.start_time = "2026-01-01T00:00:00Z"
    if state is not None:
        made.status.container_statuses = [core.ContainerStatus(name="task", state=state)]
    for name, value in status.items():
        setattr(made.status, name, value)
    return made


def ended(code: int, reason: str = "") -> core.ContainerState:
    return core.ContainerState(
        terminated=core.ContainerStateTerminated(exit_code=code, reason=reason, started_at="2026-01-01T00:00:00Z")
    )


def waiting(reason: str) -> core.ContainerState:
    return core.ContainerState(waiting=core.ContainerStateWaiting(reason=reason))


RUNNING = core.ContainerState(running=core.ContainerStateRunning())


@pytest.mark.parametrize(
    ("of", "state", "reason", "message"),
    [
        (pod(waiting("ContainerCreating")), "TASK_STARTING", "", ""),
        (pod(RUNNING), "TASK_RUNNING", "", ""),
        (pod(ended(0)), "TASK_FINISHED", "", "Command exited with status 0"),
        (pod(ended(7)), "TASK_FAILED", "", "Command exited with status 7"),
        (pod(ended(137)), "TASK_FAILED", "", "Command terminated with signal Killed"),
        (pod(ended(137, "OOMKilled")), "TASK_FAILED", "REASON_CONTAINER_LIMITATION_MEMORY", "Memory limit exceeded"),
        (pod(waiting("ErrImagePull")), "TASK_FAILED", "REASON_CONTAINER_LAUNCH_FAILED",
         "Failed to launch container: ErrImagePull"),
        (pod(phase="Failed", reason="OutOfcpu", message="no room"), "TASK_FAILED", "REASON_CONTAINER_LAUNCH_FAILED",
         "Failed to launch container: no room"),
        (pod(phase="Failed", reason="Evicted", message="disk"), "TASK_FAILED", "REASON_CONTAINER_LIMITATION", "disk"),
        (pod(ended(143), phase="Failed", reason="DeadlineExceeded"), "TASK_FAILED",
         "REASON_MAX_COMPLETION_TIME_REACHED", "Task has exceeded its maximum completion time"),
    ],
)  # fmt: skip
def test_what_a_pod_says(of: core.Pod, state: str, reason: str, message: str) -> None:
    seen = see(of, "task")
    assert (seen.state, seen.reason, seen.message) == (state, reason, message)


def test_a_deleted_pods_task_was_killed() -> None:
    of = pod(ended(143))
    of.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    assert see(of, "task").state == "TASK_KILLED"
    assert see(pod(RUNNING), "task", gone=True).state == "TASK_KILLED"


def test_a_task_that_its_probe_ended_was_killed_unhealthy() -> None:
    of = pod(ended(137))
    of.spec.containers[0].liveness_probe = core.Probe()
    seen = see(of, "task")
    assert (seen.state, seen.healthy) == ("TASK_KILLED", False)


def test_a_verdict_counts_more_than_the_container() -> None:
    verdict = Seen("TASK_GONE", "Agent removed", "SOURCE_MASTER", "REASON_AGENT_REMOVED")
    of = pod(RUNNING)
    of.metadata.annotations = {tasks.VERDICT: task_status.verdict_text(verdict)}
    assert see(of, "task") == verdict
    of.metadata.annotations = {tasks.VERDICT: "spoilt"}
    assert see(of, "task").state == "TASK_LOST"


@pytest.mark.parametrize(
    ("last", "healthy", "seen", "expected"),
    [
        ("TASK_STAGING", None, Seen("TASK_STAGING"), []),
        ("TASK_STAGING", None, Seen("TASK_STARTING"), ["TASK_STARTING"]),
        ("TASK_STAGING", None, Seen("TASK_RUNNING", ran=True), ["TASK_STARTING", "TASK_RUNNING"]),
        ("TASK_STAGING", None, Seen("TASK_FINISHED", ran=True), ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]),
        ("TASK_STAGING", None, Seen("TASK_FAILED"), ["TASK_FAILED"]),
        ("TASK_RUNNING", None, Seen("TASK_RUNNING", ran=True), []),
        ("TASK_RUNNING", None, Seen("TASK_RUNNING", ran=True, healthy=True), ["TASK_RUNNING"]),
        ("TASK_RUNNING", None, Seen("TASK_RUNNING", ran=True, healthy=False), []),
        ("TASK_RUNNING", True, Seen("TASK_RUNNING", ran=True, healthy=False), ["TASK_RUNNING"]),
        ("TASK_KILLING", None, Seen("TASK_RUNNING", ran=True), []),
        ("TASK_KILLING", None, Seen("TASK_KILLED", ran=True), ["TASK_KILLED"]),
        ("TASK_FINISHED", None, Seen("TASK_KILLED"), []),
    ],
)
def test_no_step_is_left_out_or_told_twice(last: str, healthy: bool | None, seen: Seen, expected: list[str]) -> None:
    assert [step.state for step in steps(last, healthy, seen)] == expected


def test_what_was_acknowledged_can_be_read_back() -> None:
    told = {"task": ("TASK_RUNNING", True), "task-1": ("TASK_STARTING", None)}
    notes = {tasks.ACKNOWLEDGED: task_status.acknowledged_text(told)}
    assert task_status.acknowledged(notes) == told
    for spoilt in ("{", "[]", '{"a":1}', '{"a":{}}', "null"):
        assert task_status.acknowledged({tasks.ACKNOWLEDGED: spoilt}) == {}
