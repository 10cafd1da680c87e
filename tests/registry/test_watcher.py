import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.aio.clock import VirtualClock
from bireme.api.scheme import builtin
from bireme.registry import watcher as watchers
from bireme.registry.record import Record
from bireme.registry.rounds import AT_A_TIME, CROWD, Rounds, pause_after
from bireme.registry.selection import Selection
from bireme.registry.watcher import BUFFERED_FRAMES, KEPT_FRAMES, MISSED_AT_ONCE, Change, Channel, Watcher


class Told:
    """A view that counts what it renders."""

    key = "told"

    def __init__(self) -> None:
        self.rendered = 0

    def frame(self, kind: str, record: Any, revision: int) -> bytes:
        self.rendered += 1
        return f"{kind} {revision};".encode()


def channel_of(view: Told) -> Channel:
    pods = builtin().resource("", "v1", "pods")
    assert pods is not None
    return Channel(Selection(pods), view)


def watcher(
    channel: Channel, *, after: int = 0, since: Callable[[int], Iterable[Change]] = lambda revision: ()
) -> Watcher:
    return Watcher(channel, channel.leave, after=after, since=since)


def offer(channel: Channel, *revisions: int) -> None:
    """What the cache does with a write."""
    for revision in revisions:
        channel.offer(change(revision))
    channel.release()


def change(revision: int) -> Change:
    record = Record(b"{}", revision, b"", key="k", namespace="n", name="a", labels={}, fields=("",) * 9)
    return Change(revision, None, record, 0.0)


async def test_frames_come_in_order_and_once_after_what_was_missed() -> None:
    channel = channel_of(Told())
    watching = watcher(channel, after=1)
    for revision in (1, 2):
        watching.replay(change(revision))
    offer(channel, 3, 4)
    await watching.wait()
    assert watching.take() == b"ADDED 2;"
    await watching.wait()
    assert watching.take() == b"ADDED 3;ADDED 4;"
    assert watching.take() == b""


async def test_equal_views_share_what_was_rendered() -> None:
    view = Told()
    one = change(2)
    for channel in (channel_of(view), channel_of(view)):
        watcher(channel)
        channel.offer(one)
    assert view.rendered == 1


@given(st.lists(st.sampled_from(["offer", "offer", "offer", "join", "leave", "take"]), max_size=60), st.data())
def test_each_member_gets_what_came_since_it_joined_and_no_more(deeds: list[str], data: st.DataObject) -> None:
    channel, revision = channel_of(Told()), 0
    wanted: dict[Watcher, str] = {}
    for deed in deeds:
        chosen = data.draw(st.sampled_from(list(wanted))) if wanted and deed in ("take", "leave") else None
        if deed == "join":
            wanted[watcher(channel)] = ""
        elif deed == "offer":
            revision += 1
            offer(channel, revision)
            wanted = {one: text + f"ADDED {revision};" for one, text in wanted.items()}
        elif chosen is not None:
            assert chosen.take().decode() == wanted[chosen]
            wanted[chosen] = ""
            if deed == "leave":
                chosen.close()
                del wanted[chosen]
    for one, text in wanted.items():
        assert one.take().decode() == text


async def test_a_crowd_is_woken_in_rounds_and_the_first_event_is_not_held_back() -> None:
    clock = VirtualClock()
    rounds, channel = Rounds(clock), channel_of(Told())
    crowd = [watcher(channel) for _ in range(CROWD + 1)]
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(rounds.run())
        for revision in (1, 2, 3):
            channel.offer(change(revision))
            rounds.add(channel)
            await clock.advance(0)
        assert crowd[0].take() == b"ADDED 1;"
        assert crowd[0].take() == b"", "the others wait for the next round"
        await clock.advance(1)
        assert {one.take() for one in crowd[1:]} == {b"ADDED 1;ADDED 2;ADDED 3;"}
        assert crowd[0].take() == b"ADDED 2;ADDED 3;"
        running.cancel()


