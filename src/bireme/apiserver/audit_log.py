"""The audit log: a line of JSON for each stage of each request that the policy wants written.

Lines are appended to a file that its owner alone reads; when it is full it is set aside under the time's name, and
the oldest such files go. A line that can't be written is counted and told once, and stops no request.
Source: the Kubernetes documentation on auditing.
"""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import structlog

from bireme.aio.clock import Clock

log = structlog.get_logger(__name__)

Tree = dict[str, Any]
Write = Callable[[Tree], None]


class AuditFile:
    """A file of events, exchanged for a new one when it holds `largest` bytes; `backups` old ones are kept."""

    def __init__(self, path: Path, clock: Clock, *, largest: int, backups: int) -> None:
        self._path, self._clock, self._largest, self._backups = path, clock, largest, backups
        self._open()
        self._failed = False
        self.dropped = 0

    def write(self, event: Tree) -> None:
        """Append one event."""
        line = orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
        try:
            if self._size and self._size + len(line) > self._largest:
                self._exchange()
            os.write(self._descriptor, line)
        except OSError as error:
            if not self._failed:
                log.error("the audit log cannot be written", path=str(self._path), error=error.strerror)
            self._failed = True
            self.dropped += 1
            return
        self._failed = False
        self._size += len(line)

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _exchange(self) -> None:
        self._path.rename(_aside(self._path, self._clock.now()))
        os.close(self._descriptor)
        self._open()
        old = sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"))
        for path in old[: max(0, len(old) - self._backups)]:
            path.unlink(missing_ok=True)


def _aside(path: Path, now: datetime) -> Path:
    return path.with_name(f"{path.stem}-{now.strftime('%Y-%m-%dT%H-%M-%S.%f')}{path.suffix}")
