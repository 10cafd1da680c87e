from datetime import timedelta

import pytest
from controller_objects import NOW, ago, deployment, replica_set

from bireme.api.kinds import apps
from bireme.controllers import deployment_status as report
from bireme.controllers.deployment_status import Said


def progressing(reason: str, *, status: str = "True", updated: float = 10) -> apps.DeploymentCondition:
    return apps.DeploymentCondition(
        type="Progressing",
        status=status,
        reason=reason,
        last_update_time=ago(updated),
        last_transition_time=ago(1000),
    )


def test_with_condition_keeps_times_where_nothing_changed() -> None:
    there = [progressing("ReplicaSetUpdated")]
    same = report.with_condition(there, Said("Progressing", "True", "ReplicaSetUpdated", "other words"), now=NOW)
    assert same is there
    (other,) = report.with_condition(there, Said("Progressing", "True", "NewReplicaSetAvailable", "m"), now=NOW)
    assert (other.last_update_time, other.last_transition_time) == (ago(0), ago(1000))
    (turned,) = report.with_condition(there, Said("Progressing", "False", "ProgressDeadlineExceeded", "m"), now=NOW)
    assert turned.last_transition_time == ago(0)


@pytest.mark.parametrize(
    ("new", "old", "available"),
    [
        pytest.param((3, 3), (0, 0), "True", id="all there"),
        pytest.param((1, 0), (3, 3), "True", id="the old ones carry it"),
        pytest.param((2, 1), (1, 1), "False", id="one too few"),
    ],
)
def test_available(new: tuple[int, int], old: tuple[int, int], available: str) -> None:
    status = report.counted(
        deployment(3, surge=1, down=0), replica_set("new", *new), [replica_set("old", *old)], now=NOW
    )
    condition = report.find(status.conditions, "Available")
    assert condition is not None
    assert condition.status == available


def rolled(there: apps.Deployment, new: tuple[int, int], old: tuple[int, int]) -> apps.DeploymentCondition | None:
    status = report.rolled(there, replica_set("new", *new), [replica_set("old", *old)], now=NOW)
    return report.find(status.conditions, "Progressing")


def test_complete() -> None:
    there = deployment(3)
    there.status = apps.DeploymentStatus(replicas=4, conditions=[progressing("ReplicaSetUpdated")])
    condition = rolled(there, (3, 3), (0, 0))
    assert condition is not None
    assert condition.reason == "NewReplicaSetAvailable"
    assert condition.message == 'ReplicaSet "new" has successfully progressed.'


def test_each_step_forward_renews_the_deadline() -> None:
    there = deployment(3)
    there.status = apps.DeploymentStatus(replicas=3, conditions=[progressing("ReplicaSetUpdated", updated=599)])
    condition = rolled(there, (1, 0), (3, 3))
    assert condition is not None
    assert (condition.reason, condition.last_update_time) == ("ReplicaSetUpdated", ago(0))
    assert condition.last_transition_time == ago(1000)


@pytest.mark.parametrize(
    ("reason", "updated", "expected"),
    [
        pytest.param("ReplicaSetUpdated", 599, "ReplicaSetUpdated", id="there is time left"),
        pytest.param("ReplicaSetUpdated", 601, "ProgressDeadlineExceeded", id="no step for too long"),
        pytest.param("NewReplicaSetCreated", 601, "ProgressDeadlineExceeded", id="not even a first step"),
        pytest.param(
            "NewReplicaSetAvailable", 9999, "NewReplicaSetAvailable", id="a finished rollout has no deadline"
        ),
    ],
)
def test_deadline(reason: str, updated: float, expected: str) -> None:
    there = deployment(3)
    there.status = apps.DeploymentStatus(
        replicas=4,
        updated_replicas=1,
        ready_replicas=3,
        available_replicas=3,
        conditions=[progressing(reason, updated=updated)],
    )
    condition = rolled(there, (1, 0), (3, 3))
    assert condition is not None
    assert condition.reason == expected


def test_without_a_deadline_there_is_no_progressing() -> None:
    there = deployment(3, progress_deadline_seconds=None)
    there.status = apps.DeploymentStatus(conditions=[progressing("ReplicaSetUpdated")])
    assert rolled(there, (1, 0), (3, 3)) is None
    assert report.deadline(there, there.status.conditions) is None


def test_deadline_is_counted_from_the_last_step() -> None:
    at = report.deadline(deployment(3), [progressing("ReplicaSetUpdated", updated=100)])
    assert at == NOW + timedelta(seconds=500)


def test_the_failure_of_a_set_is_the_deployments() -> None:
    new = replica_set("new", 1, 0)
    new.status.conditions = [
        apps.ReplicaSetCondition(type="ReplicaFailure", status="True", reason="FailedCreate", message="quota")
    ]
    status = report.rolled(deployment(3), new, [], now=NOW)
    failure = report.find(status.conditions, "ReplicaFailure")
    assert failure is not None
    assert failure.message == "quota"
    there = deployment(3)
    there.status = status
    again = report.rolled(there, replica_set("new", 1, 0), [], now=NOW)
    assert report.find(again.conditions, "ReplicaFailure") is None
