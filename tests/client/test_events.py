"""What a recorder tells when much happens."""

import asyncio
from typing import Any

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import core, meta
from bireme.client.events import BURST, COMBINED, EventRecorder

POD = core.Pod(metadata=meta.ObjectMeta(name="a", namespace="default", uid="1"))


class Told:
    """A client that remembers which events there are."""

    def __init__(self) -> None:
        self.made: dict[str, core.Event] = {}

    async def create(self, event: core.Event) -> None:
        self.made[event.metadata.name] = event

    async def patch(self, kind: Any, name: str, patch: dict[str, Any], *, namespace: str) -> None:
        self.made[name].count = patch["count"]
        self.made[name].message = patch["message"]


async def told(*happened: tuple[float, str]) -> list[tuple[str, int | None]]:
    """Messages and counts of the events there are, after these happened."""
    clock, client = VirtualClock(), Told()
    recorder = EventRecorder(client, "test", clock=clock)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(recorder.run())
        for seconds, message in happened:
            await clock.advance(seconds)
            recorder.event(POD, "Warning", "Odd", message)
            await clock.advance(0)
        running.cancel()
    return [(event.message, event.count) for event in client.made.values()]


async def test_the_same_again_raises_a_count():
    assert await told((0, "a"), (1, "a"), (1, "b"), (1, "a")) == [("a", 3), ("b", 1)]


async def test_many_that_differ_in_words_alone_become_one():
    events = await told(*((1, f"word {number}") for number in range(14)))
    assert [message for message, _ in events[:9]] == [f"word {number}" for number in range(9)]
    assert events[9:] == [(f"{COMBINED}word 13", 5)]


async def test_what_differs_over_hours_stays_apart():
    events = await told(*((700, f"word {number}") for number in range(14)))
    assert len(events) == 14


async def test_a_flood_is_held_back():
    ((message, count),) = await told(*((0.1, "a") for _ in range(BURST + 20)))
    assert (message, count) == ("a", BURST)
    ((_, later),) = await told(*((0.1, "a") for _ in range(BURST + 20)), (301, "a"))
    assert later == BURST + 1
