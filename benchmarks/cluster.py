"""A real cluster to measure: on ports and ranges of its own, loopback only, gone without a trace at the end.

Its ports lie below those that the kernel gives to outgoing connections, and beside those of the e2e tests, so
that both may run on one machine at once.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

NAME = "bench"
ROOT = Path("/var/tmp/bireme-bench")
RUN = Path("/run/bireme") / NAME
BIREME = Path(sys.executable).with_name("bireme")
WHICH = ("--name", NAME, "--root", str(ROOT))
FLAGS = {
    "--host": "127.0.0.1",
    "--api-port": "16443",
    "--mesos-port": "15050",
    "--agent-port": "15051",
    "--marathon-port": "18080",
    "--kubelet-port": "11250",
    "--pod-range": "10.246.0.0/16",
    "--service-range": "10.98.0.0/16",
    "--dns-address": "10.98.0.10",
}


def run(*command: str | Path, text: str = "", check: bool = True, timeout_s: float = 120) -> str:
    """What the command printed. Raises RuntimeError with all of it when it fails and `check` is set."""
    done = subprocess.run(
        [str(word) for word in command],
        input=text,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, "KUBECONFIG": str(ROOT / NAME / "admin.kubeconfig")},
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*words: str, text: str = "") -> str:
    """What kubectl printed, asked about this cluster."""
    return run("kubectl", *words, text=text)


def get(*words: str) -> Any:
    """The object, or list, that `kubectl get … -o json` prints."""
    return json.loads(kubectl("get", *words, "-o", "json"))


def wait_until(what: str, ready: Callable[[], Any], *, seconds: float = 60.0, every_s: float = 0.05) -> Any:
    """The first true answer of `ready`; errors of commands mean not yet. Raises RuntimeError after `seconds`."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            if answer := ready():
                return answer
        except RuntimeError as error:
            last = error
        time.sleep(every_s)
    raise RuntimeError(f"{what} did not happen within {seconds:.0f}s; last: {last}")


def need_root() -> None:
    """Raises SystemExit unless this is root, who alone may start containers."""
    if os.geteuid() != 0:
        raise SystemExit("needs root: it starts containers")


def bring_up() -> float:
    """`bireme up` until the node is Ready; the seconds that it took."""
    flags = [word for pair in FLAGS.items() for word in pair]
    began = time.perf_counter()
    run(BIREME, "up", *WHICH, "--no-kubeconfig", *flags, timeout_s=180)
    return time.perf_counter() - began


def purge() -> None:
    """Have no trace of the cluster, whether it was there or not."""
    run(BIREME, "down", "--purge", *WHICH, check=False)
    shutil.rmtree(ROOT, ignore_errors=True)


@contextmanager
def purged() -> Iterator[None]:
    """Nothing is there before the block, and nothing after it, however it ends."""
    need_root()
    end_on_signal()
    purge()
    try:
        yield
    finally:
        purge()


@contextmanager
def running() -> Iterator[None]:
    """A cluster with a Ready node and a namespace that takes pods, purged at the end."""
    with purged():
        bring_up()
        wait_until("the service account", lambda: kubectl("get", "serviceaccount", "default", "-o", "name"))
        yield


def end_on_signal() -> None:
    """Let SIGTERM unwind, so that what was started is ended."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def processes() -> dict[str, psutil.Process]:
    """Core, node, supervisor and containerd."""
    parts = json.loads((RUN / "parts.json").read_text())
    found = {name: psutil.Process(part["pid"]) for name, part in parts.items()}
    if "containerd" not in found:
        found["containerd"] = next(filter(is_containerd, psutil.process_iter()))
    return found


def is_containerd(process: psutil.Process) -> bool:
    """Whether it is the containerd of this cluster, which no other cluster uses."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return bool(words) and Path(words[0]).name == "containerd" and any(str(ROOT) in word for word in words)
