"""Versioned bytes: what every home of the state promises.

One counter, the revision, rises by one with each write and is never used twice, not even after a crash or
a restore. A write is acknowledged, and shown to watchers, only once it would survive the loss of power.
A failed sync is never retried: the process ends (`SyncFailed`), since what the disk holds is unknown then.

Homes: `sqlite` (one machine) and `memory` (tests, simulation); etcd is to follow behind the same protocol.
One suite, `tests/contract/test_store.py`, runs over all of them.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

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


class SyncFailed(StoreError):
    """The disk would not confirm a write. The process must end; nothing may be retried on this handle."""


@dataclass(frozen=True, slots=True)
class Item:
    """A key's value, the revision that wrote it, and the revision that first made the key."""

    key: str
    value: bytes
    revision: Revision
    created: Revision


@dataclass(frozen=True, slots=True)
class Event:
    """A write as watchers see it. `value` is None for a delete; `previous` is None for a create."""

    revision: Revision
    key: str
    value: bytes | None
    previous: bytes | None
    created: Revision


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Keys held, bytes on disk, the present revision, the oldest revision watchable, commits so far."""

    keys: int
    size_bytes: int
    revision: int
    compacted: int
    commits: int


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

    def count(self, prefix: str) -> int:
        """How many keys there are under `prefix`."""
        ...

    async def put(self, key: str, value: bytes, *, expect: Revision | None) -> Item:
        """Write `value` if the key is still at revision `expect` (0: if it is not there; None: in any case).

        Raises KeyConflict. Returns once the write is durable.
        """
        ...

    async def delete(self, key: str, *, expect: Revision | None) -> Event:
        """Remove `key` if it is still at `expect` (None: in any case). Raises KeyConflict, also for no key."""
        ...

    def watch(self, prefix: str, *, after: Revision) -> AsyncIterator[Sequence[Event]]:
        """Every event under `prefix` with a revision above `after`, in order, without gap or repeat.

        Yields batches (all of one commit together). Raises Compacted when `after` is too old; a reader that
        falls too far behind gets Compacted too.
        """
        ...

    async def compact(self, revision: Revision) -> None:
        """Drop the history up to and including `revision`; the items themselves stay."""
        ...

    def statistics(self) -> StoreStatistics: ...

    async def close(self) -> None:
        """Finish the writes that are under way and let go of the file."""
        ...
