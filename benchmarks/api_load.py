"""What does the API do for sixteen clients at once, with everything on that a user has on?

A core process of its own (durable store, TLS, RBAC, defaults, validation, admission, field managers, controllers) is
asked by sixteen connections of another process, on the same machine; its CPU is read from the kernel. The user is
no administrator: a role lets him. Objects are pods of 3.5 KB that name a scheduler that does not exist, so nobody
moves them. With `--kubeconfig`-less peers in mind the requests are plain HTTP: nothing here is ours alone.
"""

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from api_requests import MERGE, PODS, core, cpu_s, door, pod, settings
from cluster import end_on_signal
from door import Door, message
from report import Figure, report

from bireme.aio.clock import RealClock
from bireme.config import Config
from bireme.http.certificates import Authority

CLIENTS = 16
USER = "benchmark"
LISTED, LISTED_LONG = 5_000, 10_000
APPLY = "application/apply-patch+yaml"
NOW = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}


@dataclass(frozen=True, slots=True)
class Load:
    """Requests a second of all clients together, and the server's CPU for one."""

    rate: float
    cpu_us: float


def large_pod(name: str) -> dict[str, Any]:
    """A pod that is some 3.5 KB once it is stored."""
    made = pod(0)
    made["metadata"] = {
        "name": name,
        "labels": {"app": "echo", "pod-template-hash": "5d59d67564"},
        "annotations": {f"example.com/note-{number}": "x" * 60 for number in range(15)},
    }
    return made


def let_in(config: Config) -> Config:
    """A user who may work with pods and no more; the admin's certificate is replaced by his in a copy."""
    pair = Authority.load(config.pki).issue(USER, now=RealClock().now(), days=1)
    rules = [{"apiGroups": [""], "resources": ["pods", "pods/status", "configmaps"], "verbs": ["*"]}]
    group = "/apis/rbac.authorization.k8s.io/v1"
    subject = {"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}
    with door(config) as admin:
        admin.ask(message("POST", f"{group}/clusterroles", {"metadata": {"name": USER}, "rules": rules}))
        admin.ask(
            message(
                "POST",
                f"{group}/clusterrolebindings",
                {"metadata": {"name": USER}, "roleRef": role, "subjects": [subject]},
            )
        )
    pair.write(config.pki, "admin")
    return config


def measured(config: Config, process: psutil.Process, make: Callable[[int], bytes | None], *, seconds: float) -> Load:
    """Sixteen connections ask what `make` gives for 0, 1, 2, … until it gives None or the time is over."""
    numbers, done = itertools.count(), [0] * CLIENTS
    begin, stop = threading.Barrier(CLIENTS + 1), threading.Event()

    def work(client: int) -> None:
        with door(config) as one:
            begin.wait()
            while not stop.is_set() and (request := make(next(numbers))) is not None:
                one.ask(request)
                done[client] += 1

    threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    begin.wait()
    used, began = cpu_s(process), time.perf_counter()
    deadline = began + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.perf_counter()))
    stop.set()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    return Load(sum(done) / took, (cpu_s(process) - used) * 1e6 / max(1, sum(done)))


