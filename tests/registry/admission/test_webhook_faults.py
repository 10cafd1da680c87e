"""F-API-10: whatever goes wrong on the way to a webhook ends in its time, fails closed or open, and blocks nobody."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bireme.aio.clock import RealClock, VirtualClock
from bireme.api.errors import ApiError
from bireme.api.scheme import builtin
from bireme.http.certificates import Authority, server_context
from bireme.http.interface import Identity
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.verbs import Registry
from bireme.registry.wiring import build_registry, fill_registry, run_registry
from bireme.store.memory import MemoryStore
from support.webhook_server import HookServer, allow, hook_server

Tree = dict[str, Any]
Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GROUP = "admissionregistration.k8s.io"
ANN = Identity("ann", ("people",))
GUARD_S = 60
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
EVERY = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}
MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}


@pytest.fixture(scope="module")
def hooks() -> Iterator[HookServer]:
    with hook_server() as server:
        yield server


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """TLS of a server, and the authority that vouches for it, as a bundle."""
    import base64

    folder: Path = tmp_path_factory.mktemp("authority")
    now = RealClock().now()
    authority = Authority.create(folder, now=now)
    pair = authority.issue("hooks", hosts=("127.0.0.1",), now=now, server=True)
    return server_context(pair), base64.b64encode(authority.certificate).decode()


def reset(writer: asyncio.StreamWriter) -> None:
    """Drop the connection so that the other side hears of it at once."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(int(length.partition(b":")[2]))


async def resets_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reset(writer)


async def resets_after_the_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    reset(writer)


async def resets_in_its_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(HEAD + b'{"kind":')
    await writer.drain()
    reset(writer)


async def ends_in_its_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(HEAD + b'{"kind":')
    writer.close()


async def says_what_is_no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"SECRET\r\n\r\n")
    writer.close()


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the other side goes
    writer.close()


async def stops_in_its_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(HEAD + b'{"kind":')
    await says_nothing(reader, writer)


FAULTS = [
    pytest.param(resets_at_once, False, "", id="a reset before TLS"),
    pytest.param(says_nothing, False, "context deadline exceeded", id="no TLS at all"),
    pytest.param(resets_after_the_request, True, "", id="a reset in place of an answer"),
    pytest.param(resets_in_its_answer, True, "", id="a reset within the answer"),
    pytest.param(ends_in_its_answer, True, "", id="half an answer"),
    pytest.param(says_what_is_no_http, True, "", id="no HTTP"),
    pytest.param(says_nothing, True, "context deadline exceeded", id="no answer"),
    pytest.param(stops_in_its_answer, True, "context deadline exceeded", id="half an answer, then nothing"),
]


