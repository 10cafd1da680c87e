"""What the long-running processes share: their logs, their loop, their end on a signal, a quiet collector."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import structlog

# Short turns: the store's thread must not wait for a busy loop (docs/adr/0002).
SWITCH_S = 0.0005

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up_logs(part: str, *, level: str) -> None:
    """One JSON object a line on standard error, each with the part's name."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS.get(level, logging.INFO)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(part=part)


def run_until_stopped(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on uvloop until it ends or SIGTERM or SIGINT cancels it."""
    import uvloop

    sys.setswitchinterval(SWITCH_S)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_stoppable(main))


async def _stoppable(main: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(main, name="main")
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)


def settle_memory() -> None:
    """What was loaded at the start stays: keep the collector from walking over it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
