"""What was changed is known after a crash, undone in reverse, and nothing else is touched."""

import os
import subprocess
import sys
from pathlib import Path

from bireme.runtime.host_changes import Change, HostChanges, process_start, set_sysctl


def test_changes_are_read_back_in_order_and_once(tmp_path: Path) -> None:
    path = tmp_path / "changes"
    HostChanges(path).record("directory", "/a")
    again = HostChanges(path)
    again.record("file", "/b")
    again.record("directory", "/a")
    assert HostChanges(path).entries() == [Change("directory", "/a"), Change("file", "/b")]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_cut_short_by_a_crash_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "changes"
    HostChanges(path).record("file", "/a")
    with path.open("a") as file:
        file.write('{"kind": "fi')
    assert HostChanges(path).entries() == [Change("file", "/a")]


def test_files_folders_and_processes_are_undone_and_not_left(tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    (folder / "deep").mkdir(parents=True)
    file.write_text("x")
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    changes = HostChanges(tmp_path / "changes")
    changes.record("directory", str(folder))
    changes.record("file", str(file))
    changes.record("process", str(process.pid), before=process_start(process.pid))
    assert len(changes.left()) == 3
    try:
        assert changes.undo() == []
    finally:
        process.kill()
        process.wait()
    assert changes.left() == []
    assert not folder.exists()
    assert not file.exists()


def test_a_process_id_that_came_round_again_is_another_process(tmp_path: Path) -> None:
    changes = HostChanges(tmp_path / "changes")
    changes.record("process", "7", before="100")
    changes.record("process", "7", before="200")
    changes.record("process", "7", before="200")
    assert [change.before for change in changes.entries()] == ["100", "200"]


def test_a_process_id_used_by_another_is_left_alone(tmp_path: Path) -> None:
    changes = HostChanges(tmp_path / "changes")
    changes.record("process", str(os.getpid()), before="1")
    assert changes.left() == []
    assert changes.undo() == []


def test_a_setting_this_kernel_lacks_is_left_out(tmp_path: Path) -> None:
    changes = HostChanges(tmp_path / "changes")
    set_sysctl(changes, "net.nothing.of_the_kind", "1")
    assert changes.entries() == []
