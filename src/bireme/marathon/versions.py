"""Time stamps, which are also the versions of apps and groups: UTC to the millisecond, ever rising."""

from datetime import UTC, datetime, timedelta

NEVER = "1970-01-01T00:00:00.000Z"


def stamp(moment: datetime) -> str:
    """`2015-01-29T12:58:46.000Z`."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def read(text: str) -> datetime:
    """A stamp as a moment. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def after(last: str, now: datetime) -> str:
    """A stamp of now that is later than `last`, as text too."""
    fresh = stamp(now)
    return fresh if fresh > last else stamp(read(last) + timedelta(milliseconds=1))
