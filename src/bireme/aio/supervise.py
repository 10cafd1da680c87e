"""Services that outlive their errors: logged, backed off, started again."""

from collections.abc import Awaitable, Callable

import structlog

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock

log = structlog.get_logger(__name__)

RESTART = Backoff(initial_s=0.5, limit_s=30.0)
STEADY_S = 60.0


async def supervise(name: str, service: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Run `service` until it returns; start it again, after a growing wait, when it raises.

    A service that ran for a minute before it failed starts with the shortest wait again.
    """
    failures = 0
    while True:
        began = clock.monotonic()
        try:
            await service()
        except Exception:
            failures = 1 if clock.monotonic() - began > STEADY_S else failures + 1
            delay = RESTART.delay(failures)
            log.exception("service failed", service=name, failures=failures, retry_s=delay)
            await clock.sleep(delay)
        else:
            return
