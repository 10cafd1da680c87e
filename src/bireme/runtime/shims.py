"""What containerd's shims leave behind: sockets, and sometimes themselves.

Each shim listens below /run/containerd/s under a name made from its engine's address and its sandbox's id. One
that is killed leaves its socket behind. One whose start is given up (its caller was killed, say) may live on after
the engine has deleted its folder and forgotten it. Only what belongs to an engine of ours is touched here.
Source: containerd 1.6, runtime/v2/shim/util_unix.go (`SocketAddress`).
"""

import contextlib
import hashlib
import os
import signal
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

NAMESPACE = "k8s.io"
SOCKETS = Path("/run/containerd/s")


def socket_of(address: str, sandbox_id: str, *, sockets: Path = SOCKETS) -> Path:
    """Where the shim of a sandbox listens; `address` is the engine's socket."""
    return sockets / hashlib.sha256(f"{address}/{NAMESPACE}/{sandbox_id}".encode()).hexdigest()


def known_tasks(folder: Path) -> list[str]:
    """The ids of sandboxes and containers that have a folder in the engine's store of tasks."""
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def left(address: str, ids: Iterable[str], *, sockets: Path = SOCKETS) -> list[Path]:
    """The sockets that are still there."""
    return [path for each in ids if (path := socket_of(address, each, sockets=sockets)).exists()]


def sweep(address: str, ids: Iterable[str], *, sockets: Path = SOCKETS) -> int:
    """Remove the sockets that nobody listens on any more, and the folders if that leaves them empty."""
    removed = 0
    for path in left(address, ids, sockets=sockets):
        if not _answers(path):
            path.unlink(missing_ok=True)
            removed += 1
    with contextlib.suppress(OSError):
        sockets.rmdir()
        sockets.parent.rmdir()
    return removed


def lost(address: str, *, processes: Path = Path("/proc")) -> dict[int, str]:
    """Shims of the engine that it has forgotten, by process id: the folder that they work in is deleted."""
    found = {}
    for path in processes.glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if "-address" not in words or words[words.index("-address") + 1] != address or "-id" not in words:
                continue
            if os.readlink(path / "cwd").endswith(" (deleted)"):
                found[int(path.name)] = words[words.index("-id") + 1]
        except (OSError, IndexError):
            continue
    return found


def end_lost(address: str, forgotten: Mapping[int, str], *, sockets: Path = SOCKETS) -> int:
    """End those of `forgotten` that are lost still, with what they started; how many that were."""
    still = {pid: each for pid, each in lost(address).items() if forgotten.get(pid) == each}
    for pid in still:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for each in still.values():
        socket_of(address, each, sockets=sockets).unlink(missing_ok=True)
    return len(still)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True
