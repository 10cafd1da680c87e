"""JSON data as the types that a schema gives it: numbers that are doubles, bytes, timestamps and durations.

Data stays as it was decoded; only where an expression reads a value whose declared type JSON can't say, the value
is turned into that type.
"""

import base64
import binascii
import datetime
import re
from collections.abc import Callable
from typing import Any

from bireme.api.cel.errors import CelError
from bireme.api.cel.types import Type
from bireme.api.cel.values import UTC

Coercion = Callable[[Any], Any]

_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d:\d\d))?", re.ASCII
)
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_DURATION = 315_576_000_000


def coercion_of(kind: Type) -> Coercion | None:
    """What turns data into a type, or None where it is that already."""
    simple = _SIMPLE.get(kind.name)
    if simple is not None:
        return simple
    if kind.name == "list" and kind.parameters and (inner := coercion_of(kind.parameters[0])):
        return lambda value: [inner(each) for each in value] if isinstance(value, list) else value
    if kind.name == "map" and kind.parameters and (inside := coercion_of(kind.parameters[1])):
        return lambda value: {k: inside(v) for k, v in value.items()} if isinstance(value, dict) else value
    return None


def _double(value: Any) -> Any:
    return float(value) if type(value) is int else value


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return value.encode()


def _timestamp(value: Any) -> Any:
    return parse_timestamp(value) if isinstance(value, str) else value


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


_SIMPLE: dict[str, Coercion] = {
    "double": _double,
    "bytes": _bytes,
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
}


def parse_timestamp(text: str) -> datetime.datetime:
    """An RFC 3339 time, or a date. Raises CelError."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise CelError(f'invalid timestamp: "{text}"')
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        tz: datetime.tzinfo = UTC
        if zone and zone not in "Zz":
            offset = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
            tz = datetime.timezone(-offset if zone[0] == "-" else offset)
        micros = int((fraction or "0").ljust(6, "0")[:6])
        parts = (int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micros)
        return datetime.datetime(*parts, tzinfo=tz).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise CelError(f'invalid timestamp: "{text}"') from error


def parse_duration(text: str) -> datetime.timedelta:
    """A duration as Go writes it: `1h30m`, `-1.5s`. Raises CelError."""
    body = text.lstrip("+-") if text[:1] in ("+", "-") else text
    if body == "0":
        return datetime.timedelta()
    seconds, at = 0.0, 0
    for part in _PART.finditer(body):
        if part.start() != at:
            break
        seconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not body or at != len(body) or seconds > _LONGEST_DURATION or body != text[len(text) - len(body) :]:
        raise CelError(f'invalid duration: "{text}"')
    return datetime.timedelta(seconds=-seconds if text[0] == "-" else seconds)


def show_duration(value: datetime.timedelta) -> str:
    """A duration in seconds, as `string(duration)` gives it."""
    micros = value // datetime.timedelta(microseconds=1)
    whole, rest = divmod(abs(micros), 1_000_000)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{'-' if micros < 0 else ''}{whole}{fraction}s"


def show_timestamp(value: datetime.datetime) -> str:
    """A timestamp in RFC 3339, as `string(timestamp)` gives it."""
    value = value.astimezone(UTC)
    fraction = f".{value.microsecond:06d}".rstrip("0") if value.microsecond else ""
    return f"{value:%Y-%m-%dT%H:%M:%S}{fraction}Z"