@asynccontextmanager
async def serving(behave: Behave, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    """A server on loopback that behaves so; its port."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await behave(reader, writer)
        except (OSError, EOFError):
            return  # the other side went first

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            if not writer.is_closing():
                writer.transport.abort()
        await server.wait_closed()


async def configure(registry: Registry, kind: str, name: str, client: Tree, **said: Any) -> None:
    hook = {
        "name": f"{name}.example.com",
        "clientConfig": client,
        "rules": [MAPS],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **said,
    }
    place = registry.kind(GROUP, "v1", f"{kind}webhookconfigurations")
    await registry.create(place, "", {"metadata": {"name": name}, "webhooks": [hook]}, Call())


async def forget(registry: Registry, kind: str, name: str) -> None:
    place = registry.kind(GROUP, "v1", f"{kind}webhookconfigurations")
    await registry.delete(place, "", name, DeleteOptions(), Call(ANN))


async def make(registry: Registry, name: str) -> Call:
    call = Call(ANN)
    await registry.create(registry.kind("", "v1", "configmaps"), "default", {"metadata": {"name": name}}, call)
    return call


@pytest.mark.parametrize("kind", ["mutating", "validating"])
@pytest.mark.parametrize(("behave", "tls", "text"), FAULTS)
async def test_a_fault_on_the_way_fails_closed_or_open(opened, hooks, context, kind, behave, tls, text):
    trust, bundle = context
    async with opened() as registry, serving(behave, trust if tls else None) as port, asyncio.timeout(GUARD_S):
        client = {"url": f"https://127.0.0.1:{port}/", "caBundle": bundle}
        await configure(registry, kind, "open", client, failurePolicy="Ignore", timeoutSeconds=1)
        call = await make(registry, "let-in")
        assert f"failed-open.{kind}.webhook.admission.k8s.io/round_0_index_0" in call.audit
        await forget(registry, kind, "open")
        await configure(registry, kind, "shut", client, timeoutSeconds=1)
        with pytest.raises(ApiError) as refusal:
            await make(registry, "refused")
        assert (refusal.value.code, refusal.value.reason) == (500, "InternalError")
        assert 'failed calling webhook "shut.example.com": failed to call webhook: ' in refusal.value.message
        assert text in refusal.value.message
        assert "SECRET" not in refusal.value.message
        await forget(registry, kind, "shut")
        await configure(registry, kind, "well", hooks.on("/allow", allow))
        await make(registry, "after")
        names = [tree["metadata"]["name"] for tree in registry.every("", "v1", "configmaps", "default")]
        assert {"let-in", "after"} <= set(names)
        assert "refused" not in names


async def test_who_waits_for_a_webhook_keeps_nobody_else_waiting(opened, context):
    trust, bundle = context
    async with opened() as registry, serving(says_nothing, trust) as port, asyncio.timeout(GUARD_S):
        client = {"url": f"https://127.0.0.1:{port}/", "caBundle": bundle}
        await configure(registry, "validating", "slow", client, timeoutSeconds=30)
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(make(registry, f"c{number}")) for number in range(20)]
            await asyncio.sleep(0)
            secrets = registry.kind("", "v1", "secrets")
            for number in range(20):
                await registry.create(secrets, "default", {"metadata": {"name": f"s{number}"}}, Call(ANN))
            assert not any(task.done() for task in waiting)
            for task in waiting:
                task.cancel()


async def test_a_webhook_that_says_no_time_has_ten_seconds_and_refuses(opened):
    async with opened() as registry:
        await configure(registry, "validating", "h", {"url": "https://127.0.0.1:1/"})
        (hook,) = registry.every(GROUP, "v1", "validatingwebhookconfigurations")[0]["webhooks"]
        assert (hook["timeoutSeconds"], hook["failurePolicy"]) == (10, "Fail")
        with pytest.raises(ApiError, match=r"timeout=10s.*connection refused"):
            await make(registry, "c")


@asynccontextmanager
async def started(store: MemoryStore) -> AsyncIterator[Registry]:
    """A server over what the store holds, with what every cluster has."""
    registry = build_registry(store, builtin(), VirtualClock(), random=Random(7))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run_registry(registry))
        await fill_registry(registry, advertise_address="192.0.2.1", port=6443)
        yield registry
        running.cancel()


async def test_a_cluster_starts_and_is_put_right_though_all_its_webhooks_are_dead():
    store = MemoryStore(clock=VirtualClock())
    dead = {"url": "https://127.0.0.1:1/dead"}
    async with started(store) as registry, asyncio.timeout(GUARD_S):
        for kind in ("mutating", "validating"):
            await configure(registry, kind, "all", dead, rules=[EVERY])
        roles = registry.kind("rbac.authorization.k8s.io", "v1", "clusterroles")
        await registry.delete(roles, "", "view", DeleteOptions(), Call())
    async with started(store) as registry, asyncio.timeout(GUARD_S):
        assert registry.find("rbac.authorization.k8s.io", "v1", "clusterroles", "", "view"), "made again"
        with pytest.raises(ApiError, match="failed calling webhook"):
            await make(registry, "c")
        for kind in ("mutating", "validating"):
            await forget(registry, kind, "all")
        await make(registry, "c")


async def test_a_webhook_of_pods_of_its_own_namespace_does_not_keep_its_owner_out(opened):
    async with opened() as registry, asyncio.timeout(GUARD_S):
        service = {"metadata": {"name": "hooks"}, "spec": {"clusterIP": "None", "ports": [{"port": 443}]}}
        await registry.create(registry.kind("", "v1", "services"), "default", service, Call())
        pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["*"]}
        client = {"service": {"namespace": "default", "name": "hooks"}}
        await configure(registry, "validating", "own", client, rules=[pods])
        kind = registry.kind("", "v1", "pods")
        pod = {"metadata": {"name": "hooks"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        with pytest.raises(ApiError, match='no endpoints available for service "hooks"'):
            await registry.create(kind, "default", pod, Call(ANN))
        await forget(registry, "validating", "own")
        assert await registry.create(kind, "default", pod, Call(ANN))
