"""Times as the Kubernetes API writes them: RFC 3339 in UTC, whole seconds (Time) or six digits (MicroTime)."""

import functools
from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """`2026-11-23T07:40:00Z`, the form of every metav1.Time."""
    return _second(moment.replace(microsecond=0))


@functools.lru_cache(64)
def _second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(moment: datetime) -> str:
    """`2026-11-23T07:40:00.000000Z`, the form of every metav1.MicroTime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """A Time or MicroTime as it came over the wire. Raises ValueError for anything else."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
