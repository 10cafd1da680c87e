"""The folder of a simulated cluster: its keys and kubeconfig. It goes when the cluster does, or is swept up later."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

PREFIX = "bireme-test-"
LOCK = "lock"
CONTEXT = "bireme-test"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder of our own until the block is left. Those that nobody holds any more are removed first."""
    sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove what processes that were killed left here. Who lives holds his folder's lock."""
    for folder in parent.glob(PREFIX + "*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def write_kubeconfig(folder: Path, url: str, *, namespace: str = "default") -> Path:
    """The admin's kubeconfig, which names the files in `pki` beside it."""
    pki = folder / "pki"
    cluster = {"server": url, "certificate-authority": str(pki / "ca.crt")}
    user = {"client-certificate": str(pki / "admin.crt"), "client-key": str(pki / "admin.key")}
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": "admin", "namespace": namespace}}],
        "current-context": CONTEXT,
    }
    path = folder / "kubeconfig"
    fresh = folder / "kubeconfig.new"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        yaml.safe_dump(tree, file)
    fresh.replace(path)
    return path
