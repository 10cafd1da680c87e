"""The binder dies before and after each of its writes, or hears of changes late: pairs are whole in the end."""

import asyncio
from typing import Any

import pytest
from story import Story
from test_faults import LateClient, MortalClient, live_on
from test_persistent_volume import KINDS, claim, fresh, volume

from bireme.api.kinds import core
from bireme.client.client import Client
from support.cluster import cluster

Claim, Volume = core.PersistentVolumeClaim, core.PersistentVolume


async def phases(client: Client) -> dict[str, tuple[str, str]]:
    """Phase and partner of each claim and volume."""
    claims = (await client.list(Claim, namespace="default")).items
    volumes = (await client.list(Volume)).items
    found = {each.metadata.name: (each.status.phase, each.spec.volume_name) for each in claims}
    for each in volumes:
        reference = each.spec.claim_ref
        found[each.metadata.name] = (each.status.phase, reference.name if reference else "")
    return found


async def play(client: Client) -> None:
    """Two pairs that find each other, one that names each other, and one that parts."""
    there = Story(client)
    await client.create(fresh(volume("one", size="5Gi")))
    await client.create(fresh(volume("two", size="5Gi")))

    async def free() -> bool:
        found = await phases(client)
        return found["one"][0] == found["two"][0] == "Available"

    await there.until(free)
    await client.create(fresh(claim("a", size="2Gi")))
    await client.create(fresh(claim("b", size="4Gi")))
    await client.create(fresh(claim("c", volume_name="named")))
    await client.create(fresh(volume("named", storage_class_name="slow", size="1Gi")))

    def partners(found: dict[str, tuple[str, str]]) -> bool:
        pairs = {name: found[name][1] for name in "abc"}
        whole = all(found[name][0] == "Bound" and found[other] == ("Bound", name) for name, other in pairs.items())
        return whole and pairs["c"] == "named"

    async def bound() -> bool:
        return partners(await phases(client))

    await there.until(bound)
    mine = (await phases(client))["a"][1]
    await client.delete(Claim, "a", namespace="default")

    async def parted() -> bool:
        found = await phases(client)
        return "a" not in found and found[mine] == ("Released", "a")

    await there.until(parted)


async def played(mortal: Any) -> int:
    async with cluster() as there, asyncio.TaskGroup() as tasks:
        client = mortal(there.client)
        living = tasks.create_task(live_on(client, there.client, kinds=KINDS))
        try:
            await play(there.client)
        finally:
            living.cancel()
        return int(getattr(client, "writes", 0))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_death_at_any_write_leaves_no_half_pair(after: bool) -> None:
    writes = await played(lambda client: MortalClient(client, fatal=0, after=after))
    assert writes > 10
    for fatal in range(1, writes + 1):
        await played(lambda client, fatal=fatal: MortalClient(client, fatal=fatal, after=after))


@pytest.mark.parametrize("seed", range(4))
async def test_late_news_leaves_no_half_pair(seed: int) -> None:
    await played(lambda client: LateClient(client, seed=seed))
