import asyncio
from typing import Any

import pytest

from bireme.api.scheme import builtin
from bireme.registry.record import Record
from bireme.registry.selection import Selection
from bireme.registry.watcher import BUFFERED_FRAMES, Change, Watcher


class Told:
    """A view that counts what it renders."""

    key = "told"

    def __init__(self) -> None:
        self.rendered = 0

    def frame(self, kind: str, record: Any, revision: int) -> bytes:
        self.rendered += 1
        return f"{kind} {revision}".encode()


def watcher(view: Told, *, after: int = 0) -> Watcher:
    pods = builtin().resource("", "v1", "pods")
    assert pods is not None
    return Watcher(Selection(pods), view, lambda closed: None, after=after)


def change(revision: int) -> Change:
    record = Record("k", b"{}", revision, prefix=b"", namespace="n", name="a", labels={}, fields=("",) * 9)
    return Change(revision, None, record, 0.0)


async def test_frames_come_in_order_and_once() -> None:
    watching = watcher(Told(), after=1)
    for revision in (1, 2, 3):
        watching.offer(change(revision))
    await watching.wait()
    assert watching.take() == [b"ADDED 2", b"ADDED 3"]
    assert watching.take() == []


async def test_equal_views_share_what_was_rendered() -> None:
    view = Told()
    one = change(2)
    for watching in (watcher(view), watcher(view)):
        watching.offer(one)
    assert view.rendered == 1


@pytest.mark.parametrize(
    "wake",
    [
        pytest.param(lambda watching: watching.offer(change(2)), id="a frame"),
        pytest.param(Watcher.nudge, id="a nudge"),
        pytest.param(Watcher.drop, id="the end"),
    ],
)
@pytest.mark.parametrize("before", [pytest.param(True, id="before"), pytest.param(False, id="while it waits")])
async def test_a_reader_wakes(wake: Any, before: bool) -> None:
    watching = watcher(Told())
    if before:
        wake(watching)
    async with asyncio.timeout(1), asyncio.TaskGroup() as tasks:
        tasks.create_task(watching.wait())
        await asyncio.sleep(0)
        if not before:
            wake(watching)


async def test_a_reader_that_left_is_no_trouble() -> None:
    watching = watcher(Told())
    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(watching.wait())
        await asyncio.sleep(0)
        reader.cancel()
    watching.offer(change(2))
    assert watching.take() == [b"ADDED 2"]


async def test_who_does_not_read_is_dropped() -> None:
    watching = watcher(Told())
    for revision in range(1, BUFFERED_FRAMES + 2):
        watching.offer(change(revision))
    assert watching.dropped
    assert watching.take() == []
