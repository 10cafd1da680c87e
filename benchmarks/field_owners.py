"""What does it cost to keep account of who owns which fields, and what is the cost of a server-side apply?

The API's handler is called in this process, over a store in memory, without sockets; its CPU is read from the
kernel. Creates and status writes of one pod after the other are asked with the account and without it in turn, in
one run; the difference is its price. Applies are asked with a Deployment of several containers: one that changes
nothing, and one that changes a field each time. The size is what the account adds to a stored pod.
"""

import argparse
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import uvloop
from api_requests import MERGE, PODS, pod, until_made
from report import Figure, report

from bireme.aio.clock import RealClock
from bireme.assembly.api import MASTERS, Api, serve_api
from bireme.assembly.process import settle_memory
from bireme.http.interface import Peer, Query, Request, Response
from bireme.registry.field_managers import FieldManagers
from bireme.store.memory import MemoryStore

APPLY = "application/apply-patch+yaml"
DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/web"
PEER = Peer("127.0.0.1", 1, "kubernetes-admin", (MASTERS,), tls=True)
TURN = 50

Ask = Callable[[int], Awaitable[None]]


class NoAccount(FieldManagers):
    """Nobody owns anything."""

    def created(self, *_: Any, **__: Any) -> None:
        return

    def updated(self, *_: Any, **__: Any) -> None:
        return


async def ask(api: Api, method: str, path: str, body: Any, media: str = "application/json") -> bytes:
    agent = {"accept": "application/json", "content-type": media, "user-agent": "kubelet/v1.32.0 (linux/amd64)"}
    path, _, query = path.partition("?")
    request = Request(method, path, Query.parse(query), agent, json.dumps(body).encode(), PEER, path)
    made = await api.server.handle(request)
    assert isinstance(made, Response), made
    assert made.status < 300, made.body
    return made.body


@contextmanager
def unaccounted(api: Api) -> Iterator[None]:
    """Nothing is kept account of, for once."""
    kept = api.registry.field_managers
    api.registry.field_managers = NoAccount(api.registry.intake, RealClock())
    try:
        yield
    finally:
        api.registry.field_managers = kept


async def compared(ask_with: Ask, ask_without: Ask, seconds: float, repeats: int) -> tuple[list[float], ...]:
    """CPU in us of each, turn and turn about."""
    found: tuple[list[float], ...] = ([], [])
    numbers = count()
    for _ in range(repeats):
        used, done, began = [0.0, 0.0], 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            for place, one in enumerate((ask_with, ask_without)):
                began_cpu = time.thread_time()
                for _ in range(TURN):
                    await one(next(numbers))
                used[place] += time.thread_time() - began_cpu
            done += TURN
        for place, cpu in enumerate(used):
            found[place].append(cpu * 1e6 / done)
    return found


async def one_after_the_other(one: Ask, seconds: float, repeats: int) -> list[float]:
    found = []
    for _ in range(repeats):
        done, began, used = 0, time.perf_counter(), time.thread_time()
        while time.perf_counter() - began < seconds:
            await one(done)
            done += 1
        found.append((time.thread_time() - used) * 1e6 / done)
    return found


def big_pod(number: int) -> dict[str, Any]:
    """A pod of which a GET is about 3.5 KB, with a label of its own."""
    made = pod(number)
    made["metadata"] = {"name": f"load-{number}", "labels": {"app": "echo", "number": str(number)}}
    return made


def status(number: int) -> dict[str, Any]:
    """What a kubelet says of a running pod, a little different each time."""
    times = {"lastTransitionTime": f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z"}
    names = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "status": {
            "phase": "Running",
            "conditions": [{"type": name, "status": "True", **times} for name in names],
            "podIP": "10.244.0.9",
            "containerStatuses": [
                {
                    "name": "web",
                    "image": "bireme.local/busybox:1",
                    "imageID": "sha256:1",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }
            ],
        }
    }


def deployment(containers: int, *, turn: int = 0) -> dict[str, Any]:
    template = pod(0)
    first = template["spec"]["containers"][0]
    template["spec"]["containers"] = [{**first, "name": f"web-{n}"} for n in range(containers)]
    labels = {"app": "echo"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": labels, "annotations": {"turn": str(turn)}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
        },
    }


async def measured(seconds: float, repeats: int) -> list[Figure]:
    async with serve_api(MemoryStore(), clock=RealClock()) as api:
        await until_made(api.server.handle, PEER, json.dumps(pod(0)).encode())
        await ask(api, "POST", PODS, big_pod(10**9))
        bare_pod = big_pod(10**9 + 1)
        with unaccounted(api):
            await ask(api, "POST", PODS, bare_pod)
        whole = await ask(api, "PATCH", f"{PODS}/load-{10**9}/status", status(0), MERGE)
        with unaccounted(api):
            bare = await ask(api, "PATCH", f"{PODS}/load-{10**9 + 1}/status", status(0), MERGE)
        await ask(api, "PATCH", f"{DEPLOYMENT}?fieldManager=ci", deployment(3), APPLY)
        settle_memory()
        others_made = count()

        async def create(number: int) -> None:
            await ask(api, "POST", PODS, big_pod(number))

        async def create_bare(number: int) -> None:
            with unaccounted(api):
                await ask(api, "POST", PODS, big_pod(number))

        async def create_other(number: int) -> None:
            body = big_pod(number)
            body["metadata"]["name"] = f"other-{next(others_made)}"
            body["spec"]["containers"][0]["env"].append({"name": "N", "value": str(number)})
            await ask(api, "POST", PODS, body)

        async def say(number: int) -> None:
            await ask(api, "PATCH", f"{PODS}/load-{10**9}/status", status(number), MERGE)

        async def say_bare(number: int) -> None:
            with unaccounted(api):
                await ask(api, "PATCH", f"{PODS}/load-{10**9 + 1}/status", status(number), MERGE)

        async def apply_same(number: int) -> None:
            await ask(api, "PATCH", f"{DEPLOYMENT}?fieldManager=ci", deployment(3), APPLY)

        async def apply_other(number: int) -> None:
            await ask(api, "PATCH", f"{DEPLOYMENT}?fieldManager=ci", deployment(3, turn=number), APPLY)

        said, said_bare = await compared(say, say_bare, seconds, repeats)
        made, made_bare = await compared(create, create_bare, seconds, repeats)
        others = await one_after_the_other(create_other, seconds, repeats)
        same = await one_after_the_other(apply_same, seconds, repeats)
        other = await one_after_the_other(apply_other, seconds, repeats)
    return [
        Figure("POST of a pod, with owners: handler", "us", made),
        Figure("POST of a pod, without", "us", made_bare),
        Figure("POST of a pod: owners add", "us", _less(made, made_bare), "at most 40"),
        Figure("POST of a pod that is like no other: handler", "us", others),
        Figure("status PATCH of a pod, with owners: handler", "us", said),
        Figure("status PATCH of a pod, without", "us", said_bare),
        Figure("status PATCH of a pod: owners add", "us", _less(said, said_bare), "at most 40"),
        Figure("apply of an unchanged Deployment: handler", "us", same, "at most 1,000"),
        Figure("apply that changes a field: handler", "us", other),
        Figure("a running pod, with owners", "bytes", [float(len(whole))]),
        Figure("a running pod, without", "bytes", [float(len(bare))]),
    ]


def _less(left: list[float], right: list[float]) -> list[float]:
    return [one - other for one, other in zip(left, right, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each repeat lasts")
    arguments = parser.parse_args()
    report("Who owns which fields", uvloop.run(measured(arguments.seconds, arguments.repeats)))


if __name__ == "__main__":
    main()
