"""Writes keep their order by key, and those that are joint are done together."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.scheduler.scheduling import account_of_pods, pod

from bireme.aio.clock import RealClock
from bireme.api.kinds import core
from bireme.client.events import EventRecorder
from bireme.client.informer import Key
from bireme.scheduler.acting import Acting, Writers

POD, OTHER = Key("default", "a"), Key("default", "b")


async def test_what_stands_in_a_row_is_joined_and_all_keeps_its_order():
    done: list[object] = []
    all_done = asyncio.Event()

    async def join(items: Sequence[str]) -> None:
        await asyncio.sleep(0)
        done.append(list(items))

    async def write() -> None:
        await asyncio.sleep(0)
        done.append("write")

    async def last() -> None:
        all_done.set()

    writers = Writers("test", join, count=1)
    for put in ("joint 1", "joint 2", write, "joint 3", write, write, "joint 4", last):
        if isinstance(put, str):
            await writers.put_joint(POD if put != "joint 2" else OTHER, put)
        else:
            await writers.put(POD, put)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writers.run())
        await all_done.wait()
        running.cancel()
    assert done == [["joint 1", "joint 2"], "write", ["joint 3"], "write", "write", ["joint 4"]]


async def test_joint_writes_of_all_keys_are_one_call_while_another_goes_on():
    calls: list[list[int]] = []
    going_on, all_done = asyncio.Event(), asyncio.Event()

    async def join(items: Sequence[int]) -> None:
        calls.append(list(items))
        if len(calls) == 1:
            await going_on.wait()
        elif sum(map(len, calls)) == 41:
            all_done.set()

    writers = Writers("test", join)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writers.run())
        await writers.put_joint(POD, 0)
        while not calls:
            await asyncio.sleep(0)
        for number in range(1, 41):
            await writers.put_joint(Key("default", str(number)), number)
        for _ in range(10):
            await asyncio.sleep(0)
        going_on.set()
        await all_done.wait()
        running.cancel()
    assert calls[0] == [0]
    assert sorted(number for call in calls for number in call) == list(range(41))
    assert len(calls) <= 3


@pytest.mark.parametrize("how", ["refused", "sent elsewhere"])
async def test_a_nomination_that_was_written_meanwhile_is_taken_back(how: str):
    async with account_of_pods() as c:
        clock, client = RealClock(), c.api.client("system:kube-scheduler")
        acting = Acting(client, EventRecorder(client, "default-scheduler", clock=clock), clock)
        before = await c.client.create(pod("p"))
        await acting.tell_refusal(before, reason="Unschedulable", text="full", nominated="a")
        assert (await c.client.get(core.Pod, "p", namespace="default")).status.nominated_node_name == "a"
        if how == "refused":
            await acting.tell_refusal(before, reason="Unschedulable", text="full", nominated="")
        else:
            await acting.clear_nomination(before)
        assert not (await c.client.get(core.Pod, "p", namespace="default")).status.nominated_node_name
