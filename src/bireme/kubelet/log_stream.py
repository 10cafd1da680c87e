"""A container's log as the reader wants it: from its end, since a time, with times, and as it grows.

The engine writes `TIME stdout|stderr F|P TEXT` lines (P: the line goes on). A log folder is a place where others
might put links, so every step to the file is made by descriptor, and a link is refused. Rotation renames the
file; a reader that follows reads the old one to its end, then the new one.
Source: CRI log format; `PodLogOptions` of the API.
"""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bireme.aio.clock import Clock
from bireme.api.errors import BadRequest, NotFound
from bireme.api.times import parse_time
from bireme.http.interface import Query

BLOCK = 256 * 1024
POLL_S = 0.1
ASK_RUNNING_S = 1.0
LINE_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of a log to show. `stream` is "stdout" or "stderr", "" for both; `limit` counts bytes sent."""

    follow: bool = False
    timestamps: bool = False
    previous: bool = False
    tail: int | None = None
    since: datetime | None = None
    limit: int | None = None
    stream: str = ""


def read_options(query: Query, now: datetime) -> LogOptions:
    """The options in a query. BadRequest for values that make no sense."""
    seconds, moment = query.get("sinceSeconds"), query.get("sinceTime")
    if seconds and moment:
        raise BadRequest("at most one of `sinceTime` or `sinceSeconds` may be specified")
    since = None
    if seconds:
        since = now - timedelta(seconds=_number(query, "sinceSeconds", least=1))
    elif moment:
        try:
            since = parse_time(moment)
        except ValueError:
            raise BadRequest(f"invalid value {moment!r} for sinceTime: not a time") from None
    stream = query.get("stream")
    if stream not in ("", "All", "Stdout", "Stderr"):
        raise BadRequest(f"invalid value {stream!r} for stream: must be All, Stdout or Stderr")
    return LogOptions(
        follow=query.flag("follow"),
        timestamps=query.flag("timestamps"),
        previous=query.flag("previous"),
        tail=_number(query, "tailLines", least=0) if query.get("tailLines") else None,
        since=since,
        limit=_number(query, "limitBytes", least=1) if query.get("limitBytes") else None,
        stream="" if stream == "All" else stream.lower(),
    )


def _number(query: Query, name: str, *, least: int) -> int:
    text = query.get(name)
    if not text.isdecimal() or len(text) > 18 or int(text) < least:
        raise BadRequest(f"invalid value {text!r} for {name}: must be a whole number of at least {least}")
    return int(text)


class Formatter:
    """Lines of a CRI log to what is sent."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit
        self._early = options.since is not None
        self._line_start = True
        self._rest = b""

    @property
    def is_full(self) -> bool:
        """Whether the limit has been reached."""
        return self._left is not None and self._left <= 0

    def feed(self, data: bytes) -> bytes:
        """What is to be sent of `data`; the part of a line at its end waits for the rest."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_LIMIT:
            lines, self._rest = [*lines, self._rest], b""
        shown = b"".join(self._line(line) for line in lines)
        if self._left is not None:
            shown = shown[: self._left]
            self._left -= len(shown)
        return shown

    def _line(self, line: bytes) -> bytes:
        fields = line.split(b" ", 3)
        if len(fields) < 4:
            return b""
        moment, stream, tags, text = fields
        if self._early and self._is_early(moment):
            return b""
        if self._options.stream and stream != self._options.stream.encode():
            return b""
        prefix = moment + b" " if self._options.timestamps and self._line_start else b""
        self._line_start = not tags.startswith(b"P")
        return prefix + text + (b"\n" if self._line_start else b"")

    def _is_early(self, moment: bytes) -> bool:
        """Whether a line is older than wanted. The first that is not ends the looking: times only grow."""
        try:
            early = self._options.since is not None and parse_time(moment.decode()) < self._options.since
        except ValueError:
            return True
        self._early = early
        return early


def open_beneath(root: Path, path: str) -> int:
    """A descriptor for the plain file at `path` beneath `root`, through no link. NotFound when there is none."""
    *folders, name = path.split("/")
    if any(part in ("", ".", "..") for part in (*folders, name)):
        raise NotFound("no such log")
    try:
        place = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                deeper = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
                os.close(place)
                place = deeper
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
        finally:
            os.close(place)
    except OSError as error:
        raise NotFound(f"the log can't be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise NotFound("the log is not a plain file")
    return file


def tail_start(file: int, lines: int) -> int:
    """The offset at which the last `lines` lines of a file begin."""
    end = os.fstat(file).st_size
    if not lines:
        return end
    position, found = end, 0
    while position > 0:
        start = max(0, position - BLOCK)
        block = os.pread(file, position - start, start)
        # the break that ends the last line begins no line
        cut = len(block) - 1 if position == end and block.endswith(b"\n") else len(block)
        while (cut := block.rfind(b"\n", 0, cut)) >= 0:
            found += 1
            if found == lines:
                return start + cut + 1
        position = start
    return 0


class LogStream:
    """The parts of a log, read as they are asked for. Close it (`aclose`) to let go of the file."""

    def __init__(
        self,
        root: Path,
        path: str,
        options: LogOptions,
        *,
        clock: Clock,
        is_running: Callable[[], Awaitable[bool]],
    ) -> None:
        self._root = root
        self._path = path
        self._options = options
        self._clock = clock
        self._is_running = is_running
        self._file = open_beneath(root, path)
        self._next = -1
        self._parts = self._read()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._parts)

    async def aclose(self) -> None:
        """Stop reading."""
        await self._parts.aclose()
        for file in (self._file, self._next):
            if file >= 0:
                os.close(file)
        self._file = self._next = -1

    async def _read(self) -> AsyncGenerator[bytes, None]:
        formatter = Formatter(self._options)
        offset = 0
        if self._options.tail is not None:
            offset = await asyncio.to_thread(tail_start, self._file, self._options.tail)
        asked, running = self._clock.monotonic(), True
        while not formatter.is_full:
            block = await asyncio.to_thread(os.pread, self._file, BLOCK, offset)
            if block:
                offset += len(block)
                if shown := formatter.feed(block):
                    yield shown
                continue
            if not self._options.follow:
                return
            if self._next >= 0:
                self._go_over()
                offset = 0
                continue
            if self._is_rotated():
                # once more around before going over: the old file's last lines may have come after it was last read
                await self._clock.sleep(POLL_S)
                continue
            if not running:
                return
            if self._clock.monotonic() - asked >= ASK_RUNNING_S:
                # once more around after a "no": something may have been written just before the end
                asked, running = self._clock.monotonic(), await self._is_running()
                continue
            await self._clock.sleep(POLL_S)

    def _is_rotated(self) -> bool:
        """Whether the file has been moved aside. The one in its place, which is written to now, is then open."""
        try:
            found = open_beneath(self._root, self._path)
        except NotFound:
            return False
        if os.path.sameopenfile(found, self._file):
            os.close(found)
            return False
        self._next = found
        return True

    def _go_over(self) -> None:
        os.close(self._file)
        self._file, self._next = self._next, -1
