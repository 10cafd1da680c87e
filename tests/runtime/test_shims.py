"""What shims leave behind: ours goes, the rest stays."""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bireme.runtime.host_changes import Change, is_left
from bireme.runtime.shims import end_lost, known_tasks, left, lost, socket_of, sweep

ENGINE = "/run/x/containerd.sock"


def listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made


def test_the_name_is_the_one_that_containerd_makes() -> None:
    # As seen on a machine with containerd 1.6.20.
    sandbox = "7b6088c407d6965e0e1005b6ecb847a4cb366310bfaa202f41655a0d9519450f"
    name = "8f6ed129816ec3cdc89761b416b70dae6e440e20b2273e7170f617bc6d63f04d"
    assert socket_of("/run/bireme/node/containerd.sock", sandbox).name == name


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="b", dir="/tmp") as folder:
        yield Path(folder) / "c" / "s"


def test_dead_sockets_of_ours_go_and_empty_folders_with_them(sockets: Path) -> None:
    dead, alive = (listen(socket_of(ENGINE, each, sockets=sockets)) for each in ("dead", "alive"))
    dead.close()
    with alive:
        assert sweep(ENGINE, ["dead", "alive", "never"], sockets=sockets) == 1
        assert left(ENGINE, ["dead", "alive"], sockets=sockets) == [socket_of(ENGINE, "alive", sockets=sockets)]
    assert sweep("/run/other.sock", ["alive"], sockets=sockets) == 0
    assert sockets.exists()
    assert sweep(ENGINE, ["alive"], sockets=sockets) == 1
    assert not sockets.parent.exists()


def test_a_recorded_engine_with_no_tasks_has_left_nothing(tmp_path: Path) -> None:
    assert not is_left(Change("shims", ENGINE, str(tmp_path / "none")))
    assert known_tasks(tmp_path / "none") == []


def test_a_shim_that_its_engine_forgot_is_ended_once_seen_twice(sockets: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("lost", "known")]
    for folder in folders:
        folder.mkdir()
    script = "import time; print('up', flush=True); time.sleep(60)"
    words = [sys.executable, "-c", script, "-namespace", "k8s.io", "-address", ENGINE]
    shims = [
        subprocess.Popen([*words, "-id", each.name], cwd=each, stdout=subprocess.PIPE, text=True) for each in folders
    ]
    try:
        for shim in shims:
            assert shim.stdout is not None
            shim.stdout.readline()
        folders[0].rmdir()
        assert lost(ENGINE) == {shims[0].pid: "lost"}
        assert lost("/run/other.sock") == {}
        listen(socket_of(ENGINE, "lost", sockets=sockets)).close()
        assert end_lost(ENGINE, {}, sockets=sockets) == 0
        assert end_lost(ENGINE, lost(ENGINE), sockets=sockets) == 1
        assert shims[0].wait(5) == -9
        assert shims[1].poll() is None
        assert left(ENGINE, ["lost"], sockets=sockets) == []
    finally:
        for shim in shims:
            shim.kill()
            shim.communicate()
