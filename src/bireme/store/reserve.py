"""Space kept aside so that a full disk can be emptied again.

Even a delete writes to the log first. A reserve is a file that holds nothing; when the disk is full it is
removed, deletes go on in the room that it leaves, and it is made again before anything may grow.
"""

import os
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

RETRY_S = 1.0


class Reserve:
    """`size` bytes of disk at `path`, held or spent."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._tried = float("-inf")
        self.held = size == 0 or (path.exists() and path.stat().st_size == size)

    def regain(self, now: float) -> bool:
        """Hold the reserve again if there is room; tries once a second, by `now` in monotonic seconds."""
        if self.held or now - self._tried < RETRY_S:
            return self.held
        self._tried = now
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._path.unlink(missing_ok=True)
            log.warning("no room for the store's reserve", path=str(self._path), error=str(error))
            return False
        self.held = True
        return True

    def spend(self, now: float) -> bool:
        """Give the space back to the disk; whether there was any."""
        spent = self.held and self._size > 0
        if spent:
            self._path.unlink(missing_ok=True)
            self.held = False
            self._tried = now
        return spent
