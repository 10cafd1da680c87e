"""Versioned bytes: what every home of the state promises.

One counter, the revision, rises by one with each write and is never used twice, not even after a crash or
a restore. A write is acknowledged, and shown to readers and watchers, only once it would survive the loss of
power. A failed sync is never retried: the process ends (`SyncFailed`), since what the disk holds is unknown then.

Homes: `sqlite` (one machine) and `memory` (tests, simulation); etcd is to follow behind the same protocol.
One suite, `tests/contract/test_store.py`, runs over all of them. A store belongs to the event loop that
first writes to it; no method may be called from another thread.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NewType, Protocol

import msgspec

Revision = NewType("Revision", int)


class StoreError(Exception):
    """The store could not do what was asked."""


class KeyConflict(StoreError):
    """The key is not at the revision that the write expected; `actual` is what it holds (None: nothing)."""

    def __init__(self, key: str, actual: "Item | None") -> None:
        super().__init__(f"{key} is at revision {actual.revision if actual else 'none'}")
        self.key = key
        self.actual = actual


class Compacted(StoreError):
    """The asked revision is older than the history that is kept, which begins after `oldest`."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"revision {asked} is compacted: history begins after {oldest}")
        self.asked = asked
        self.oldest = oldest


class StoreFull(StoreError):
    """The disk has no room for this write; nothing was changed. Reads, watches and deletes go on."""


class StoreClosed(StoreError):
    """The store was closed: it takes no more writes."""


class StoreLocked(StoreError):
    """Another server holds this store's file."""


class StoreDamaged(StoreError):
    """The file does not hold what was once written to it; `keys` are those whose newest value is lost."""

    def __init__(self, message: str, keys: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys = tuple(keys)


class SyncFailed(StoreError):
    """The disk would not confirm a write. The process must end; nothing may be retried on this handle."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """A key's value, the revision that wrote it, and the revision that first made the key."""

    key: str
    value: bytes
    revision: Revision
    created: Revision


class Event(msgspec.Struct, frozen=True, gc=False):
    """A write as watchers see it. `value` is None for a delete; `previous` is None for a create."""

    revision: Revision
    key: str
    value: bytes | None
    previous: bytes | None
    created: Revision


class Put(NamedTuple):
    """A value to write, as `Store.put` takes it."""

    key: str
    value: bytes
    expect: Revision | None


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Keys held, bytes on disk, the present revision, the oldest revision watchable, commits and watchers so far.

    `writing_s` is how long the write under way has taken, 0 where none is; `ended`: it takes no more writes.
    """

    keys: int
    size_bytes: int
    revision: int
    compacted: int
    commits: int
    watchers: int = 0
    writing_s: float = 0.0
    ended: bool = False


class Watch(Protocol):
    """A reader's place in the stream of events, an asynchronous iterator; letting go of it, or `close`, ends it."""

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]: ...

    async def __anext__(self) -> Sequence[Event]: ...

    @property
    def revision(self) -> Revision:
        """Every event up to here has been given out: what a bookmark may say, also when nothing matched."""
        ...

    def close(self) -> None:
        """End the watch: a reader that waits is let go."""
        ...


class Store(Protocol):
    """Keys are `/`-separated text, ordered by their UTF-8 bytes. All reads are from memory and at once."""

    @property
    def revision(self) -> Revision:
        """The newest revision that is durable."""
        ...

    def get(self, key: str) -> Item | None:
        """What `key` holds now."""
        ...

    def range(self, prefix: str, *, after: str = "", limit: int = 0) -> Sequence[Item]:
        """The items under `prefix` in key order: those whose key is greater than `after`, at most `limit`."""
        ...

    def count(self, prefix: str, *, after: str = "") -> int:
        """How many keys there are under `prefix`, greater than `after`."""
        ...

    def written(self, bucket: str) -> Revision:
        """The revision of the last write to the resource "/registry/<group>/<plural>/"; 0: none since opening."""
        ...

    async def put(self, key: str, value: bytes, *, expect: Revision | None) -> Item:
        """Write `value` if the key is still at revision `expect` (0: if it is not there; None: in any case).

        Raises KeyConflict (once what it conflicts with is durable, so that reading again helps) and StoreFull.
        Returns once the write is durable; when the caller is cancelled, the write may still happen.
        """
        ...

    async def put_all(self, puts: Sequence[Put]) -> Sequence["Item | KeyConflict"]:
        """As many calls of `put` side by side, at the cost of little more than one; what each would return.

        A conflict is told in its place and concerns no other write. Raises StoreError where no write stands.
        """
        ...

    async def settled(self, key: str) -> Item | None:
        """What `key` holds once the writes to it that are under way, also of callers who were cancelled, are over."""
        ...

    async def delete(self, key: str, *, expect: Revision | None) -> Event:
        """Remove `key` if it is still at `expect` (None: in any case). Raises KeyConflict, also for no key."""
        ...

    def watch(self, prefix: str, *, after: Revision) -> Watch:
        """Every event under `prefix` with a revision above `after`, in order, without gap or repeat.

        Yields batches (all of one commit together). Raises Compacted at once when `after` is too old, and
        from the iteration when the reader falls too far behind. Ends when the store is closed.
        """
        ...

    async def compact(self, revision: Revision) -> None:
        """Drop the history up to and including `revision`; the items themselves stay."""
        ...

    def statistics(self) -> StoreStatistics:
        """Figures for metrics and health."""
        ...

    async def close(self) -> None:
        """Finish the writes that are under way and let go of the file."""
        ...
