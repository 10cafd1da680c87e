"""What results of checks mean."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from marathon_build import NOW, app, instance  # noqa: E402

from bireme.marathon.health import judge  # noqa: E402
from bireme.marathon.instances import Health  # noqa: E402
from bireme.marathon.versions import stamp  # noqa: E402


def test_failures_in_grace_do_not_count_until_the_first_success() -> None:
    health = Health()
    assert not judge(health, "refused", in_grace=True, now=NOW)
    assert health == Health()
    assert judge(health, "", in_grace=True, now=NOW)
    assert (health.alive, health.first_success) == (True, "2026-01-01T00:00:00.000Z")
    assert judge(health, "refused", in_grace=True, now=NOW)
    assert (health.alive, health.consecutive_failures, health.last_failure_cause) == (False, 1, "refused")


def test_failures_in_a_row_are_counted_and_forgotten() -> None:
    health = Health()
    for _ in range(3):
        judge(health, "refused", in_grace=False, now=NOW)
    assert health.consecutive_failures == 3
    judge(health, "", in_grace=False, now=NOW)
    assert (health.alive, health.consecutive_failures) == (True, 0)


def test_checks_that_mesos_makes_have_times_too() -> None:
    checked = instance(app("/a"), "a.instance-1")
    checked.take({"state": "TASK_RUNNING", "healthy": True}, NOW)
    assert checked.mesos_health == Health(True, 0, stamp(NOW), stamp(NOW))
    checked.take({"state": "TASK_RUNNING", "healthy": False, "message": "no file"}, NOW)
    found = checked.mesos_health
    assert (found.alive, found.consecutive_failures, found.last_failure_cause) == (False, 1, "no file")
