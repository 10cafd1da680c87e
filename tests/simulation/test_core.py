"""The core with hollow nodes: durable, and taken up again as it was left."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bireme.aio.clock import RealClock
from bireme.api.errors import ApiError
from bireme.api.kinds import core, meta
from bireme.assembly import core as assembly
from bireme.assembly.certificates import ensure
from bireme.cli.up import make_credentials
from bireme.client.client import Client
from bireme.client.transport import HttpTransport
from bireme.config import Config
from bireme.http.certificates import Pair, client_context
from bireme.http.requests import Session
from bireme.simulation.core import Hollow


def free_ports(count: int) -> list[int]:
    with_socket = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in with_socket]
    for each in with_socket:
        each.close()
    return ports


@pytest.fixture
def config(tmp_path: Path) -> Config:
    ports = free_ports(3)
    made = Config(
        data=tmp_path / "bireme",
        run=tmp_path / "run",
        api_port=ports[0],
        mesos_port=ports[1],
        marathon_port=ports[2],
        node_name="here",
        simulated_nodes=3,
    )
    made.save()
    made.logs.mkdir()
    ensure(made, now=RealClock().now())
    make_credentials(made)
    return made


@asynccontextmanager
async def started(config: Config) -> AsyncIterator[tuple[Hollow, Client]]:
    clock = RealClock()
    hollow = Hollow(config, clock=clock)
    tls = client_context((config.pki / "ca.crt").read_bytes(), Pair.read(config.pki, "admin"))
    async with asyncio.TaskGroup() as tasks, Session(tls=tls) as session:
        running = tasks.create_task(assembly.main(config, clock=clock, stand_in=hollow))
        wanted = config.simulated_nodes
        while hollow.statistics() != {"wanted": wanted, "registered": wanted, "ready": wanted}:
            await asyncio.sleep(0.01)
        yield hollow, Client(HttpTransport(session, config.api_url))
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def running_pod(client: Client, name: str) -> core.Pod:
    while True:
        with suppress(ApiError):
            pod = await client.get(core.Pod, name, namespace="default")
            if pod.status.phase == "Running":
                return pod
        await asyncio.sleep(0.01)


async def made(client: Client, name: str) -> None:
    wanted = core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="default"),
        spec=core.PodSpec(containers=[core.Container(name="c", image="i")]),
    )
    while True:  # the namespace's account takes a moment
        try:
            await client.create(wanted)
        except ApiError:
            await asyncio.sleep(0.01)
        else:
            return


def essence(pod: core.Pod) -> tuple[Any, ...]:
    state = pod.status.container_statuses[0].state
    assert state is not None
    assert state.running is not None
    return pod.metadata.uid, pod.spec.node_name, pod.status.pod_ip, state.running.started_at


@pytest.mark.timeout(60)
async def test_what_was_there_is_taken_up_again(config: Config) -> None:
    async with started(config) as (_, client):
        await made(client, "p")
        before = essence(await running_pod(client, "p"))
        nodes = {node.metadata.name: node.metadata.uid for node in (await client.list(core.Node)).items}
    async with started(config) as (_, client):
        await made(client, "q")
        after = await running_pod(client, "q")
        assert essence(await running_pod(client, "p")) == before
        assert after.status.pod_ip != before[2]
        assert {node.metadata.name: node.metadata.uid for node in (await client.list(core.Node)).items} == nodes
        assert sorted(nodes) == ["sim-0", "sim-1", "sim-2"]


@pytest.mark.timeout(60)
async def test_a_smaller_life_has_fewer_nodes(config: Config) -> None:
    async with started(config):
        pass
    import msgspec

    async with started(msgspec.structs.replace(config, simulated_nodes=1)) as (_, client):
        while (names := [node.metadata.name for node in (await client.list(core.Node)).items]) != ["sim-0"]:
            assert set(names) <= {"sim-0", "sim-1", "sim-2"}
            await asyncio.sleep(0.01)
