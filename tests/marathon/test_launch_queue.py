"""Waiting apps and their back-off."""

import sys
from datetime import timedelta
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from marathon_build import NOW, app  # noqa: E402

from bireme.marathon.launch_queue import LaunchQueue  # noqa: E402


def test_each_failure_waits_longer_up_to_a_limit() -> None:
    queue, spec = LaunchQueue(), app(backoffSeconds=1, backoffFactor=2, maxLaunchDelaySeconds=5)
    queue.want(spec.id, spec, 1, NOW)
    waits = []
    for _ in range(5):
        queue.failed(spec, NOW)
        waits.append(queue.left(spec.id, NOW))
    assert waits == [1, 2, 4, 5, 5]
    assert queue.launchable(NOW) == []
    assert [entry.app for entry in queue.launchable(NOW + timedelta(seconds=5))] == [spec]


def test_a_new_version_a_reset_and_quiet_end_the_wait() -> None:
    queue, spec = LaunchQueue(), app(backoffSeconds=10, maxLaunchDelaySeconds=20)
    queue.want(spec.id, spec, 1, NOW)
    queue.failed(spec, NOW)
    assert queue.reset(spec.id)
    assert queue.left(spec.id, NOW) == 0
    queue.failed(spec, NOW)
    queue.failed(spec, NOW + timedelta(seconds=60))
    assert queue.left(spec.id, NOW + timedelta(seconds=60)) == 10
    newer = app(config="2026-02-01T00:00:00.000Z")
    queue.want(spec.id, newer, 1, NOW)
    assert queue.left(spec.id, NOW + timedelta(seconds=60)) == 0
    assert not queue.reset("/other")


def test_entries_go_when_nothing_is_wanted() -> None:
    queue, spec = LaunchQueue(), app()
    queue.want(spec.id, spec, 2, NOW)
    queue.want(spec.id, spec, 0, NOW)
    assert queue.entries == {}
