"""Events live for an hour: a sweep each minute takes out the older ones.

An event's age is counted from its last change, as the original's lease does.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from bireme.aio.clock import Clock
from bireme.api.errors import Conflict, NotFound
from bireme.api.times import parse_time
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.verbs import Registry

log = structlog.get_logger(__name__)

LIFE = timedelta(hours=1)
SWEEP_S = 60.0


class _Times(msgspec.Struct, rename="camel"):
    metadata: dict[str, Any]
    last_timestamp: str | None = None
    event_time: str | None = None
    series: dict[str, Any] | None = None


_times = msgspec.json.Decoder(_Times)


async def expire_events(registry: Registry, clock: Clock) -> None:
    """Sweep until cancelled."""
    while True:
        await clock.sleep(SWEEP_S)
        swept = await sweep(registry, now=clock.now())
        if swept:
            log.debug("events expired", count=swept)


async def sweep(registry: Registry, *, now: datetime) -> int:
    """Take out the events that are over an hour old at `now`; how many that were."""
    kind = registry.kind("", "v1", "events")
    old = [
        record
        for record in list(registry.cache.of(kind.stored).records.values())
        if last_seen(record.value) < now - LIFE
    ]
    for record in old:
        try:
            options = DeleteOptions(resource_version=str(record.revision))
            await registry.delete(kind, record.namespace, record.name, options, Call())
        except (NotFound, Conflict):
            continue  # gone, or seen again meanwhile
    return len(old)


def last_seen(value: bytes) -> datetime:
    """When the event in `value` was last seen to happen."""
    times = _times.decode(value)
    said = (
        (times.series or {}).get("lastObservedTime"),
        times.last_timestamp,
        times.event_time,
        times.metadata.get("creationTimestamp"),
    )
    return max(parse_time(moment) for moment in said if moment)
