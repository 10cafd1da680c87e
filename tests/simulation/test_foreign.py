"""Hollow nodes as a foreign client of an API server: over HTTPS, by a kubeconfig."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from bireme.aio.clock import RealClock, VirtualClock
from bireme.api.errors import AlreadyExists, ApiError, NotFound, ServiceUnavailable
from bireme.api.kinds import coordination, core, meta
from bireme.client.client import Client
from bireme.client.kubeconfig import Access, read_access
from bireme.client.transport import InProcessTransport
from bireme.http.interface import Answer, Identity, Request, Response, Stream
from bireme.simulation.cluster import SimulatedCluster, Wishes, simulated
from bireme.simulation.foreign import Fleet, hollow_nodes, remove
from bireme.simulation.leases import NAMESPACE
from bireme.simulation.nodes import MARK, HollowNodes
from bireme.simulation.shapes import Shape
from bireme.simulation.wire import WireRenewer

MOMENT = "2040-01-02T03:04:05.000000Z"


@asynccontextmanager
async def cluster() -> AsyncIterator[tuple[SimulatedCluster, Access]]:
    async with simulated(Wishes(), clock=RealClock()) as there:
        yield there, read_access([there.kubeconfig])


async def until(claim: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await claim():
            await asyncio.sleep(0.01)


async def test_nodes_are_ready_and_run_pods() -> None:
    async with cluster() as (there, access), hollow_nodes(access, Fleet(5, prefix="far"), clock=RealClock()) as nodes:
        assert nodes.names() == [f"far-{number}" for number in range(5)]

        async def ready() -> bool:
            return nodes.statistics().ready == 5

        await until(ready)
        await there.admin.create(
            core.Pod(
                metadata=meta.ObjectMeta(name="p", namespace="default"),
                spec=core.PodSpec(containers=[core.Container(name="c", image="i")]),
            )
        )

        async def runs() -> bool:
            return (await there.admin.get(core.Pod, "p", namespace="default")).status.phase == "Running"

        await until(runs)
        assert (await there.admin.get(core.Pod, "p", namespace="default")).spec.node_name.startswith("far-")


async def test_a_second_life_takes_them_up_and_they_can_be_removed() -> None:
    fleet = Fleet(3)
    async with cluster() as (there, access):
        for _ in range(2):
            async with hollow_nodes(access, fleet, clock=RealClock()):
                pass
        uids = {node.metadata.name: node.metadata.uid for node in (await there.admin.list(core.Node)).items}
        assert len(uids) == 3
        assert await remove(access, fleet) == 3
        assert not (await there.admin.list(core.Node)).items


async def test_a_node_of_somebody_else_is_left_alone() -> None:
    async with cluster() as (there, access):
        await there.admin.create(core.Node(metadata=meta.ObjectMeta(name="hollow-1")))
        with pytest.raises(ExceptionGroup) as error:
            async with hollow_nodes(access, Fleet(2), clock=RealClock()):
                pass
        assert error.group_contains(AlreadyExists)


async def test_a_busy_server_is_asked_again() -> None:
    clock = VirtualClock()
    asked: list[str] = []

    async def handle(request: Request) -> Answer:
        asked.append(request.method)
        if request.method == "GET":
            return Response(
                body=b'{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}'
            )
        return Response(429, b"{}")

    client = Client(InProcessTransport(handle, Identity("hollow")))
    nodes = HollowNodes(client, clock=clock)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(nodes.run())
        adding = tasks.create_task(nodes.add(1, Shape()))
        adding.add_done_callback(lambda _: running.cancel())
        await clock.advance(4)
        assert asked.count("POST") == 4  # at once, and after 0.5, 1 and 2 seconds
        adding.cancel()


class Counter:
    """Renews nothing, and counts."""

    def __init__(self) -> None:
        self.renewed: list[str] = []

    async def renew(self, names: Sequence[str], moment: str) -> dict[str, ApiError]:
        self.renewed += names
        return {}


async def test_leases_do_not_wait_for_statuses() -> None:
    clock, renewer, doubted, asked = VirtualClock(), Counter(), asyncio.Event(), asyncio.Event()
    node = {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": "hollow-0", "uid": "u", "resourceVersion": "1", "labels": {MARK: "true"}},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
    }

    async def doubts() -> AsyncIterator[bytes]:
        await doubted.wait()
        yield json.dumps({"type": "MODIFIED", "object": node}).encode() + b"\n"
        await asyncio.Event().wait()

    async def handle(request: Request) -> Answer:
        if request.method == "GET" and "watch" in request.query:
            return Stream(doubts())
        if request.method == "GET":
            metadata = {"resourceVersion": "1"}
            nodes = {"kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": [node]}
            return Response(body=json.dumps(nodes).encode())
        if request.path.endswith("/status") and doubted.is_set():
            asked.set()
            await asyncio.Event().wait()  # this server will not take the status
        return Response(body=json.dumps(node).encode())

    nodes = HollowNodes(Client(InProcessTransport(handle, Identity("hollow"))), clock=clock, renewer=renewer)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(nodes.run())
        await nodes.add(1, Shape())
        doubted.set()
        await asked.wait()
        renewer.renewed.clear()
        await clock.advance(30)
        assert len(renewer.renewed) >= 2
        running.cancel()


async def test_leases_are_renewed_on_the_wire() -> None:
    async with cluster() as (there, access), hollow_nodes(access, Fleet(20), clock=RealClock()) as nodes:
        renewer = WireRenewer(access, lines=3)
        failed = await renewer.renew([*nodes.names(), "nobody"], MOMENT)
        assert {name: type(error) for name, error in failed.items()} == {"nobody": NotFound}
        leases = (await there.admin.list(coordination.Lease, namespace=NAMESPACE)).items
        assert {lease.spec.renew_time for lease in leases} == {MOMENT}
        await renewer.close()
        assert not await renewer.renew(["hollow-3"], MOMENT)  # on new connections
        await renewer.close()


def test_leases_are_renewed_on_the_loop_that_processes_run_on() -> None:
    async def main() -> None:
        async with cluster() as (_, access), hollow_nodes(access, Fleet(3), clock=RealClock()) as nodes:
            renewer = WireRenewer(access)
            assert not await renewer.renew(nodes.names(), MOMENT)
            await renewer.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_a_server_that_is_gone_fails_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    gone = Access("gone", f"https://127.0.0.1:{port}", "default", ssl.create_default_context(), {})
    renewer = WireRenewer(gone)
    failed = await renewer.renew(["a", "b"], MOMENT)
    assert {name: type(error) for name, error in failed.items()} == dict.fromkeys("ab", ServiceUnavailable)
    with pytest.raises(ServiceUnavailable, match="cannot reach"):
        async with hollow_nodes(gone, Fleet(1), clock=RealClock()):
            pass
