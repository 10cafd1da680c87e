"""What do admission webhooks cost a write: none, those of others, and one that is asked?

The API's handler is called in this process, over a store in memory, without sockets; its CPU is read from the
kernel, that of its own thread alone. The webhook is a real server over TLS in another thread, which answers at once:
its own work is not counted, the way there and back is. Creates of pods are asked in turn, in one run.
"""

import argparse
import asyncio
import base64
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import uvloop
from api_requests import PODS, pod, until_made
from field_owners import PEER, ask, big_pod
from report import Figure, report

from bireme.aio.clock import RealClock
from bireme.assembly.api import Api, serve_api
from bireme.assembly.process import settle_memory
from bireme.http.certificates import Authority, server_context
from bireme.http.interface import Answer, Request, Response
from bireme.http.server import serve
from bireme.store.memory import MemoryStore

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
TURN = 50


async def allow(request: Request) -> Answer:
    """A webhook that lets everything pass."""
    review = json.loads(request.body)
    response = {"uid": review["request"]["uid"], "allowed": True}
    return Response(200, json.dumps({**review, "request": None, "response": response}).encode())


@contextmanager
def webhook() -> Iterator[dict[str, Any]]:
    """A running webhook; gives back the client configuration that leads to it."""
    with tempfile.TemporaryDirectory() as folder:
        now = RealClock().now()
        authority = Authority.create(Path(folder), now=now)
        tls = server_context(authority.issue("hook", hosts=("127.0.0.1",), now=now, server=True))
    ready: list[int] = []
    opened, done = threading.Event(), threading.Event()

    def run() -> None:
        asyncio.run(serving(tls, ready, opened, done))

    thread = threading.Thread(target=run)
    thread.start()
    opened.wait(10)
    bundle = base64.b64encode(authority.certificate).decode()
    try:
        yield {"url": f"https://127.0.0.1:{ready[0]}/", "caBundle": bundle}
    finally:
        done.set()
        thread.join()


async def serving(tls: ssl.SSLContext, ready: list[int], opened: threading.Event, done: threading.Event) -> None:
    """Serve until told that it is done."""
    door = await serve(allow, host="127.0.0.1", port=0, tls=tls)
    ready.append(door.port)
    opened.set()
    await asyncio.to_thread(done.wait)
    await door.close(grace_s=0)


def configuration(name: str, client: dict[str, Any], resource: str) -> dict[str, Any]:
    """One webhook for the creation of one kind of object."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": [resource], "operations": ["CREATE"]}
    hook = {
        "name": f"{name}.example.com",
        "clientConfig": client,
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    return {**kind, "metadata": {"name": name}, "webhooks": [hook]}


async def creating(api: Api, numbers: Iterator[int], seconds: float) -> tuple[float, float]:
    """CPU and time of a create, in us."""
    done, began, used = 0, time.perf_counter(), time.thread_time()
    while time.perf_counter() - began < seconds:
        for _ in range(TURN):
            await ask(api, "POST", PODS, big_pod(next(numbers)))
        done += TURN
    return (time.thread_time() - used) * 1e6 / done, (time.perf_counter() - began) * 1e6 / done


async def measured(seconds: float, repeats: int) -> list[Figure]:
    cpu: dict[str, list[float]] = {"none": [], "of others": [], "one asked": []}
    taken: list[float] = []
    numbers = count()
    with webhook() as client:
        async with serve_api(MemoryStore(), clock=RealClock()) as api:
            await until_made(api.server.handle, PEER, json.dumps(pod(0)).encode())
            settle_memory()
            for _ in range(repeats):
                cpu["none"].append((await creating(api, numbers, seconds))[0])
                for number in range(10):
                    await ask(api, "POST", CONFIGURATIONS, configuration(f"other-{number}", client, "secrets"))
                cpu["of others"].append((await creating(api, numbers, seconds))[0])
                await ask(api, "POST", CONFIGURATIONS, configuration("asked", client, "pods"))
                used, time_us = await creating(api, numbers, seconds)
                cpu["one asked"].append(used)
                taken.append(time_us)
                for name in ("asked", *(f"other-{number}" for number in range(10))):
                    await ask(api, "DELETE", f"{CONFIGURATIONS}/{name}", {})
    return [
        Figure("CPU of a create without webhooks", "us", cpu["none"]),
        Figure("CPU of a create beside ten webhooks for other kinds", "us", cpu["of others"]),
        Figure("CPU of a create that one webhook is asked of", "us", cpu["one asked"]),
        Figure("time of a create that one webhook is asked of", "us", taken),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each turn takes")
    parser.add_argument("--repeats", type=int, default=5)
    said = parser.parse_args()
    report("webhooks", uvloop.run(measured(said.seconds, said.repeats)))


if __name__ == "__main__":
    main()
