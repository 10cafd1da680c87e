"""What is due when: the heart of discrete events. Things of one time happen in the order in which they were noted."""

import heapq
import itertools
from collections.abc import Callable
from typing import Any


class Agenda:
    """Actions by time. `now` is the time of the last one taken."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, time: float, action: Callable[..., None], *arguments: Any) -> None:
        """Have `action` done at `time`, or now if that has passed."""
        heapq.heappush(self._due, (max(time, self.now), next(self._order), action, arguments))

    def after(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        """Have `action` done in so many seconds."""
        self.at(self.now + seconds, action, *arguments)

    def next_time(self) -> float | None:
        """When something is due next; None when nothing is."""
        return self._due[0][0] if self._due else None

    def do_next(self) -> None:
        """Do everything that is due at the next time, and what that makes due at once."""
        self.now = self._due[0][0]
        while self._due and self._due[0][0] <= self.now:
            _, _, action, arguments = heapq.heappop(self._due)
            action(*arguments)