@pytest.mark.parametrize(
    ("took", "crowd", "pause"),
    [
        pytest.param(0.0, 1_000, 0.06, id="rounds begin no more often than a crowd may be served"),
        pytest.param(0.02, 1_000, 0.04, id="what the round took counts"),
        pytest.param(0.05, 1_000, 0.025, id="a busy loop gathers more for each round"),
        pytest.param(0.08, 1_000, 0.02, id="but nobody waits longer than for the longest"),
        pytest.param(0.4, 1_000, 0.04, id="a round that takes longer is followed by a short rest"),
        pytest.param(0.0, 100_000, 0.1, id="nor longer in a large crowd"),
    ],
)
def test_rounds_adapt_to_what_they_take(took: float, crowd: int, pause: float) -> None:
    assert pause_after(took, crowd) == pytest.approx(pause)


async def test_a_crowd_is_told_some_at_a_time() -> None:
    rounds, channel = Rounds(VirtualClock()), channel_of(Told())
    crowd = [watcher(channel) for _ in range(3 * AT_A_TIME)]
    told: list[Watcher] = []
    for one in crowd:
        one.wake = partial(told.append, one)  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(rounds.run())
        channel.offer(change(1))
        rounds.add(channel)
        seen = []
        while len(told) < len(crowd):
            await asyncio.sleep(0)
            seen.append(len(told))
        running.cancel()
    assert told == crowd
    assert set(seen) >= {AT_A_TIME, 2 * AT_A_TIME, 3 * AT_A_TIME}


@dataclass
class Sent:
    """A sink that remembers what it took; and a reader beside it, as a connection has one."""

    watching: Watcher
    takes: bool = True
    got: bytes = b""
    woken: int = 0

    def sink(self, frames: bytes) -> bool:
        if self.takes:
            self.got += frames
        return self.takes

    async def read(self) -> None:
        while True:
            await self.watching.wait()
            self.woken += 1
            self.got += self.watching.take()


@asynccontextmanager
async def sent(channel: Channel) -> AsyncIterator[Sent]:
    made = Sent(watcher(channel))
    made.watching.attach(made.sink)
    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(made.read())
        await asyncio.sleep(0)
        yield made
        reader.cancel()


@pytest.mark.parametrize("others", [pytest.param(0, id="alone"), pytest.param(2, id="among others")])
async def test_a_sink_takes_frames_without_the_reader_and_refuses_to_it(others: int) -> None:
    channel = channel_of(Told())
    for _ in range(others):
        watcher(channel)
    async with sent(channel) as one:
        offer(channel, 1, 2)
        assert (one.got, one.woken) == (b"ADDED 1;ADDED 2;", 0)
        one.takes = False
        offer(channel, 3)
        offer(channel, 4)
        await asyncio.sleep(0)
        assert (one.got, one.woken) == (b"ADDED 1;ADDED 2;ADDED 3;ADDED 4;", 1)
        one.takes = True
        await asyncio.sleep(0)
        offer(channel, 5)
        assert (one.got[-8:], one.woken) == (b"ADDED 5;", 1)


async def test_a_sink_is_left_alone_while_the_reader_is_busy() -> None:
    channel = channel_of(Told())
    async with sent(channel) as one:
        one.watching.nudge()
        offer(channel, 1)
        assert one.got == b"", "the reader was woken first, and sends what there is"
        await asyncio.sleep(0)
        assert (one.got, one.woken) == (b"ADDED 1;", 1)


async def test_who_left_is_sent_nothing() -> None:
    channel = channel_of(Told())
    async with sent(channel) as one:
        one.watching.close()
        offer(channel, 1)
        assert one.got == b""


@given(st.lists(st.sampled_from(["offer", "offer", "refuse", "accept", "turn", "nudge"]), max_size=60))
async def test_whoever_sends_them_frames_come_in_order_and_once(deeds: list[str]) -> None:
    channel, revision = channel_of(Told()), 0
    async with sent(channel) as one, sent(channel) as other:
        for deed in deeds:
            match deed:
                case "offer":
                    revision += 1
                    offer(channel, revision)
                case "turn":
                    await asyncio.sleep(0)
                case "nudge":
                    one.watching.nudge()
                case _:
                    one.takes = deed == "accept"
        for _ in range(3):
            await asyncio.sleep(0)
        assert one.got == other.got == b"".join(b"ADDED %d;" % number for number in range(1, revision + 1))


