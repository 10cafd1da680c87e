"""What waits for an offer, and how long after a failure an app must wait. Source: Marathon 1.11's REST API."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bireme.marathon.model import App, Tree
from bireme.marathon.paths import PathId
from bireme.marathon.placement import Reason

KEPT_OFFERS = 10


@dataclass(slots=True)
class Entry:
    """Instances of one app that are still to be launched, and what became of the offers for them."""

    app: App
    count: int
    since: datetime
    processed: int = 0
    unused: int = 0
    last_unused: datetime | None = None
    last_used: datetime | None = None
    rejected: Counter[Reason] = field(default_factory=Counter)
    last_rejected: list[tuple[datetime, Reason, Tree]] = field(default_factory=list)

    def refuse(self, reason: Reason, offer: Tree, now: datetime) -> None:
        """Note an offer that did not suit."""
        self.processed += 1
        self.unused += 1
        self.last_unused = now
        self.rejected[reason] += 1
        self.last_rejected = [*self.last_rejected, (now, reason, offer)][-KEPT_OFFERS:]

    def use(self, now: datetime) -> None:
        """Note an offer that did."""
        self.processed += 1
        self.last_used = now
        self.count -= 1


@dataclass(frozen=True, slots=True)
class Delay:
    """An app's back-off: none is launched before `until`."""

    config_version: str
    seconds: float
    until: datetime


class LaunchQueue:
    """The entries by app, and the delays."""

    def __init__(self) -> None:
        self.entries: dict[PathId, Entry] = {}
        self._delays: dict[PathId, Delay] = {}

    def want(self, path: PathId, app: App | None, count: int, now: datetime) -> None:
        """Have so many instances of `app` waiting at `path`; none takes the entry away."""
        if app is None or count <= 0:
            self.entries.pop(path, None)
            return
        entry = self.entries.get(path)
        if entry is None or entry.app.config_version != app.config_version:
            self.entries[path] = Entry(app, count, now)
        else:
            entry.app, entry.count = app, count

    def forget(self, known: Collection[PathId]) -> None:
        """Drop what concerns apps that are no more."""
        for table in (self.entries, self._delays):
            for path in [path for path in table if path not in known]:
                del table[path]

    def launchable(self, now: datetime) -> list[Entry]:
        """Entries that may be launched now, the longest waiting first."""
        found = [entry for path, entry in self.entries.items() if entry.count > 0 and self.left(path, now) <= 0]
        return sorted(found, key=lambda entry: entry.since)

    def left(self, path: PathId, now: datetime) -> float:
        """Seconds until the app may be launched again."""
        delay = self._delays.get(path)
        entry = self.entries.get(path)
        if delay is None or (entry is not None and entry.app.config_version != delay.config_version):
            return 0.0
        return max(0.0, (delay.until - now).total_seconds())

    def failed(self, app: App, now: datetime) -> None:
        """A task ended that should not have: wait before the next one, each time longer."""
        last = self._delays.get(app.id)
        limit = app.number("maxLaunchDelaySeconds")
        seconds = min(app.number("backoffSeconds"), limit)
        if last is not None and last.config_version == app.config_version:
            quiet = now - last.until > timedelta(seconds=limit)
            if not quiet:
                seconds = min(max(last.seconds, app.number("backoffSeconds")) * app.number("backoffFactor"), limit)
        self._delays[app.id] = Delay(app.config_version, seconds, now + timedelta(seconds=seconds))

    def reset(self, path: PathId) -> bool:
        """Let the app be launched at once; False if nothing of it waits."""
        self._delays.pop(path, None)
        return path in self.entries

    def next_due(self, now: datetime) -> float:
        """Seconds until a delayed entry may be launched; infinity for none."""
        waits: Iterable[float] = (self.left(path, now) for path, entry in self.entries.items() if entry.count > 0)
        return min((wait for wait in waits if wait > 0), default=float("inf"))
