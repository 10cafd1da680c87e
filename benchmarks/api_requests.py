"""What does a GET of a pod through HTTPS on one kept connection cost the core, and who takes it: HTTP, TLS, we?

A core process of its own, without a node, is asked over the socket; its CPU is read from the kernel. The same
door with a handler that gives a constant answer of the same size, without and with TLS, tells what HTTP and TLS
take; the same handler called in this process, without sockets, what our code takes. Requests a second of a core
are what its CPU for one request allows; requests a second of one connection wait for the client as well.
POST, PATCH, LIST and watches are for orientation: their CPU includes that of the controllers, which see every
change. The pods name a scheduler that does not exist, so nobody moves them.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import uvloop
from cluster import FLAGS, end_on_signal, wait_until
from door import Door, client_tls, message
from report import Figure, report

from bireme.aio.clock import RealClock
from bireme.assembly.api import MASTERS, serve_api
from bireme.assembly.certificates import ensure
from bireme.assembly.process import settle_memory
from bireme.cli.up import make_credentials
from bireme.config import Config
from bireme.http.certificates import Pair, server_context
from bireme.http.interface import Answer, Peer, Request, Response
from bireme.http.server import serve
from bireme.store.memory import MemoryStore

PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"
WATCHERS = 50
LISTED = 500
WARM = 200


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests a second over one connection, and the server's CPU for one."""

    rate: float
    cpu_us: float


def settings(folder: Path) -> Config:
    """A cluster in `folder` with nothing but a core."""
    config = Config(
        cluster="bench-core",
        data=folder / "data",
        run=folder / "run",
        node_name="none",
        node_ip="127.0.0.1",
        api_port=int(FLAGS["--api-port"]),
        mesos_port=int(FLAGS["--mesos-port"]),
        marathon_port=int(FLAGS["--marathon-port"]),
        service_range=FLAGS["--service-range"],
        pod_range=FLAGS["--pod-range"],
        dns_address=FLAGS["--dns-address"],
    )
    config.save()
    ensure(config, now=RealClock().now())
    make_credentials(config)
    return config


@contextmanager
def started(command: list[str], log: Path) -> Iterator[psutil.Process]:
    """A process, ended with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def core(config: Config, *, profile: Path | None = None) -> Iterator[psutil.Process]:
    """A core that is ready to take pods; with `profile` its stacks may be written there (`sampled.py`)."""
    with started_core(config, profile=profile) as process:
        yield process


@contextmanager
def started_core(config: Config, *, profile: Path | None = None, seconds: float = 60) -> Iterator[psutil.Process]:
    """The same, which may take so long to start."""
    program = [str(Path(__file__).with_name("sampled.py")), str(profile)] if profile else ["-m", "bireme.cli.main"]
    command = [sys.executable, *program, "run-core", str(config.data / "config.json")]
    with started(command, config.data / "core.log") as process:
        for path in ("/readyz", "/api/v1/namespaces/default/serviceaccounts/default"):
            wait_until(path, partial(answers, config, path, process), seconds=seconds)
        yield process


def answers(config: Config, path: str, process: psutil.Process) -> bool:
    """Whether a GET of `path` succeeds. Raises SystemExit when there is nobody who could answer."""
    if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
        raise SystemExit(f"the core has ended:\n{(config.data / 'core.log').read_text()[-2000:]}")
    try:
        with door(config) as one:
            return bool(one.ask(message("GET", path)))
    except OSError as error:
        raise RuntimeError(str(error)) from error


def door(config: Config, *, tls: bool = True) -> Door:
    """A connection to the core, or to what stands in its place."""
    return Door(config.api_port, tls=client_tls(config.pki) if tls else None)


def cpu_s(process: psutil.Process) -> float:
    """User and system seconds so far, to the nanosecond, of all threads."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def ask_for(
    one: Door, process: psutil.Process, make: Callable[[int], bytes], seconds: float, *, numbers: Iterator[int]
) -> Cost:
    """Ask one request after the other for some time."""
    asked, began, used = 0, time.perf_counter(), cpu_s(process)
    while (took := time.perf_counter() - began) < seconds:
        one.ask(make(next(numbers)))
        asked += 1
    return Cost(asked / took, (cpu_s(process) - used) * 1e6 / asked)


