"""How long does the event loop do nothing else while an extender without a cache is asked about 5,000 nodes, whole?

The extender is a process of its own that sends all of them back. Every node changed before the first question; after
it none did. The JSON of a list is tens of megabytes.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection

from aiohttp import web
from report import Figure, report
from scheduling_cycle import PULSE_S, Pulse

from bireme.aio.clock import RealClock
from bireme.api.kinds import core, meta
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.client.transport import Pairs
from bireme.http.answers import Reply
from bireme.http.requests import Session
from bireme.scheduler.extender import HttpExtender
from bireme.scheduler.extender_nodes import ShownNodes
from bireme.scheduler.extender_settings import Extender

NODES, IMAGES, LABELS = 5_000, 30, 20


class Nobody:
    """A server that is never asked."""

    async def request(self, method: str, path: str, query: Pairs, headers: Mapping[str, str], body: bytes) -> Reply:
        raise NotImplementedError

    def stream(self, method: str, path: str, query: Pairs, headers: Mapping[str, str]) -> object:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


def node(number: int) -> core.Node:
    images = [
        core.ContainerImage(
            names=[f"registry.example.com/app-{at}@sha256:{at:064}", f"app-{at}:1"], size_bytes=at << 20
        )
        for at in range(IMAGES)
    ]
    labels = {f"label-{at}.example.com/of": f"value-{at}" for at in range(LABELS)}
    status = core.NodeStatus(allocatable={"cpu": "16", "memory": "64Gi", "pods": "110"}, images=images)
    return core.Node(metadata=meta.ObjectMeta(name=f"node-{number:04}", labels=labels), status=status)


def serve(where: Connection) -> None:
    """An extender that takes every node, until the process ends."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        nodes = body[body.index(b'"Nodes":') : body.rindex(b',"NodeNames"')]
        return web.Response(body=b"{" + nodes + b"}", content_type="application/json")

    async def run() -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/filter", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        where.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


async def asked(port: int, times: int) -> list[tuple[float, float]]:
    """The longest pause and the CPU of each question, in seconds."""
    informer = Informer(Client(Nobody()), core.Node, clock=RealClock())  # type: ignore[arg-type]
    informer.have([node(number) for number in range(NODES)])
    names, found = [f"node-{number:04}" for number in range(NODES)], []
    async with Session() as session:
        settings = Extender(url_prefix=f"http://127.0.0.1:{port}", filter_verb="filter", http_timeout="60s")
        extender = HttpExtender(settings, session, nodes=ShownNodes(informer))
        for _ in range(times):
            pulse, began = Pulse(), time.process_time()
            async with asyncio.TaskGroup() as tasks:
                beating = tasks.create_task(pulse.run())
                await asyncio.sleep(0)
                filtered = await extender.filter(core.Pod(), names)
                await asyncio.sleep(2 * PULSE_S)
                beating.cancel()
            assert len(filtered.passed) == NODES
            found.append((pulse.longest, time.process_time() - began))
    return found


def measure(repeats: int) -> list[Figure]:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        runs = [asyncio.run(asked(port, 2)) for port in [ours.recv()] for _ in range(repeats)]
    finally:
        server.terminate()
        with suppress(ValueError):
            server.join()
    figures = []
    for which, what in enumerate(("first question", "further question")):
        figures.append(Figure(f"longest turn, {what}", "ms", [run[which][0] * 1e3 for run in runs], "at most 25"))
        figures.append(Figure(f"CPU, {what}", "ms", [run[which][1] * 1e3 for run in runs]))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    report(f"An extender that is shown {NODES:,} nodes", measure(parser.parse_args().repeats))


if __name__ == "__main__":
    main()
