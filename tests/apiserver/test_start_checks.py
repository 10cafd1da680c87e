"""What a server says of its start, and of its store while it serves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from bireme.aio.clock import VirtualClock
from bireme.api.scheme import builtin
from bireme.apiserver.health import Health
from bireme.apiserver.start_checks import Following, add_start_checks
from bireme.assembly.api import Api, serve_api
from bireme.http.interface import Peer, Query, Request, Response
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.verbs import Registry
from bireme.registry.wiring import build_registry
from bireme.store.core import Core
from bireme.store.interface import StoreError
from bireme.store.memory import MemoryStore
from bireme.store.state import State

STARTED = {
    "etcd",
    "poststarthook/bootstrap-controller",
    "poststarthook/crd-informer-synced",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/start-system-namespaces-controller",
}


@asynccontextmanager
async def served() -> AsyncIterator[Api]:
    clock = VirtualClock()
    async with serve_api(MemoryStore(clock=clock), clock=clock, random=Random(7)) as api:
        yield api


async def get(api: Api, path: str, *, method: str = "GET") -> Response:
    path, _, query = path.partition("?")
    answer = await api.server.handle(Request(method, path, Query.parse(query), {}, b"", Peer(), path))
    assert isinstance(answer, Response)
    return answer


async def well(api: Api, endpoint: str) -> set[str]:
    said = (await get(api, f"/{endpoint}?verbose")).body.decode().splitlines()
    assert said[-1] == f"{endpoint} check passed"
    return {line.removeprefix("[+]").removesuffix(" ok") for line in said if line.startswith("[+]")}


async def test_a_server_that_has_started_says_of_what() -> None:
    async with served() as api:
        assert await well(api, "livez") == {"ping", *STARTED}
        assert await well(api, "readyz") == await well(api, "healthz") == {"ping", "informer-sync", *STARTED}
        assert (await get(api, "/readyz/poststarthook/rbac/bootstrap-roles")).body == b"ok"
        assert (await get(api, "/readyz", method="HEAD")).status == 200


def faults(registry: Registry) -> dict[str, str]:
    health = Health()
    add_start_checks(health, registry, authenticates_to_others=True)
    told = {}
    for name in (*STARTED, "poststarthook/start-cluster-authentication-info-controller"):
        path = f"/livez/{name}"
        answer = health.answer(Request("GET", path, Query.parse(""), {}, b"", Peer(), path))
        assert answer is not None, name
        told[name] = answer.body.decode()
    return told


def test_a_server_that_has_not_started_says_what_is_missing() -> None:
    clock = VirtualClock()
    told = faults(build_registry(MemoryStore(clock=clock), builtin(), clock))
    assert told.pop("etcd") == told.pop("poststarthook/crd-informer-synced") == "ok"
    assert set(told.values()) == {"internal server error: not finished"}


async def test_what_has_started_once_stays_so() -> None:
    async with served() as api:
        await well(api, "readyz")
        kind = api.registry.kind("scheduling.k8s.io", "v1", "priorityclasses")
        await api.registry.delete(kind, "", "system-node-critical", DeleteOptions(), Call())
        await well(api, "readyz")


class Stuck:
    """A log whose disk never answers."""

    def start(self, settled: object) -> None:
        pass

    def submit(self, batch: object) -> None:
        pass

    def size_bytes(self) -> int:
        return 0

    async def close(self) -> None:
        pass


async def test_a_disk_that_does_not_answer_is_told_of() -> None:
    clock = VirtualClock()
    store = Core(State(), Stuck(), clock=clock)  # type: ignore[arg-type]
    registry = build_registry(store, builtin(), clock)
    assert faults(registry)["etcd"] == "ok"
    store._hand_over_soon()
    store._gathering()
    await clock.advance(3)
    assert faults(registry)["etcd"] == "internal server error: a write takes 3.0 s"


async def test_a_store_that_ended_is_told_of() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    registry = build_registry(store, builtin(), clock)
    await store.close()
    assert faults(registry)["etcd"] == "internal server error: the store takes no more writes"
    with pytest.raises(StoreError):
        await store.put("/registry/a/b", b"", expect=None)


async def test_caches_that_do_not_follow_the_store_are_told_of() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    registry = build_registry(store, builtin(), clock)  # nothing runs: its caches stay as they are
    check = Following(registry)
    assert check() == ""
    await store.put("/registry/configmaps/default/a", b"{}", expect=None)
    assert check() == ""
    assert check() == ""
    await clock.advance(6)
    assert check() == "the caches are 6 s behind the store"


async def test_checks_are_counted() -> None:
    async with served() as api:
        api.server.health.add("x", lambda: "no")
        for _ in range(2):
            await get(api, "/readyz?exclude=etcd")
        page = api.server.health.figures().body.decode()
        total = "kubernetes_healthchecks_total"
        assert f'{total}{{name="x",status="error",type="readyz"}} 2\n' in page
        assert f'{total}{{name="ping",status="success",type="readyz"}} 2\n' in page
        assert f'{total}{{name="etcd"' not in page
