"""The objects of one kind in memory: records by key and index, the changes of the last minutes, the watchers.

Watchers are filed under the object's name, an indexed field (`spec.nodeName=…`) or the namespace that they ask
for, so ten thousand watchers of one node each cost a dictionary look-up an event. The history also serves reads
of the past: the state at an older revision is the present one with the newer changes undone.
Left to others: which revision a request may start from (`lists.py`), feeding it (`watch_cache.py`).
"""

import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from bireme.api.errors import BadRequest, Expired
from bireme.api.kinds import core
from bireme.api.scheme import Resource
from bireme.registry.field_index import FieldIndex
from bireme.registry.headers import HeaderReader
from bireme.registry.record import Record
from bireme.registry.rounds import CROWD, Rounds
from bireme.registry.selection import Selection
from bireme.registry.taps import Made, Tap, pod_of
from bireme.registry.watcher import Change, Channel, View, Watcher
from bireme.store.interface import Event

HISTORY_CHANGES = 102_400

Listener = Callable[[Change], None]
"""Somebody in the registry who keeps what he knows of a kind's objects up to date."""


class ResourceCache:
    """Records, recent changes and watchers of one kind of object; `revision` tells how far they have come.

    `writes` rises with each change; `told` counts the events that watchers were told; `broad` is how many watchers
    ask for more than one name or one value of an indexed field.
    """

    def __init__(
        self,
        resource: Resource,
        rounds: Rounds | None = None,
        *,
        reader: HeaderReader | None = None,
        revision: Callable[[], int] = lambda: 0,
    ) -> None:
        self.resource = resource
        self.revision = revision
        self._rounds = rounds
        self.reader = reader or HeaderReader(resource)
        self.loaded = 0
        self.records: dict[str, Record] = {}
        self.history: deque[Change] = deque()
        self.oldest = 0
        self.writes = 0
        self.told = 0
        self.broad = 0
        self._listeners: list[Listener] = []
        self._taps: dict[Tap, None] = {}
        self._reads_structs = False
        self._past: dict[str, Record | None] = {}
        self._channels: dict[Hashable, dict[tuple[Selection, Hashable], Channel]] = {}
        self._watched_fields: dict[int, int] = {}
        self._index = FieldIndex(resource)

    def listen(self, listener: Listener) -> None:
        """Have `listener` told of every object that there is, and of each change at once."""
        self._listeners.append(listener)
        for record in self.records.values():
            listener(Change(record.revision, None, record, 0.0))

    def load(self, records: Iterable[Record]) -> None:
        """Start from `records`."""
        self.writes += 1
        for record in records:
            self._set(record, self.records.get(record.key))
            for listener in self._listeners:
                listener(Change(record.revision, None, record, 0.0))

    def clear(self) -> None:
        """Forget everything but the watchers, who are to be dropped by now, as are the taps."""
        for record in self.records.values():
            for listener in self._listeners:
                listener(Change(record.revision, record, None, 0.0))
        self.records.clear()
        self.history.clear()
        self._past.clear()
        self._index.clear()

    def take(self, events: Sequence[Event], *, at: float, loaded: int = 0) -> None:
        """Take in what was written, oldest first, and tell each of those who listen of all of it in one go.

        One after the other and not one event after the other: what one does again and again costs him half as much.
        What was written up to revision `loaded` is only remembered, for the records hold its outcome already.
        """
        self.writes += len(events)
        loaded = max(loaded, self.loaded)
        past = [event for event in events if event.revision <= loaded]
        for event in past:
            self._remember(event, at)
        if len(past) == len(events):
            return
        self._past.clear()
        made: Made = {}
        changes = [self._note(event, at, made) for event in events[len(past) :]]
        for listener in self._listeners:
            for change in changes:
                listener(change)
        if self._channels:
            self._offer(changes)
        for tap in tuple(self._taps):
            tap.hear(changes, made)

    def _remember(self, event: Event, at: float) -> None:
        old = self._past.get(event.key) or self._read(event.key, event.previous, event.created)
        new = self._past[event.key] = self._read(event.key, event.value, event.revision)
        self.history.append(Change(event.revision, old, new, at))

    def _note(self, event: Event, at: float, made: Made) -> Change:
        """The records hold the outcome of a write from now on."""
        old = self.records.get(event.key)
        new: Record | None
        if self._reads_structs and event.value is not None:
            new = self._read_struct(event.key, event.value, event.revision, old, made)
        else:
            new = self._read(event.key, event.value, event.revision)
        if old is not None:
            old.struct = None
        if new is not None:
            self._set(new, old)
        elif old is not None:
            del self.records[event.key]
            self._index.remove(old)
        change = Change(event.revision, old, new, at)
        self.history.append(change)
        return change

    def _offer(self, changes: Sequence[Change]) -> None:
        """Tell in frames: a crowd in rounds, others at once, and both of all changes in one write."""
        offered: dict[Channel, None] = {}
        for change in changes:
            for channel in self._concerned(change):
                if channel.offer(change):
                    self.told += len(channel.members)
                    offered[channel] = None
            change.frames = None  # what was rendered lies in the channels; the history would hold it for minutes
        for channel in offered:
            if self._rounds is not None and len(channel.members) > CROWD:
                self._rounds.add(channel)
            else:
                channel.release()

    def forget(self, *, before: float) -> None:
        """Let go of changes older than `before`, and of those beyond the limit."""
        history = self.history
        while history and (history[0].at < before or len(history) > HISTORY_CHANGES):
            self.oldest = history.popleft().revision

    def since(self, revision: int) -> Iterator[Change]:
        """The changes after `revision`, oldest first. Raises Expired when that is too old."""
        if revision < self.oldest:
            raise Expired(f"too old resource version: {revision} ({self.oldest})")
        newer = itertools.takewhile(lambda change: change.revision > revision, reversed(self.history))
        return reversed(list(newer))

    def watch(self, selection: Selection, view: View, *, after: int) -> Watcher:
        """A watcher that first gets the changes after `after`. Raises Expired when that is too old."""
        missed = self.since(after)
        place = self._place(selection)
        channel = self._channel(place, selection, view)
        watcher = Watcher(channel, lambda closed: self._forget_watcher(place, closed), after=after, since=self.since)
        self.broad += _is_broad(place)
        for change in missed:
            watcher.replay(change)
        return watcher

    def tap(self, tap: Tap, *, after: int) -> None:
        """Have `tap` told of the changes after `after`, until `untap`. Raises Expired when that is too old."""
        tap.hear(list(self.since(after)), {})
        self._taps[tap] = None
        self._look_at_taps()

    def untap(self, tap: Tap) -> None:
        """Tell it no more."""
        self._taps.pop(tap, None)
        self._look_at_taps()

    def _look_at_taps(self) -> None:
        """Structs are made of all writes, and kept, as long as somebody is told of all and holds them anyway."""
        had, self._reads_structs = (
            self._reads_structs,
            self.reader.reads_structs and any(tap.is_told_all(core.Pod) for tap in self._taps),
        )
        if had and not self._reads_structs:
            for record in self.records.values():
                record.struct = None

    def end_taps(self) -> None:
        """Have those who are told begin anew."""
        for tap in self._taps:
            tap.end(Expired("the past that this watch rests on is lost"))

    def is_narrow(self, selection: Selection) -> bool:
        """Whether watchers of the selection are found by name, field or namespace, however many there are."""
        return self._place(selection) != "all"

    def _channel(self, place: Hashable, selection: Selection, view: View) -> Channel:
        """The channel of all who ask for the same."""
        group = self._channels.setdefault(place, {})
        channel = group.get((selection, view.key))
        if channel is None:
            channel = group[selection, view.key] = Channel(selection, view)
            if isinstance(place, tuple) and place[0] == "field":
                self._watched_fields[place[1]] = self._watched_fields.get(place[1], 0) + 1
        return channel

    def indexed(self, field: str, value: str) -> list[Record]:
        """The records whose indexed field has that value, in no order."""
        return self._index.of(self.resource.fields.index(field), value)

    def select(self, selection: Selection) -> list[Record] | None:
        """The records of the narrowest index that fits, in key order; None where a scan is needed."""
        for number in self._index:
            value = selection.asked(self.resource.fields[number])
            if value is not None:
                return sorted(self._index.of(number, value), key=_key)
        return None

    def undone(self, revision: int) -> dict[str, Record | None]:
        """What the objects that changed after `revision` were then (None: not there).

        Raises Expired when the history doesn't reach back.
        """
        if revision < self.oldest:
            raise Expired("The resourceVersion for the provided list is too old.")
        past: dict[str, Record | None] = {}
        for change in itertools.takewhile(lambda change: change.revision > revision, reversed(self.history)):
            known = change.old or change.new
            if known is not None:
                past[known.key] = change.old
        return past

    def watchers(self) -> list[Watcher]:
        channels = (channel for group in self._channels.values() for channel in group.values())
        return [watcher for channel in channels for watcher in channel.members]

    def _read(self, key: str, value: bytes | None, revision: int) -> Record | None:
        return None if value is None else self.reader.read(key, value, revision)

    def _read_struct(self, key: str, value: bytes, revision: int, old: Record | None, made: Made) -> Record:
        """The record, read from the struct that taps will ask for: who has the one need not decode the other."""
        try:
            obj = pod_of(value, revision, old)
        except BadRequest:
            return self.reader.read(key, value, revision)
        made[core.Pod, revision] = obj
        return self.reader.read_struct(key, value, revision, obj)

    def _set(self, record: Record, old: Record | None) -> None:
        self.records[record.key] = record
        self._index.file(record, old)

    def _place(self, selection: Selection) -> Hashable:
        if selection.name:
            return ("name", selection.namespace, selection.name)
        for number in self._index:
            value = selection.asked(self.resource.fields[number])
            if value is not None:
                return ("field", number, value)
        return ("namespace", selection.namespace) if selection.namespace else "all"

    def _forget_watcher(self, place: Hashable, watcher: Watcher) -> None:
        channel = watcher.channel
        if watcher not in channel.members:
            return
        self.broad -= _is_broad(place)
        if channel.leave(watcher):
            return
        group = self._channels[place]
        del group[channel.selection, channel.view.key]
        if not group:
            del self._channels[place]
        if isinstance(place, tuple) and place[0] == "field":
            self._watched_fields[place[1]] -= 1

    def _concerned(self, change: Change) -> list[Channel]:
        old, new = change.old, change.new
        record = old if new is None else new
        if record is None:
            return []
        places: list[Hashable] = ["all", ("name", "", record.name)]
        if record.namespace:
            places += (("namespace", record.namespace), ("name", record.namespace, record.name))
        for number, count in self._watched_fields.items():
            if count:
                values = {each.fields[number]: None for each in (old, new) if each is not None}
                places += [("field", number, value) for value in values]
        return [channel for place in places if (group := self._channels.get(place)) for channel in group.values()]


def _is_broad(place: Hashable) -> bool:
    return place == "all" or (isinstance(place, tuple) and place[0] == "namespace")


def _key(record: Record) -> str:
    return record.key
