"""Quotas as operators set them: what is wrong is refused, what is right is kept, and offers go by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from mesos_world import Scheduler, Tree, World, master_over, node, task

from bireme.aio.clock import VirtualClock
from bireme.http.interface import Response
from bireme.ledger.ledger import Ledger
from support.cluster import cluster


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    clock = VirtualClock()
    async with cluster(clock=clock) as here, master_over(here.client, clock, Ledger()) as made:
        await made.add_node(node("node-0"))
        yield made


def config(role: str, **vectors: dict[str, float]) -> Tree:
    """A QuotaConfig: its `guarantees` and `limits`."""
    shown = {word: {name: {"value": value} for name, value in vector.items()} for word, vector in vectors.items()}
    return {"role": role, **shown}


async def update(w: World, *configs: Tree, **more: Any) -> tuple[int, str]:
    answer = await w.post("/api/v1", {"type": "UPDATE_QUOTA", "update_quota": {"quota_configs": configs, **more}})
    assert isinstance(answer, Response)
    await w.settle()
    return answer.status, answer.body.decode()


async def kept(w: World) -> list[Tree]:
    """The configurations, which both doors tell alike."""
    answer = await w.post("/api/v1", {"type": "GET_QUOTA"})
    assert isinstance(answer, Response)
    status = orjson.loads(answer.body)["get_quota"]["status"]
    assert status == await w.get("/quota")
    return list(status.get("configs", []))


async def test_offers_keep_to_a_limit() -> None:
    async with world() as w:
        await w.add_node(node("node-1"))
        scheduler = Scheduler(w)
        await scheduler.subscribe(role="g")
        whole = await scheduler.offers()
        limited = config("g", limits={"cpus": 5.0})
        assert await update(w, limited) == (200, "")
        offers = await scheduler.offers()
        assert len([event for event in scheduler.events if event["type"] == "RESCIND"]) == len(whole)
        offered = [
            each["scalar"]["value"] for offer in offers for each in offer["resources"] if each["name"] == "cpus"
        ]
        assert sum(offered) == 5.0
        await scheduler.launch(offers[0], task(offers[0], "t1", cpus=0.5))
        roles = {role["name"]: role["quota"] for role in (await w.get("/roles"))["roles"]}
        assert roles["g"]["limit"] == {"cpus": 5}
        assert roles["g"]["consumed"]["cpus"] == 0.5
        metrics = await w.get("/metrics/snapshot")
        assert metrics["allocator/mesos/quota/roles/g/resources/cpus/limit"] == 5.0


async def test_a_restarted_master_knows_its_quotas() -> None:
    clock = VirtualClock()
    async with cluster(clock=clock) as here:
        ledger = Ledger()
        limited = config("g", guarantees={"mem": 64.5}, limits={"cpus": 1.5})
        async with master_over(here.client, clock, ledger, seed=1) as w:
            await w.add_node(node("node-0"))
            assert await update(w, limited) == (200, "")
        async with master_over(here.client, clock, ledger, seed=2) as w:
            assert await kept(w) == [limited]
            scheduler = Scheduler(w)
            await scheduler.subscribe(role="g")
            (offer,) = await scheduler.offers()
            assert offer["resources"][0]["scalar"]["value"] == 1.5


async def test_two_who_come_together_do_not_guarantee_what_there_is_but_once() -> None:
    async with world() as w:
        cpus = w.master.capacity["cpus"] / 1000
        most = [config(role, guarantees={"cpus": cpus * 0.75}) for role in "gh"]
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(update(w, each)) for each in most]
        assert sorted(each.result()[0] for each in asked) == [200, 400]
        assert len(await kept(w)) == 1


async def test_a_list_of_quotas_holds_as_a_whole_or_not_at_all() -> None:
    async with world() as w:
        good = config("a", guarantees={"cpus": 1.0}, limits={"cpus": 2.0})
        status, reason = await update(w, good, config("b/c", limits={"cpus": 1.0}))
        assert (status, "nested" in reason) == (400, True)
        assert await kept(w) == []
        assert await update(w, good, config("b", limits={"mem": 10.0})) == (200, "")
        assert await update(w, config("a")) == (200, "")
        assert [each["role"] for each in await kept(w)] == ["b"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (config("*", limits={"cpus": 1.0}), "default '*' role"),
        (config("a", guarantees={"cpus": 2.0}, limits={"cpus": 1.0}), "above its limit"),
        (config("a", limits={"cpus": 1.0001}), "three decimals"),
        (config("a", limits={"cpus": -1.0}), "Invalid amount"),
        (config("a", guarantees={"cpus": 100.0}), "above what the cluster has"),
    ],
)
async def test_quotas_that_are_refused(wrong: Tree, said: str) -> None:
    async with world() as w:
        status, reason = await update(w, wrong)
        assert (status, said in reason) == (400, True)
        assert await kept(w) == []


async def test_force_sets_what_is_beyond_the_cluster_or_below_what_is_held() -> None:
    async with world() as w:
        scheduler = Scheduler(w)
        await scheduler.subscribe(role="g")
        (offer,) = await scheduler.offers()
        await scheduler.launch(offer, task(offer, "t1", cpus=1.5))
        await w.settle()
        status, reason = await update(w, config("g", limits={"cpus": 1.0}))
        assert (status, "consumes" in reason) == (400, True)
        assert await update(
            w, config("g", limits={"cpus": 1.0}), config("h", guarantees={"cpus": 99.0}), force=True
        ) == (
            200,
            "",
        )


async def test_the_older_calls() -> None:
    async with world() as w:
        guarantee = [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}}]
        request = {"role": "g", "guarantee": guarantee}
        for expected in (200, 400):
            answer = await w.post("/quota", request)
            assert isinstance(answer, Response)
            assert answer.status == expected
        assert await kept(w) == [config("g", guarantees={"cpus": 1.0}, limits={"cpus": 1.0})]
        answer = await w.post(
            "/quota", {**request, "role": "h", "guarantee": [{**guarantee[0], "scalar": {"value": 9.0}}]}
        )
        assert isinstance(answer, Response)
        assert answer.status == 409
        for expected in (200, 400):
            answer = await w.ask("DELETE", "/quota/g")
            assert isinstance(answer, Response)
            assert answer.status == expected
        set_again = await w.post("/api/v1", {"type": "SET_QUOTA", "set_quota": {"quota_request": request}})
        assert isinstance(set_again, Response)
        assert set_again.status == 200
        removed = await w.post("/api/v1", {"type": "REMOVE_QUOTA", "remove_quota": {"role": "g"}})
        assert isinstance(removed, Response)
        assert removed.status == 200
        assert await kept(w) == []
