"""The JSON of objects that are listed time and again.

To spell one object out (its version, its owners) takes 4 to 8 us, most of what a long list costs; to join what was
spelled out before takes less than one. So the objects of a kind that was listed a moment ago are kept as they
go out, up to a bound. What has no room is spelled out anew each time: a list that is too long gains for its
beginning, and does not drive out what the next list begins with.
"""

from collections.abc import Callable

from bireme.registry.kinds import Kind
from bireme.registry.record import Record

KEPT_BYTES = 64 * 2**20
KEPT_S = 60.0


class Listed:
    """What lists gave out lately, by key; at most `limit` bytes of it. `monotonic` tells the time in seconds."""

    def __init__(self, monotonic: Callable[[], float], *, limit: int = KEPT_BYTES) -> None:
        self._monotonic = monotonic
        self._limit = limit
        self._last: dict[str, float] = {}  # when a kind was last listed, by where its objects are kept
        self._known: dict[str, tuple[int, bytes]] = {}
        self._size = 0
        self._began = 0.0

    def spell(self, kind: Kind) -> Callable[[list[Record]], list[bytes]]:
        """How the objects of a list of `kind` that begins now become JSON, some at a time."""
        now = self._monotonic()
        before, self._last[kind.key_prefix] = self._last.get(kind.key_prefix), now
        if before is None or now - before > KEPT_S:
            return _stamped
        if self._size >= self._limit and now - self._began > KEPT_S:
            self._known.clear()
            self._size = 0
        if not self._known:
            self._began = now
        return self._spelled

    def _spelled(self, records: list[Record]) -> list[bytes]:
        get = self._known.get
        return [
            known[1] if (known := get(one.key)) and known[0] == one.revision else self._anew(one) for one in records
        ]

    def _anew(self, record: Record) -> bytes:
        key, revision = record.key, record.revision
        made = record.stamped()
        known = self._known.get(key)
        if known is not None:
            self._size -= len(known[1])
            del self._known[key]
        if self._size < self._limit and revision:  # without one it is made up, not stored
            self._known[key] = (revision, made)
            self._size += len(made)
        return made


def _stamped(records: list[Record]) -> list[bytes]:
    return [one.stamped() for one in records]
