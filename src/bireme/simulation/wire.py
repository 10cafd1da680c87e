"""Lease renewals on bare connections: bytes that are made once, a time that is stamped in, an answer barely seen.

A thousand requests a second through a client would cost a good part of a core; here one costs little more than its
encryption. Some HTTP/1.1 connections take names from one queue, each with one request under way.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

from bireme.api.errors import ApiError, ServiceUnavailable
from bireme.client.client import Patch
from bireme.client.errors import from_answer
from bireme.client.kubeconfig import Access
from bireme.http.answers import Answered
from bireme.http.lines import Line, Origin, connect
from bireme.http.plain import PORTS
from bireme.simulation.leases import PATH, patch_of

LINES = 64
ANSWER_S = 15.0
LONGEST_ANSWER = 1 << 20


class WireRenewer:
    """Renews leases of one cluster. See `leases.Renewer`."""

    def __init__(self, access: Access, *, lines: int = LINES) -> None:
        self._access = access
        url = urlsplit(access.server.rstrip("/"))
        self._origin = Origin(url.hostname or "", url.port or PORTS[url.scheme], access.tls, access.server_name or "")
        headers = {"Host": url.netloc, "User-Agent": "bireme-hollow", "Accept": "application/json", **access.headers}
        headers["Content-Type"] = Patch.MERGE.value
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = (
            f"PATCH {url.path}{PATH}".encode(),
            f" HTTP/1.1\r\n{told}Content-Length: ".encode(),
        )
        self._lines: list[Line | None] = [None] * lines
        self._asked: dict[Line, str] = {}
        self._turn = asyncio.Lock()
        self._names: deque[str] = deque()
        self._failed: dict[str, ApiError] = {}
        self._body = b""
        self._left = 0
        self._all: asyncio.Future[None] | None = None

    async def renew(self, names: Sequence[str], moment: str) -> dict[str, ApiError]:
        """See `leases.Renewer`."""
        async with self._turn:
            return await self._renew(names, moment)

    async def _renew(self, names: Sequence[str], moment: str) -> dict[str, ApiError]:
        self._names.extend(names)
        self._failed, self._body, self._left = {}, patch_of(moment), len(names)
        self._all = asyncio.get_running_loop().create_future()
        try:
            await self._open_lines(min(len(names), len(self._lines)))
            for line in self._lines:
                self._next(line)
            async with asyncio.timeout(ANSWER_S):
                await self._all
        except (OSError, TimeoutError) as error:
            self._give_up(error)
        return self._failed

    async def close(self) -> None:
        """Close every connection."""
        self._abort(*filter(None, self._lines))

    def _abort(self, *lines: Line) -> None:
        """Await nothing more of these."""
        for line in lines:
            self._asked.pop(line, None)
            line.abort()

    async def _open_lines(self, count: int) -> None:
        for place, line in enumerate(self._lines[:count]):
            if line is None or not line.is_open:
                async with asyncio.timeout(ANSWER_S):
                    self._lines[place] = await connect(self._origin)

    def _next(self, line: Line | None) -> None:
        if self._names and line is not None and line.is_open and line not in self._asked:
            name, (before, after), body = self._names.popleft(), self._head, self._body
            self._asked[line] = name
            request = b"%b%b%b%d\r\n\r\n%b" % (before, name.encode(), after, len(body), body)
            line.ask(request, functools.partial(self._answered, line), limit=LONGEST_ANSWER)

    def _answered(self, line: Line, outcome: Answered | Exception) -> None:
        name = self._asked.pop(line)
        if isinstance(outcome, Exception):
            self._failed[name] = ServiceUnavailable(str(outcome))
        elif not 200 <= outcome.reply.status < 300:
            self._failed[name] = from_answer(outcome.reply.status, outcome.reply.body)
        self._left -= 1
        if not self._left and self._all is not None and not self._all.done():
            self._all.set_result(None)
            return
        self._next(line)
        if self._names and not any(each is not None and each.is_open for each in self._lines):
            self._give_up(ConnectionError("every connection was lost"))

    def _give_up(self, error: Exception) -> None:
        """Nothing more is to be had of this round: what is under way is cut, what waits has failed."""
        waiting, self._names = [*self._names, *self._asked.values()], deque()
        self._abort(*self._asked)
        reason = ServiceUnavailable(f"cannot reach {self._access.server}: {error or type(error).__name__}")
        self._failed.update(dict.fromkeys(waiting, reason))
        if self._all is not None and not self._all.done():
            self._all.set_result(None)
