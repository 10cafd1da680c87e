"""Status updates of one task on their way to its framework: at least once, in order, one at a time.

An update is sent until it is acknowledged, after 10 s, then with doubled pauses up to 10 min. What a restart
must not lose is not kept here: it follows from the pod and from the state noted on it as last acknowledged.
Source: Mesos 1.11's HTTP API.
"""

from collections import deque

from bireme.aio.backoff import Backoff
from bireme.mesos.messages import Message

RESEND = Backoff(initial_s=10.0, limit_s=600.0)


class Updates:
    """The updates of a task that were not acknowledged yet."""

    __slots__ = ("_due", "_tries", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Message] = deque()
        self._due = 0.0
        self._tries = 0

    def push(self, status: Message) -> None:
        """One more update, after those that wait. It carries a uuid."""
        self._waiting.append(status)

    @property
    def outstanding(self) -> Message | None:
        """The update that is to be acknowledged next."""
        return self._waiting[0] if self._waiting else None

    def acknowledge(self, uuid: bytes) -> Message | None:
        """The update that `uuid` acknowledges, done with now; None if it is not the outstanding one."""
        first = self.outstanding
        if first is None or first["uuid"] != uuid:
            return None
        self._waiting.popleft()
        self._due, self._tries = 0.0, 0
        return first

    def take_due(self, now: float) -> Message | None:
        """The outstanding update if it is to be sent (again) now."""
        first = self.outstanding
        if first is None or now < self._due:
            return None
        self._tries += 1
        self._due = now + RESEND.delay(self._tries)
        return first

    def send_again(self) -> None:
        """The framework is back: what is outstanding goes out at once."""
        self._due, self._tries = 0.0, 0
