"""Quotas over the real verbs: never exceeded, always what a recount would say."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bireme.api.errors import ApiError, Forbidden, ServiceUnavailable
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.quotas import Quotas
from bireme.registry.verbs import Registry
from bireme.store.interface import StoreFull

Tree = dict[str, Any]


async def settled() -> None:
    """Let the log be read and counted."""
    for _ in range(60):
        await asyncio.sleep(0)


async def make(registry: Registry, plural: str, tree: Tree, *, group: str = "", dry_run: bool = False) -> None:
    await registry.create(registry.kind(group, "v1", plural), "default", tree, Call(dry_run=dry_run))


async def limit(registry: Registry, name: str = "q", *, scopes: list[str] | None = None, **hard: str) -> None:
    spec = {"hard": {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}}
    await make(registry, "resourcequotas", {"metadata": {"name": name}, "spec": {**spec, "scopes": scopes or []}})
    await settled()


def used(registry: Registry, name: str = "q") -> Tree:
    quota = registry.find("", "v1", "resourcequotas", "default", name)
    assert quota is not None
    found: Tree = quota["status"]["used"]
    return found


def config(name: str) -> Tree:
    return {"metadata": {"name": name}}


def pod(name: str, cpu: str = "") -> Tree:
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}}


async def test_charged_refused_and_given_back(opened):
    async with opened() as registry:
        await make(registry, "configmaps", config("before"))
        await limit(registry, configmaps="2")
        assert used(registry) == {"configmaps": "1"}
        await make(registry, "configmaps", config("a"))
        assert used(registry) == {"configmaps": "2"}
        with pytest.raises(Forbidden) as refusal:
            await make(registry, "configmaps", config("b"))
        assert refusal.value.message == (
            'configmaps "b" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, '
            "limited: configmaps=2"
        )
        kind = registry.kind("", "v1", "configmaps")
        await registry.delete(kind, "default", "before", DeleteOptions(), Call())
        await settled()
        assert used(registry) == {"configmaps": "1"}


async def test_a_dry_run_is_refused_but_not_charged(opened):
    async with opened() as registry:
        await limit(registry, configmaps="1")
        await make(registry, "configmaps", config("a"), dry_run=True)
        assert used(registry) == {"configmaps": "0"}
        await make(registry, "configmaps", config("a"))
        with pytest.raises(Forbidden):
            await make(registry, "configmaps", config("b"), dry_run=True)


async def test_a_write_that_fails_gives_back(opened, monkeypatch):
    async with opened() as registry:
        await limit(registry, configmaps="3")
        put = registry.store.put

        async def full(key: str, value: bytes, **more: Any) -> Any:
            if "/configmaps/" in key:
                raise StoreFull("no room")
            return await put(key, value, **more)

        monkeypatch.setattr(registry.store, "put", full)
        with pytest.raises(ServiceUnavailable):
            await make(registry, "configmaps", config("a"))
        assert used(registry) == {"configmaps": "0"}


async def test_pods_must_say_what_is_limited(opened):
    async with opened() as registry:
        await limit(registry, requests_cpu="1", pods="5")
        with pytest.raises(Forbidden, match=r"failed quota: q: must specify requests.cpu for: c$"):
            await make(registry, "pods", pod("a"))
        await make(registry, "pods", pod("a", "300m"))
        assert used(registry) == {"requests.cpu": "300m", "pods": "1"}
        with pytest.raises(
            Forbidden, match=r"requested: requests\.cpu=800m, used: requests\.cpu=300m, limited: requests\.cpu=1"
        ):
            await make(registry, "pods", pod("b", "800m"))


async def test_all_quotas_or_none_are_charged(opened):
    async with opened() as registry:
        await limit(registry, "first", configmaps="5")
        await limit(registry, "second", count__configmaps="1")
        await make(registry, "configmaps", config("a"))
        with pytest.raises(Forbidden, match="exceeded quota: second"):
            await make(registry, "configmaps", config("b"))
        assert used(registry, "first") == {"configmaps": "1"}


async def test_any_kind_can_be_counted(opened):
    async with opened() as registry:
        await limit(registry, **{"count__leases_coordination_k8s_io": "1"})
        lease = {"metadata": {"name": "a"}, "spec": {}}
        await make(registry, "leases", lease, group="coordination.k8s.io")
        with pytest.raises(Forbidden, match=r"count/leases\.coordination\.k8s\.io=1"):
            await make(registry, "leases", {**lease, "metadata": {"name": "b"}}, group="coordination.k8s.io")


async def test_a_service_pays_for_the_change_of_its_type(opened):
    async with opened() as registry:
        await limit(registry, services_nodeports="1")
        service = {
            "metadata": {"name": "s"},
            "spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]},
        }
        await make(registry, "services", service)
        kind = registry.kind("", "v1", "services")

        def to(kind: str, *ports: int) -> Any:
            named = [{"port": port, "name": f"p{port}"} for port in ports]
            return lambda tree: {**tree, "spec": {**tree["spec"], "type": kind, "ports": named}}

        with pytest.raises(Forbidden, match=r"requested: services\.nodeports=2"):
            await registry.patch(kind, "default", "s", to("NodePort", 80, 81), Call())
        await registry.patch(kind, "default", "s", to("NodePort", 80), Call())
        assert used(registry) == {"services.nodeports": "1"}
        await registry.patch(kind, "default", "s", to("ClusterIP", 80), Call())
        assert used(registry) == {"services.nodeports": "0"}


async def test_an_ended_pod_gives_back_what_it_used(opened):
    async with opened() as registry:
        await limit(registry, pods="1")
        await make(registry, "pods", pod("a"))
        kind = registry.kind("", "v1", "pods")

        def ended(tree: Tree) -> Tree:
            return {**tree, "status": {**tree["status"], "phase": "Succeeded"}}

        await registry.patch(kind, "default", "a", ended, Call(), subresource="status")
        await settled()
        assert used(registry) == {"pods": "0"}
        await make(registry, "pods", pod("b"))


async def test_what_a_write_would_free_is_not_freed_twice(opened, monkeypatch):
    async with opened() as registry:
        await limit(registry, requests_cpu="150m")
        await make(registry, "pods", pod("a", "100m"))
        kind, put, raced = registry.kind("", "v1", "pods"), registry.store.put, []

        def said(tree: Tree) -> Tree:
            return {**tree, "status": {**tree["status"], "message": "m"}}

        def smaller(tree: Tree) -> Tree:
            resized = pod("a", "50m")["spec"]["containers"][0]["resources"]
            spec = tree["spec"]
            return {**tree, "spec": {**spec, "containers": [{**spec["containers"][0], "resources": resized}]}}

        async def second(key: str, value: bytes, **more: Any) -> Any:
            if key.endswith("/pods/default/a") and not raced:
                raced.append(key)  # its node writes the status first: the resize is tried again
                await registry.patch(kind, "default", "a", said, Call(), subresource="status")
            return await put(key, value, **more)

        async def later(quotas: Quotas, namespace: str) -> None:
            """The recount, which would put it right, has its rest."""

        monkeypatch.setattr(Quotas, "recount", later)
        monkeypatch.setattr(registry.store, "put", second)
        await registry.patch(kind, "default", "a", smaller, Call(), subresource="resize")
        assert raced
        assert used(registry) == {"requests.cpu": "50m"}


async def test_a_write_that_is_tried_again_is_charged_once(opened, monkeypatch):
    async with opened() as registry:
        await limit(registry, services_nodeports="1")
        tree = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}
        await make(registry, "services", tree)
        await settled()
        kind, put, raced = registry.kind("", "v1", "services"), registry.store.put, []

        async def later(quotas: Quotas, namespace: str) -> None:
            """The recount, which would put it right, has its rest."""

        async def second(key: str, value: bytes, **more: Any) -> Any:
            if key.endswith("/services/default/s") and not raced:
                raced.append(key)
                await registry.patch(kind, "default", "s", labelled, Call())
            return await put(key, value, **more)

        def labelled(tree: Tree) -> Tree:
            return {**tree, "metadata": {**tree["metadata"], "labels": {"x": "y"}}}

        monkeypatch.setattr(Quotas, "recount", later)
        monkeypatch.setattr(registry.store, "put", second)
        opened_up = await registry.patch(
            kind, "default", "s", lambda tree: {**tree, "spec": {**tree["spec"], "type": "NodePort"}}, Call()
        )
        assert raced
        assert opened_up.tree()["spec"]["type"] == "NodePort"
        assert used(registry) == {"services.nodeports": "1"}


async def test_a_status_that_somebody_wrote_is_put_right(opened):
    async with opened() as registry:
        await limit(registry, configmaps="1")
        kind = registry.kind("", "v1", "resourcequotas")

        def wrong(tree: Tree) -> Tree:
            return {**tree, "status": {"hard": {"configmaps": "9"}, "used": {}}}

        await registry.patch(kind, "default", "q", wrong, Call(), subresource="status")
        await settled()
        quota = registry.find("", "v1", "resourcequotas", "default", "q")
        assert quota is not None
        assert quota["status"] == {"hard": {"configmaps": "1"}, "used": {"configmaps": "0"}}


async def test_scopes_split_pods(opened):
    async with opened() as registry:
        await limit(registry, "best", scopes=["BestEffort"], pods="5")
        await limit(registry, "other", scopes=["NotBestEffort"], pods="5")
        await make(registry, "pods", pod("a"))
        await make(registry, "pods", pod("b", "1"))
        await make(registry, "pods", pod("c", "1"))
        assert (used(registry, "best"), used(registry, "other")) == ({"pods": "1"}, {"pods": "2"})


DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["create", "delete", "fail", "cancel", "recount"]), st.integers(0, 5), st.integers(0, 4)
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(deeds=DEEDS, most=st.integers(1, 4))
@example(deeds=[("cancel", 4, 0), ("fail", 4, 0)], most=1)  # cancelled while it gives back
async def test_never_exceeded_and_always_what_a_recount_says(opened_now, deeds, most):
    """Creates, deletes, failures and recounts of six names, interleaved by however long each yields before."""
    async with opened_now() as registry:
        await limit(registry, configmaps=str(most))
        kind = registry.kind("", "v1", "configmaps")
        quotas = registry.kind("", "v1", "resourcequotas")
        put = registry.store.put
        failing: set[str] = set()

        async def flaky(key: str, value: bytes, **more: Any) -> Any:
            await asyncio.sleep(0)
            if key in failing and "/configmaps/" in key:
                failing.discard(key)
                raise StoreFull("no room")
            item = await put(key, value, **more)
            assert len(registry.every("", "v1", "configmaps", "default")) <= most
            return item

        registry.store.put = flaky

        async def act(deed: str, number: int, yields: int) -> None:
            for _ in range(yields):
                await asyncio.sleep(0)
            name = f"c{number}"
            try:
                if deed == "delete":
                    await registry.delete(kind, "default", name, DeleteOptions(), Call())
                elif deed == "recount":
                    await registry.patch(quotas, "default", "q", _untrue, Call(), subresource="status")
                else:
                    if deed == "fail":
                        failing.add(kind.key("default", name))
                    await make(registry, "configmaps", config(name))
            except ApiError:
                pass

        async with asyncio.TaskGroup() as tasks:
            for deed, number, yields in deeds:
                task = tasks.create_task(act(deed, number, yields))
                if deed == "cancel":
                    tasks.create_task(_cancelled_after(task, yields + number))
        await settled()
        there = len(registry.every("", "v1", "configmaps", "default"))
        assert there <= most
        assert used(registry) == {"configmaps": str(there)}


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("written", [False, True], ids=["while it is written", "when it is written"])
async def test_a_write_that_happened_though_its_caller_went_away_leaves_no_room_for_another(opened, written, times):
    """Whenever the other comes: at any of the pauses that follow. Who went away may do so again."""
    for later in range(16):
        async with opened() as registry:
            await limit(registry, configmaps="1")
            assert await _came_between(registry, later=later, written=written, times=times) == 1
            await settled()
            assert used(registry) == {"configmaps": "1"}


async def _came_between(registry: Registry, *, later: int, written: bool, times: int) -> int:
    """How many there are after one was made by a caller who went away, and another tried `later`."""
    put = registry.store.put

    async def second() -> None:
        for _ in range(later):
            await asyncio.sleep(0)
        with pytest.raises(Forbidden, match="exceeded quota"):
            await make(registry, "configmaps", config("b"))

    async def again() -> None:
        for _ in range(later // 2):
            await asyncio.sleep(0)
        first.cancel()

    async def leaving(key: str, value: bytes, **more: Any) -> Any:
        if not key.endswith("/configmaps/default/a"):
            return await put(key, value, **more)
        tasks.create_task(second())
        if times == 2:
            tasks.create_task(again())
        if written:
            await put(key, value, **more)
            first.cancel()
            await asyncio.sleep(0)  # where it ends
        first.cancel()
        return await put(key, value, **more)

    registry.store.put = leaving
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(make(registry, "configmaps", config("a")))
    return len(registry.every("", "v1", "configmaps", "default"))


def _untrue(tree: Tree) -> Tree:
    """What somebody else says of the status, which is soon put right."""
    return {**tree, "status": {**tree["status"], "hard": {"configmaps": "0"}}}


async def _cancelled_after(task: asyncio.Task[None], yields: int) -> None:
    for _ in range(yields):
        await asyncio.sleep(0)
    task.cancel()
