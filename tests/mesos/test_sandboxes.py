"""Old sandboxes go, those of tasks that run stay."""

import os
from pathlib import Path

import pytest

from bireme.mesos.sandboxes import GC_DELAY_S, Sandboxes, disk_used, keep_s

NOW_S = 10 * GC_DELAY_S


def sandbox(root: Path, name: str, *, age_s: float, framework: str = "F") -> Path:
    folder = root / f"slaves/S0/frameworks/{framework}/executors/task-{name}/runs/{name}"
    folder.mkdir(parents=True)
    for path in (folder / "stdout", folder / "stderr", folder):
        path.touch()
        os.utime(path, (NOW_S - age_s, NOW_S - age_s))
    return folder


def test_those_over_a_week_go(tmp_path: Path) -> None:
    old = sandbox(tmp_path, "old", age_s=GC_DELAY_S, framework="gone")
    new = sandbox(tmp_path, "new", age_s=GC_DELAY_S / 2)
    runs = sandbox(tmp_path, "runs", age_s=GC_DELAY_S * 2)
    removed = Sandboxes(tmp_path).collect({"runs"}, now_s=NOW_S, used=0.0)
    assert [each.directory for each in removed] == [old]
    assert not (tmp_path / "slaves/S0/frameworks/gone").exists()
    assert new.exists()
    assert runs.exists()


def test_age_counts_from_the_end_of_the_task(tmp_path: Path) -> None:
    """A task that wrote nothing for weeks has just failed: its output is kept."""
    silent = sandbox(tmp_path, "silent", age_s=GC_DELAY_S * 3)
    sandboxes = Sandboxes(tmp_path)
    assert sandboxes.collect({"silent"}, now_s=NOW_S, used=0.0) == []
    assert sandboxes.collect(set(), now_s=NOW_S, used=0.0) == []
    assert sandboxes.collect(set(), now_s=NOW_S + GC_DELAY_S / 2, used=0.0) == []
    assert len(sandboxes.collect(set(), now_s=NOW_S + GC_DELAY_S, used=0.0)) == 1
    assert not silent.exists()


@pytest.mark.parametrize(("used", "weeks"), [(0.0, 0.9), (0.5, 0.4), (0.9, 0.0), (1.0, 0.0)])
def test_a_fuller_disk_keeps_less(used: float, weeks: float) -> None:
    assert keep_s(used) == pytest.approx(weeks * GC_DELAY_S)


def test_newest_first_and_links_are_left_alone(tmp_path: Path) -> None:
    older, newer = (sandbox(tmp_path, name, age_s=age_s) for name, age_s in (("a", 9), ("b", 5)))
    outside = tmp_path / "outside"
    outside.mkdir()
    (older.parent / "link").symlink_to(outside)
    sandboxes = Sandboxes(tmp_path)
    assert [each.directory for each in sandboxes.past(())] == [newer, older]
    sandboxes.collect((), now_s=NOW_S * 9, used=1.0)
    assert outside.exists()


def test_how_full_the_disk_is(tmp_path: Path) -> None:
    assert 0.0 <= disk_used(tmp_path) <= 1.0
