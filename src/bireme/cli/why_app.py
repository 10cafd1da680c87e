"""`bireme why app/NAME`: why instances of a Marathon app wait, by what its queue says. Any Marathon will do."""

import asyncio
import base64
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from bireme.cli.clusters import find, root_of
from bireme.cli.errors import CliError

if TYPE_CHECKING:
    from bireme.marathon.unused_offers import Waiting

KINDS = ("app", "apps", "task", "tasks")
QUEUE = "/v2/queue?embed=lastUnusedOffers"
ANSWER_S = 60.0
FEW = 5


def explain_app(name: str, url: str, *, as_json: bool) -> str:
    """What to print about the app. `url` is Marathon's, "" for MARATHON_URL, or this machine's. Raises CliError."""
    return asyncio.run(_explained("/" + name.strip("/"), url or _address(), as_json=as_json))


def _address() -> str:
    if found := os.environ.get("MARATHON_URL", ""):
        return found
    from bireme.cli.env import variables

    return variables(find("bireme", root_of("bireme")))["MARATHON_URL"]


async def _explained(path: str, url: str, *, as_json: bool) -> str:
    import orjson

    from bireme.marathon.unused_offers import waiting

    asked = Asking(url)
    try:
        queue = await asked.get(QUEUE)
        item = next((each for each in queue["queue"] if _id(each) == path), None)
        app = (await asked.get(f"/v2/apps{path}"))["app"] if item is None else item.get("app") or {}
    finally:
        await asked.close()
    found = waiting(item) if item is not None else None
    if as_json:
        return orjson.dumps({"app": path, "waiting": found}, option=orjson.OPT_INDENT_2).decode()
    return "\n".join(_lines(found) if found is not None else _content(path, app))


def _id(item: dict[str, Any]) -> str:
    return str((item.get("app") or item.get("pod") or {}).get("id", ""))


class Asking:
    """Questions to one Marathon; a user and a password may stand in its URL."""

    def __init__(self, url: str) -> None:
        from bireme.http.requests import Session

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CliError("BIR-110", f"{url!r} is no address of a Marathon", remedy="--marathon http://HOST:8080")
        port = f":{parts.port}" if parts.port else ""
        self._url = f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers = {"accept": "application/json"}
        if parts.username:
            headers["authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        self._session = Session(headers=headers, timeout_s=ANSWER_S)

    async def get(self, path: str) -> Any:
        """The answer. Raises CliError."""
        import orjson

        from bireme.http.requests import RequestFailed

        try:
            reply = await self._session.request("GET", self._url + path)
        except RequestFailed as error:
            raise CliError("BIR-110", f"no Marathon: {error}", remedy="bireme up, or --marathon URL") from error
        if reply.status == 404:
            raise CliError(
                "BIR-111", f"{self._url} has no app {path.removeprefix('/v2/apps')}", remedy="curl URL/v2/apps"
            )
        if reply.status in (401, 403):
            remedy = "eval $(bireme env), or --marathon http://USER:PASSWORD@HOST:8080"
            raise CliError("BIR-112", f"{self._url} does not let you see that", remedy=remedy)
        if reply.status != 200:
            raise CliError("BIR-110", f"{self._url}{path}: {reply.status}", remedy="curl URL/ping")
        return orjson.loads(reply.body)

    async def close(self) -> None:
        await self._session.close()


def _content(path: str, app: dict[str, Any]) -> Iterator[str]:
    running, wanted = int(app.get("tasksRunning", 0)), int(app.get("instances", 0))
    yield f"{path}: nothing waits for an offer; {running} of {wanted} instances run."
    if running < wanted:
        yield "  The others are being started or ended, or a deployment has another step to make first."


def _lines(found: "Waiting") -> Iterator[str]:
    yield f"{found.app}: {found.count} of {found.instances} instances wait for an offer since {found.since}."
    if found.delay_s:
        yield f"  It backs off after failures: none is launched for another {found.delay_s}s."
    if not found.processed:
        yield "  No offer has come: all is taken, or kept from its role by quotas and reservations."
        return
    yield f"  Of {found.processed} offers {found.unused} did not suit; in all, by the first reason:"
    yield from (f"    {count}  {reason}" for reason, count in found.attempts)
    for group in found.refused:
        count = len(group.offers)
        yield f"  The last offer of {count} host{'' if count == 1 else 's'}: {group.reason}"
        yield from (f"    {each.host}  {each.detail}".rstrip() for each in group.offers[:FEW])
        if count > FEW:
            yield f"    +{count - FEW} more"
    if found.advice:
        yield "What would help:"
        yield from (f"  {number}. {text}" for number, text in enumerate(found.advice, 1))
