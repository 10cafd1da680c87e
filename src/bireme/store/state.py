"""The state in memory: what each key holds, the recent events, and who watches.

Everything here is plain and at once; `core` decides what is written and when it is durable, and then applies
it here. So what this class shows has always survived the loss of power.

Events are kept by bucket, in order of revision; those of a prefix wider than a bucket are merged. Revisions
leave no holes, so the number of events held is the present revision less the compacted one.
"""

import heapq
import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from bireme.store.interface import Compacted, Event, Item, Revision, StoreError
from bireme.store.keys import SortedKeys, bucket_of
from bireme.store.watching import Channel, Switchboard, Watcher, revision_of

key_of = attrgetter("key")


class Bucket:
    """The items, events and watchers of one resource."""

    __slots__ = ("events", "items", "keys", "name", "switchboard")

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: dict[str, Item] = {}
        self.keys = SortedKeys()
        self.events: list[Event] = []
        self.switchboard = Switchboard()

    def range(self, prefix: str, after: str) -> Iterator[Item]:
        """The items under `prefix` beyond `after`, in key order."""
        return map(self.items.__getitem__, self.keys.under(prefix, after))

    def since(self, after: Revision) -> Sequence[Event]:
        """The events above `after`."""
        return self.events[bisect_right(self.events, after, key=revision_of) :]


class State:
    """All buckets, under one revision."""

    def __init__(self) -> None:
        self.revision = Revision(0)
        self.compacted = Revision(0)
        self.keys = 0
        self.value_bytes = 0  # of the items
        self.past_bytes = 0  # of the values that only the history holds
        self.written: dict[str, Revision] = {}  # the last write of each bucket
        self._buckets: dict[str, Bucket] = {}
        self._wide = Switchboard()  # prefixes that span buckets
        self._ended: StoreError | None = None

    # -- what there is

    def bucket(self, key: str) -> Bucket:
        """The bucket of `key`, made if it is the first."""
        name = bucket_of(key)
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(name)
        return bucket

    def get(self, key: str) -> Item | None:
        """What `key` holds."""
        bucket = self._buckets.get(bucket_of(key))
        return bucket.items.get(key) if bucket else None

    def range(self, prefix: str, after: str, limit: int) -> Sequence[Item]:
        """The items under `prefix` beyond `after` in key order, at most `limit` (0: all)."""
        found = self._merged(prefix, after)
        return list(itertools.islice(found, limit) if limit else found)

    def count(self, prefix: str, after: str) -> int:
        """How many items `range` would give."""
        return sum(bucket.keys.count(prefix, after) for _, bucket in self._within(prefix))

    def _merged(self, prefix: str, after: str) -> Iterator[Item]:
        buckets = self._within(prefix)
        if len(buckets) == 1:
            return buckets[0][1].range(prefix, after)
        loose = [bucket.range(prefix, after) for name, bucket in buckets if not name]
        # no bucket's name begins another's, so their keys never interleave
        rest = itertools.chain.from_iterable(bucket.range(prefix, after) for name, bucket in buckets if name)
        return heapq.merge(*loose, rest, key=key_of)

    def _within(self, prefix: str) -> list[tuple[str, Bucket]]:
        """The buckets that may hold keys under `prefix`, by name."""
        name = bucket_of(prefix)
        if name:
            bucket = self._buckets.get(name)
            return [(name, bucket)] if bucket else []
        return sorted((name, b) for name, b in self._buckets.items() if not name or name.startswith(prefix))

    # -- what changes

    def apply(self, bucket: Bucket, item: Item | None, event: Event, touched: dict[Channel, None]) -> None:
        """Make `event` the newest revision; `item` is what the key holds from now on."""
        key = event.key
        if item is None:
            del bucket.items[key]
            bucket.keys.remove(key)
            self.keys -= 1
        else:
            if key not in bucket.items:
                bucket.keys.add(key)
                self.keys += 1
            bucket.items[key] = item
            self.value_bytes += len(item.value)
        if event.previous is not None:
            self.value_bytes -= len(event.previous)
            self.past_bytes += len(event.previous)
        bucket.events.append(event)
        self.written[bucket.name] = event.revision
        self.revision = event.revision
        bucket.switchboard.publish(event, touched)
        if self._wide.channels:
            self._wide.publish(event, touched)

    def restore(self, bucket: Bucket, key: str, item: Item | None) -> None:
        """Let `key` hold `item`; the event of it is not kept any more."""
        old = bucket.items.pop(key, None)
        if old is not None:
            self.value_bytes -= len(old.value)
        if item is not None:
            bucket.items[key] = item
            self.value_bytes += len(item.value)
        self.keys += (item is not None) - (old is not None)
        if old is None and item is not None:
            bucket.keys.add(key)
        elif old is not None and item is None:
            bucket.keys.remove(key)

    def compact(self, revision: Revision) -> None:
        """Drop the events up to and including `revision`."""
        self.compacted = revision
        for bucket in self._buckets.values():
            gone = bisect_right(bucket.events, revision, key=revision_of)
            self.past_bytes -= sum(len(event.previous or b"") for event in bucket.events[:gone])
            del bucket.events[:gone]
            for channel in bucket.switchboard.channels.values():
                channel.trim(revision)
        for channel in self._wide.channels.values():
            channel.trim(revision)

    # -- who watches

    def watch(self, prefix: str, after: Revision) -> Watcher:
        """A watcher of `prefix` that begins after revision `after`. Raises Compacted."""
        if after < self.compacted:
            raise Compacted(after, self.compacted)
        switchboard = self.bucket(prefix).switchboard if bucket_of(prefix) else self._wide
        replay = [event for event in self._since(prefix, after) if event.key.startswith(prefix)]
        channel = switchboard.join(prefix)
        channel.ended = channel.ended or self._ended
        return Watcher(channel, replay, after, lambda: self.revision, switchboard.leave)

    def _since(self, prefix: str, after: Revision) -> Iterable[Event]:
        parts = [bucket.since(after) for _, bucket in self._within(prefix)]
        return parts[0] if len(parts) == 1 else heapq.merge(*parts, key=revision_of)

    def end_watches(self, reason: StoreError) -> None:
        """Let all watchers go with `reason`, also those who come later."""
        self._ended = reason
        for channel in self._channels():
            channel.end(reason)

    def watchers(self) -> int:
        """How many watch."""
        return sum(channel.watchers for channel in self._channels())

    def _channels(self) -> list[Channel]:
        boards = [self._wide, *(bucket.switchboard for bucket in self._buckets.values())]
        return [channel for board in boards for channel in board.channels.values()]
