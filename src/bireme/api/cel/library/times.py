"""Parts of timestamps and durations, in UTC or in a named time zone. Source: the CEL specification."""

import datetime
import re
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bireme.api.cel.errors import CelError
from bireme.api.cel.functions import Row

Moment = datetime.datetime

_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)
_FIELDS: dict[str, Callable[[Moment], int]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
    "getMilliseconds": lambda moment: moment.microsecond // 1000,
}
_UNITS = {
    "getHours": datetime.timedelta(hours=1),
    "getMinutes": datetime.timedelta(minutes=1),
    "getSeconds": datetime.timedelta(seconds=1),
    "getMilliseconds": datetime.timedelta(milliseconds=1),
}


def _zone(name: str) -> datetime.tzinfo:
    match = _OFFSET.fullmatch(name)
    if match is not None:
        offset = datetime.timedelta(hours=int(match[2]), minutes=int(match[3]))
        return datetime.timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CelError(f"unknown time zone {name}") from error


def _in_zone(field: Callable[[Moment], int]) -> Callable[[Moment, str], int]:
    return lambda moment, zone: field(moment.astimezone(_zone(zone)))


def _whole(unit: datetime.timedelta) -> Callable[[datetime.timedelta], int]:
    def units(amount: datetime.timedelta) -> int:
        whole = abs(amount) // unit
        return -whole if amount < datetime.timedelta() else whole

    return units


def _rows() -> list[Row]:
    rows: list[Any] = []
    for name, field in _FIELDS.items():
        rows.append((name, "timestamp.(): int", field))
        rows.append((name, "timestamp.(string): int", _in_zone(field)))
    rows += [(name, "duration.(): int", _whole(unit)) for name, unit in _UNITS.items()]
    return rows


ROWS: list[Row] = _rows()
