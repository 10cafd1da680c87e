"""A watch as a stream of frames: what there is, what follows, bookmarks, and an end at its time.

All frames that came since the last write go out together, so a busy watch costs one write for each commit. A
client that does not read is dropped by the watcher's bound (`registry/watch_cache.py`).
Source: the Kubernetes documentation on reading.
"""

from collections.abc import AsyncIterator

from bireme.aio.clock import Clock
from bireme.apiserver.views import PIECE, ObjectView
from bireme.registry.reader import Watching
from bireme.registry.watch_cache import WatchCache

BOOKMARK_EVERY_S = 60.0
BOOKMARK_BEFORE_END_S = 2.0


async def watch_frames(
    watching: Watching,
    view: ObjectView,
    *,
    cache: WatchCache,
    clock: Clock,
    timeout_s: float,
    bookmarks: bool,
    initial_events_end: bool,
) -> AsyncIterator[bytes]:
    """The frames of one watch, until its time is over or its reader is dropped."""
    watcher = watching.watcher
    try:
        records = watching.initial or ()
        for begin in range(0, len(records), PIECE):
            piece = records[begin : begin + PIECE]
            yield b"".join([view.frame("ADDED", record, record.revision) for record in piece])
        if initial_events_end:
            yield view.bookmark(watching.revision, initial_events_end=True)
        end = clock.monotonic() + timeout_s
        due = _next_bookmark(clock.monotonic(), end) if bookmarks else end
        cache.nudge_at(due, watcher)
        while not watcher.dropped:
            frames = watcher.take()
            if frames:
                yield frames
                continue
            now = clock.monotonic()
            if now >= due < end:
                yield view.bookmark(cache.revision)
                due = _next_bookmark(now, end)
                cache.nudge_at(due, watcher)
            elif now >= end:
                return
            else:
                await watcher.wait()
    finally:
        watcher.close()


def _next_bookmark(now: float, end: float) -> float:
    """In a minute, or shortly before the end; the end itself once that is past."""
    last = end - BOOKMARK_BEFORE_END_S
    return min(now + BOOKMARK_EVERY_S, last) if now < last else end
