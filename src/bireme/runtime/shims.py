"""The sockets of containerd's shims, the only thing that an engine of our own keeps outside its folders.

Each shim listens below /run/containerd/s under a name made from its engine's address and its sandbox's id. One
that is killed leaves its socket behind. Only names that follow from an engine of ours are touched here.
Source: containerd 1.6, runtime/v2/shim/util_unix.go (`SocketAddress`).
"""

import contextlib
import hashlib
import socket
from collections.abc import Iterable
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
