"""One limit of time for many tasks, at the cost of two entries in a dictionary each.

`asyncio.timeout` makes, schedules and cancels a timer for every use, some 7 us; where nearly all are over long
before, one timer for the oldest is enough, since with one limit the first that began is the first that is due.
"""

import asyncio
from types import TracebackType
from typing import Self


class Overdue:
    """Cancels what takes longer than `seconds`; whoever is cancelled by it gets a TimeoutError."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[Limit, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def limit(self) -> "Limit":
        """A block (`with`) of the current task that is under the limit."""
        return Limit(self)

    def enter(self, limit: "Limit") -> None:
        loop = asyncio.get_running_loop()
        limit.due = loop.time() + self._seconds
        self._running[limit] = None
        if self._timer is None:
            self._timer = loop.call_at(limit.due, self._look)

    def leave(self, limit: "Limit") -> None:
        self._running.pop(limit, None)

    def _look(self) -> None:
        """Cancel what is due, and come again when the next is."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for limit in list(self._running):
            if limit.due > loop.time():
                self._timer = loop.call_at(limit.due, self._look)
                return
            del self._running[limit]
            limit.cancel()


class Limit:
    """See `Overdue`."""

    __slots__ = ("_all", "_cancelled", "_task", "due")

    def __init__(self, all_of_them: Overdue) -> None:
        self._all = all_of_them
        self._cancelled = False
        self._task: asyncio.Task[object] | None = None
        self.due = 0.0

    def cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._all.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all.leave(self)
        late = self._cancelled and self._task is not None and self._task.uncancel() == 0
        if late and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error
