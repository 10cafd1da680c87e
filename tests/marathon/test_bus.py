"""Events to clients, quick and slow."""

import asyncio

import orjson

from bireme.aio.clock import VirtualClock
from bireme.marathon.bus import ALIVE, MAX_OUTSTANDING, Bus


async def test_a_client_hears_what_it_asked_for() -> None:
    bus = Bus(VirtualClock())
    here = bus.attach("10.0.0.1", ["group_change_success"])
    first = await anext(here)
    assert first.startswith(b"event: event_stream_attached\r\ndata: {")
    assert first.endswith(b"}\r\n\r\n")
    bus.post("deployment_success", id="d")
    bus.post("group_change_success", groupId="/")
    event = orjson.loads((await anext(here)).split(b"data: ")[1])
    assert event == {
        "eventType": "group_change_success",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "groupId": "/",
    }


async def test_a_slow_client_is_cut_off_after_what_it_has() -> None:
    bus = Bus(VirtualClock())
    slow = bus.attach("10.0.0.1", [])
    for _ in range(MAX_OUTSTANDING + 5):
        bus.post("app_terminated_event", appId="/a")
    assert bus.statistics() == 0
    assert len([frame async for frame in slow]) == MAX_OUTSTANDING


async def test_a_quiet_line_is_kept_alive() -> None:
    clock = VirtualClock()
    here = Bus(clock).attach("10.0.0.1", [])
    await anext(here)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(anext(here))  # type: ignore[arg-type]
        await clock.advance(10.0)
        assert waiting.result() == ALIVE