def writes(config: Config, process: psutil.Process, seconds: float, repeats: int) -> list[Figure]:
    """Create, read, patch and delete, in that order, over the pods that were made."""
    made = itertools.count()
    names: list[str] = []

    def create(_: int) -> bytes:
        name = f"load-{next(made)}"
        names.append(name)
        return message("POST", PODS, large_pod(name))

    def each(method: str, body: Callable[[int], Any], *, part: str = "", media: str = "") -> Callable[[int], bytes]:
        def make(number: int) -> bytes:
            path = f"{PODS}/{names[number % len(names)]}{part}"
            return message(method, path, body(number), **({"media": media} if media else {}))

        return make

    figures: list[Figure] = []

    def add(
        title: str, make: Callable[[int], bytes | None], *, rate: str = "", cpu: str = "", times: int = 0
    ) -> None:
        loads = [measured(config, process, make, seconds=seconds) for _ in range(times or repeats)]
        figures.append(Figure(f"{title}, {CLIENTS} clients", "requests/s", [one.rate for one in loads], rate))
        figures.append(Figure(f"{title}: CPU of the core", "us", [one.cpu_us for one in loads], cpu))

    add("POST of a pod of 3.5 KB", create, rate="at least 1,500", cpu="at most 450")
    add("GET", each("GET", lambda _: None), rate="at least 4,000")
    add(
        "PATCH of the status",
        each("PATCH", lambda number: {"status": {"message": f"m{number}"}}, part="/status", media=MERGE),
        rate="at least 2,000",
    )
    add(
        "merge PATCH of a label",
        each("PATCH", lambda number: {"metadata": {"labels": {"turn": str(number)}}}, media=MERGE),
        rate="well over 652",
    )
    left = iter(list(names))

    def remove(_: int) -> bytes | None:
        name = next(left, None)
        return None if name is None else message("DELETE", f"{PODS}/{name}", NOW)

    add("DELETE", remove, rate="at least 2,000", times=1)
    while remove_rest := remove(0):
        with door(config) as one:
            one.ask(remove_rest)
            for request in iter(lambda: remove(0), None):
                one.ask(request)
    return figures


def applied(config: Config, process: psutil.Process, seconds: float, repeats: int) -> Figure:
    """Server-side apply of an object that is so already, over one connection."""
    request = message("PATCH", f"{PODS}/applied?fieldManager=benchmark", large_pod("applied"), media=APPLY)
    found = []
    with door(config) as one:
        for _ in range(50):
            one.ask(request)
        for _ in range(repeats):
            count, used, stop = 0, cpu_s(process), time.perf_counter() + seconds
            while time.perf_counter() < stop:
                one.ask(request)
                count += 1
            found.append((cpu_s(process) - used) * 1e3 / count)
    return Figure("server-side apply of an unchanged pod: CPU of the core", "ms", found, "at most 1")


def lists(config: Config, process: psutil.Process, repeats: int) -> list[Figure]:
    """LIST of many pods, over one connection; the client only reads the bytes."""
    fill(config, 0, LISTED)
    with door(config) as one:
        five = [listed(one, process) for _ in range(3 + 5 * repeats)][3:]
        fill(config, LISTED, LISTED_LONG)
        ten = [listed(one, process) for _ in range(2 + 3 * repeats)][2:]
    median = statistics.median
    return [
        Figure(f"LIST of {LISTED:,} pods, p50", "ms", [median(took for took, _ in five)], "at most 30"),
        Figure(f"LIST of {LISTED_LONG:,} pods: CPU of the core", "ms", [used for _, used in ten], "at most 60"),
    ]


def fill(config: Config, first: int, end: int) -> None:
    """Have the pods from `first` to `end`."""
    numbers = iter(range(first, end))
    lock = threading.Lock()

    def work() -> None:
        with door(config) as one:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                one.ask(message("POST", PODS, large_pod(f"listed-{number}")))

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def listed(one: Door, process: psutil.Process) -> tuple[float, float]:
    """Milliseconds of one LIST for the client, and of the core's CPU."""
    used, began = cpu_s(process), time.perf_counter()
    one.size_of(message("GET", PODS))
    return (time.perf_counter() - began) * 1e3, (cpu_s(process) - used) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each repeat lasts")
    arguments = parser.parse_args()
    end_on_signal()
    seconds, repeats = arguments.seconds, arguments.repeats
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        process = stack.enter_context(core(config := settings(folder)))
        let_in(config)
        figures = writes(config, process, seconds, repeats)
        with suppress(RuntimeError):
            figures.append(applied(config, process, seconds, repeats))
        figures += lists(config, process, repeats)
    report("The API under sixteen clients", figures)


if __name__ == "__main__":
    main()
