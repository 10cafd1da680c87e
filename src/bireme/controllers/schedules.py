"""Times that a cron schedule means: five fields, names, macros, or `@every` so long. Plain functions.

Days are meant by either of the two day fields where both say something, else by both. Minutes that a zone skips in
spring are not there; those that come twice in autumn come twice. Source: cron(5), and the Kubernetes documentation on
CronJobs.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)")
_FAR = timedelta(days=5 * 366)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes, hours, days and months that are meant, or the time from one run to the next."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = True
    any_weekday: bool = True
    every: timedelta | None = None

    def next(self, after: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The first time later than `after`; None if there is none within five years."""
        if self.every is not None:
            return after.replace(microsecond=0) + self.every
        at = after.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
        end = at + _FAR
        while at < end:
            local = at.astimezone(zone)
            if local.month not in self.months or not self._means_day(local):
                at += _to_midnight(local)
            elif local.hour not in self.hours:
                at += timedelta(minutes=60 - local.minute)
            elif local.minute not in self.minutes:
                at += _MINUTE
            else:
                return at
        return None

    def _means_day(self, local: datetime) -> bool:
        day = local.day in self.days
        weekday = local.isoweekday() % 7 in self.weekdays
        return day and weekday if self.any_day or self.any_weekday else day or weekday


def _to_midnight(local: datetime) -> timedelta:
    """To the next day, in hours, so that days of 23 and 25 hours end where they do."""
    return timedelta(minutes=60 - local.minute) if local.hour == 23 else timedelta(hours=1, minutes=-local.minute)


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Schedule:
    """The schedule that the text means; ValueError if it means none."""
    if text.startswith("@every "):
        return Schedule(every=_duration(text.removeprefix("@every ")))
    fields = _MACROS.get(text, text).split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}")
    minutes, _ = _numbers(fields[0], 0, 59)
    hours, _ = _numbers(fields[1], 0, 23)
    days, any_day = _numbers(fields[2], 1, 31)
    months, _ = _numbers(fields[3], 1, 12, _MONTHS)
    weekdays, any_weekday = _numbers(fields[4], 0, 6, _DAYS)
    return Schedule(minutes, hours, days, months, weekdays, any_day, any_weekday)


def _duration(text: str) -> timedelta:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"not a duration: {text}")
    seconds = int(sum(float(number) * _UNITS[unit] for number, unit in parts))
    return timedelta(seconds=max(1, seconds))


def _numbers(field: str, low: int, high: int, names: tuple[str, ...] = ()) -> tuple[frozenset[int], bool]:
    """The numbers of a field, and whether it stands for any."""
    found: set[int] = set()
    any_ = False
    for part in field.lower().split(","):
        bounds, _, step = part.partition("/")
        first, last = _bounds(bounds, low, high, names, stepped=bool(step))
        found.update(range(first, last + 1, int(step or 1)))
        any_ = any_ or (bounds in ("*", "?") and step in ("", "1"))
    return frozenset(found), any_


def _bounds(text: str, low: int, high: int, names: tuple[str, ...], *, stepped: bool) -> tuple[int, int]:
    if text in ("*", "?"):
        return low, high
    first, dash, last = text.partition("-")
    begin = _number(first, low, names)
    if dash:
        return begin, _number(last, low, names)
    return begin, high if stepped else begin


def _number(text: str, low: int, names: tuple[str, ...]) -> int:
    return low + names.index(text) if text in names else int(text)


def times(schedule: Schedule, after: datetime, until: datetime, zone: tzinfo = UTC) -> Iterator[datetime]:
    """The times later than `after` and not later than `until`."""
    at = schedule.next(after, zone)
    while at is not None and at <= until:
        yield at
        at = schedule.next(at, zone)