def repeated(one: Door, process: psutil.Process, request: bytes, seconds: float, repeats: int) -> list[Cost]:
    """The same request, again and again; the first ones warm."""
    for _ in range(WARM):
        one.ask(request)
    return [ask_for(one, process, lambda _: request, seconds, numbers=count()) for _ in range(repeats)]


def numbered(
    one: Door, process: psutil.Process, make: Callable[[int], bytes], seconds: float, repeats: int
) -> list[Cost]:
    """Requests that each have a number of their own."""
    numbers = count(1)
    return [ask_for(one, process, make, seconds, numbers=numbers) for _ in range(repeats)]


def pod(number: int) -> dict[str, Any]:
    """A web server much as in examples/two-decks, of whom a GET is about 3 KB."""
    container = {
        "name": "web",
        "image": "bireme.local/busybox:1",
        "command": ["httpd", "-f", "-p", "8080"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 2},
        "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "volumeMounts": [{"name": "page", "mountPath": "/www"}],
    }
    spec = {
        "schedulerName": "nobody",
        "containers": [container],
        "volumes": [{"name": "page", "configMap": {"name": "echo-page"}}],
    }
    metadata = {"name": f"pod-{number}", "labels": {"app": "echo", "number": str(number)}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def label(number: int) -> dict[str, Any]:
    """A merge patch that changes a label."""
    return {"metadata": {"labels": {"turn": str(number)}}}


def patch_first(number: int) -> bytes:
    return message("PATCH", f"{PODS}/pod-0", label(number), media=MERGE)


# The parts of a GET


def handler_us(body: bytes, seconds: float, repeats: int) -> list[float]:
    """CPU of the API's handler for a GET of the pod in `body`, without sockets."""

    async def run() -> list[float]:
        store = MemoryStore()
        async with serve_api(store, clock=RealClock()) as api:
            handle, asked = api.server.handle, Peer("127.0.0.1", 1, "kubernetes-admin", (MASTERS,), tls=True)
            headers = {"host": "localhost", "accept": "application/json", "user-agent": "benchmark"}
            await until_made(handle, asked, body)
            settle_memory()
            found = []
            for _ in range(repeats):
                done, began, used = 0, time.perf_counter(), time.thread_time()
                while time.perf_counter() - began < seconds:
                    await handle(Request("GET", f"{PODS}/pod-0", headers=headers, peer=asked))
                    done += 1
                found.append((time.thread_time() - used) * 1e6 / done)
            return found

    return uvloop.run(run())


async def until_made(handle: Callable[[Request], Any], peer: Peer, body: bytes) -> None:
    """Create the service account that pods need, and the pod."""
    account = json.dumps({"metadata": {"name": "default"}}).encode()
    headers = {"content-type": "application/json"}
    for path, content in (("/api/v1/namespaces/default/serviceaccounts", account), (PODS, body)):
        made: Answer = await handle(Request("POST", path, headers=headers, body=content, peer=peer))
        assert isinstance(made, Response), made
        assert made.status == 201, made.body


def serve_constant(folder: Path, *, tls: bool) -> None:
    """Answer everything with the bytes of a file, until ended: the door without anybody behind it."""
    config = Config.load(folder / "data" / "config.json")
    body = (folder / "body").read_bytes()
    pair, trusted = Pair.read(config.pki, "apiserver"), (config.pki / "ca.crt").read_bytes()
    context = server_context(pair, trusted=trusted) if tls else None

    async def handle(request: Request) -> Answer:
        return Response(body=body, headers={"audit-id": "constant", "cache-control": "no-cache, private"})

    async def run() -> None:
        await serve(handle, host="127.0.0.1", port=config.api_port, tls=context)
        settle_memory()
        await asyncio.Event().wait()

    uvloop.run(run())


def constant_us(config: Config, seconds: float, repeats: int, *, tls: bool) -> list[float]:
    """CPU of the bare door for one request."""
    folder = config.data.parent
    command = [sys.executable, __file__, "--constant", "tls" if tls else "plain", "--folder", str(folder)]

    def connect() -> Door:
        try:
            return door(config, tls=tls)
        except OSError as error:
            raise RuntimeError(str(error)) from error

    with started(command, folder / "constant.log") as process, wait_until("the bare door", connect) as one:
        costs = repeated(one, process, message("GET", f"{PODS}/pod-0"), seconds, repeats)
    return [cost.cpu_us for cost in costs]


# The figures


def gets(config: Config, seconds: float, repeats: int) -> list[Figure]:
    """A GET, whole and in its parts."""
    request = message("GET", f"{PODS}/pod-0")
    with core(config) as process, door(config) as one:
        one.ask(message("POST", PODS, pod(0)))
        (config.data.parent / "body").write_bytes(body := one.ask(request))
        whole = repeated(one, process, request, seconds, repeats)
        others = other_verbs(config, process, one, seconds, repeats)
    size = {"bytes": len(body)}
    http = constant_us(config, seconds, repeats, tls=False)
    secured = constant_us(config, seconds, repeats, tls=True)
    ours = handler_us(json.dumps(pod(0)).encode(), seconds, repeats)
    cpu = [cost.cpu_us for cost in whole]
    tls = [with_tls - plain for with_tls, plain in zip(secured, http, strict=True)]
    rest = [each - door - own for each, door, own in zip(cpu, secured, ours, strict=True)]
    per_core = [1e6 / each for each in cpu]
    return [
        Figure("GET of a pod, HTTPS: per core", "requests/s", per_core, "at least 2,000", size),
        Figure("GET of a pod, HTTPS: over one connection", "requests/s", [cost.rate for cost in whole]),
        Figure("GET of a pod: CPU of the core", "us", cpu),
        Figure("GET of a pod: part of HTTP and the socket", "us", http),
        Figure("GET of a pod: part of TLS", "us", tls),
        Figure("GET of a pod: part of our code, the handler", "us", ours),
        Figure("GET of a pod: the rest, caches and other parts", "us", rest),
        *others,
    ]


def other_verbs(config: Config, process: psutil.Process, one: Door, seconds: float, repeats: int) -> list[Figure]:
    """POST, LIST, PATCH, and what a watcher adds to a change."""
    posts = numbered(one, process, lambda number: message("POST", PODS, pod(number)), seconds, repeats)
    for number in range(LISTED):
        one.ask(message("POST", PODS, pod(number) | {"metadata": {"name": f"more-{number}"}}))
    lists = repeated(one, process, message("GET", f"{PODS}?limit={LISTED}"), seconds, repeats)
    patches = numbered(one, process, patch_first, seconds, repeats)
    event_us = watched_us(config, process, one, seconds, repeats, alone=patches)
    figures = []
    for name, costs in (("POST of a pod", posts), (f"LIST of {LISTED} pods", lists), ("PATCH of a pod", patches)):
        figures.append(Figure(f"{name}: over one connection", "requests/s", [cost.rate for cost in costs]))
        figures.append(Figure(f"{name}: CPU of the core", "us", [cost.cpu_us for cost in costs]))
    return [*figures, Figure(f"an event to one of {WATCHERS} watchers: CPU of the core", "us", event_us)]


def watched_us(
    config: Config, process: psutil.Process, one: Door, seconds: float, repeats: int, *, alone: list[Cost]
) -> list[float]:
    """CPU for one event to one watcher, over HTTPS: what patches cost more while many watch."""
    with ExitStack() as stack:
        for _ in range(WATCHERS):
            stream = stack.enter_context(door(config)).stream(f"{PODS}?watch=true&fieldSelector=metadata.name=pod-0")
            next(stack.enter_context(closing(stream)))
        watched = numbered(one, process, patch_first, min(seconds, 1.0), repeats)
    return [(cost.cpu_us - bare.cpu_us) / WATCHERS for cost, bare in zip(watched, alone, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each repeat lasts")
    parser.add_argument("--constant", choices=("plain", "tls"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.constant:
        serve_constant(arguments.folder, tls=arguments.constant == "tls")
        return
    end_on_signal()
    with tempfile.TemporaryDirectory() as folder:
        figures = gets(settings(Path(folder)), arguments.seconds, arguments.repeats)
    report("Requests to the API", figures)


if __name__ == "__main__":
    main()