def test_a_channel_keeps_little_once_all_have_read() -> None:
    channel = channel_of(Told())
    both = watcher(channel), watcher(channel)
    for revision in range(1, 10 * KEPT_FRAMES):
        offer(channel, revision)
        for one in both:
            one.take()
    assert len(channel) <= KEPT_FRAMES
    both[0].close()
    offer(channel, 9999)
    both[1].take()
    assert len(channel) == 0


@pytest.mark.parametrize(
    "wake",
    [
        pytest.param(lambda watching: offer(watching.channel, 2), id="a frame"),
        pytest.param(Watcher.nudge, id="a nudge"),
        pytest.param(Watcher.drop, id="the end"),
    ],
)
@pytest.mark.parametrize("before", [pytest.param(True, id="before"), pytest.param(False, id="while it waits")])
async def test_a_reader_wakes(wake: Any, before: bool) -> None:
    watching = watcher(channel_of(Told()))
    if before:
        wake(watching)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(watching.wait())
        await asyncio.sleep(0)
        if not before:
            wake(watching)


async def test_a_reader_that_left_is_no_trouble() -> None:
    watching = watcher(channel_of(Told()))
    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(watching.wait())
        await asyncio.sleep(0)
        reader.cancel()
    offer(watching.channel, 2)
    assert watching.take() == b"ADDED 2;"


async def test_who_does_not_read_is_dropped_and_others_are_not() -> None:
    channel = channel_of(Told())
    slow, quick = watcher(channel), watcher(channel)
    for revision in range(1, BUFFERED_FRAMES + 200):
        offer(channel, revision)
        quick.take()
    assert slow.dropped
    assert slow.take() == b""
    assert not quick.dropped


@given(
    st.lists(st.sampled_from([0, 1, 2, 3, 9, 30]), max_size=40),
    st.integers(0, 60),
    st.lists(st.booleans(), min_size=1, max_size=8),
)
def test_who_begins_far_back_gets_all_in_order_while_he_reads(
    batches: list[int], begins: int, reads: list[bool]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watchers, "BUFFERED_FRAMES", 8)
        patch.setattr(watchers, "MISSED_AT_ONCE", 5)
        patch.setattr(watchers, "KEPT_FRAMES", 2)
        history = [change(revision) for revision in range(1, begins + 1)]
        channel = channel_of(Told())
        watching = watcher(channel, since=lambda revision: [one for one in history if one.revision > revision])
        for one in history:
            watching.replay(one)
        taken = b""
        for number, size in enumerate(batches):
            written = [change(len(history) + 1 + more) for more in range(size)]
            history += written
            for one in written:
                channel.offer(one)
            channel.release()
            if reads[number % len(reads)]:
                taken += watching.take()
        while piece := watching.take():
            taken += piece
        told = [int(number) for number in re.findall(rb"ADDED (\d+);", taken)]
        assert told == list(range(1, len(told) + 1))
        assert watching.dropped or len(told) == len(history)
        if all(reads) and max(batches, default=0) <= 3:
            assert not watching.dropped


async def test_who_reads_nothing_of_what_he_missed_is_dropped() -> None:
    channel = channel_of(Told())
    watching = watcher(channel, since=lambda revision: ())
    watching.replay(change(1))
    for revision in range(2, BUFFERED_FRAMES + 200):
        offer(channel, revision)
    assert watching.dropped


async def test_who_missed_much_gets_all_of_it_in_pieces() -> None:
    channel = channel_of(Told())
    watching = watcher(channel)
    missed = range(1, 2 * BUFFERED_FRAMES)
    for revision in missed:
        watching.replay(change(revision))
    offer(channel, missed.stop)
    pieces = []
    while not pieces or pieces[-1]:
        pieces.append(watching.take())
    assert max(piece.count(b";") for piece in pieces) == MISSED_AT_ONCE
    assert b"".join(pieces) == b"".join(b"ADDED %d;" % revision for revision in (*missed, missed.stop))
