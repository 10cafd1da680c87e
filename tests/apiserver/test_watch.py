import asyncio
import json
from typing import Any

import pytest

from bireme.api.codec import protobuf
from bireme.api.scheme import builtin
from bireme.apiserver.listed import Listed
from bireme.apiserver.negotiation import PROTOBUF
from bireme.apiserver.views import ObjectView, PartialView, WholeView
from bireme.apiserver.watch import PIECE_BYTES, beginning
from bireme.http.interface import WebSocketUpgrade
from bireme.registry.headers import HeaderReader
from bireme.registry.kinds import kind_of
from bireme.registry.record import encode
from bireme.registry.watcher import BUFFERED_FRAMES

CONFIGS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"


def config(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


async def collect(door: Any, path: str, *, seconds: float = 100) -> list[Any]:
    """All events of a watch that ends by itself while the clock goes on."""
    seen: list[Any] = []

    async def read() -> None:
        seen.extend([event async for event in door.watch(path)])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        await door.clock.advance(seconds)
    return seen


def told(events: list[Any]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def test_a_watch_without_a_version_begins_with_what_is_there(opened):
    async with opened() as door:
        await door.make(CONFIGS, config("a"))
        events = await collect(door, f"{CONFIGS}?watch=1&timeoutSeconds=3")
        assert told(events) == [("ADDED", "a")]


async def test_a_watch_resumes_after_a_version(opened):
    async with opened() as door:
        made = await door.make(CONFIGS, config("a"))
        await door.make(CONFIGS, config("b"))
        await door.ask("PATCH", f"{CONFIGS}/a", {"data": {"k": "v"}}, content_type=MERGE)
        deleted = await door.ask("DELETE", f"{CONFIGS}/b")
        assert deleted.status == 200
        version = made["metadata"]["resourceVersion"]
        events = await collect(door, f"{CONFIGS}?watch=1&timeoutSeconds=3&resourceVersion={version}")
        assert told(events) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
        versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
        assert versions == sorted(set(versions))


async def test_leaving_a_selection_is_told_as_a_delete(opened):
    async with opened() as door:
        made = await door.make(CONFIGS, config("a", app="x"))
        for app in ("y", "x"):
            await door.ask("PATCH", f"{CONFIGS}/a", {"metadata": {"labels": {"app": app}}}, content_type=MERGE)
        version = made["metadata"]["resourceVersion"]
        path = f"{CONFIGS}?watch=1&timeoutSeconds=3&labelSelector=app%3Dx&resourceVersion={version}"
        events = await collect(door, path)
        assert told(events) == [("DELETED", "a"), ("ADDED", "a")]
        assert events[0]["object"]["metadata"]["labels"] == {"app": "x"}
        assert int(events[0]["object"]["metadata"]["resourceVersion"]) == int(version) + 1


async def test_a_node_hears_of_its_own_pods_only(opened):
    async with opened() as door:
        spec = {"containers": [{"name": "c", "image": "i"}]}
        for name in ("a", "b"):
            await door.make(PODS, {"metadata": {"name": name}, "spec": spec})
        version = (await door.ask("GET", PODS)).tree["metadata"]["resourceVersion"]
        await door.make(f"{PODS}/a/binding", {"target": {"name": "n1"}})
        await door.make(f"{PODS}/b/binding", {"target": {"name": "n2"}})
        path = f"/api/v1/pods?watch=1&timeoutSeconds=3&fieldSelector=spec.nodeName%3Dn1&resourceVersion={version}"
        assert told(await collect(door, path)) == [("ADDED", "a")]


async def test_initial_events_end_with_a_bookmark(opened):
    async with opened() as door:
        await door.make(CONFIGS, config("a"))
        query = "watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        query += "&allowWatchBookmarks=true"
        events = await collect(door, f"{CONFIGS}?{query}")
        assert told(events)[:2] == [("ADDED", "a"), ("BOOKMARK", "")]
        assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        refused = await door.ask("GET", f"{CONFIGS}?watch=1&sendInitialEvents=true")
        assert refused.status == 422


async def test_bookmarks_come_each_minute_and_before_the_end(opened):
    async with opened() as door:
        version = (await door.ask("GET", CONFIGS)).tree["metadata"]["resourceVersion"]
        path = f"{CONFIGS}?watch=1&timeoutSeconds=100&allowWatchBookmarks=true&resourceVersion={version}"
        events = await collect(door, path, seconds=110)
        assert [event["type"] for event in events] == ["BOOKMARK", "BOOKMARK"]
        assert events[0]["object"]["kind"] == "ConfigMap"


async def test_a_version_that_is_too_old_is_gone(opened):
    async with opened() as door:
        made = await door.make(CONFIGS, config("a"))
        await door.clock.advance(1000)
        await door.make(CONFIGS, config("b"))
        await door.clock.advance(1000)
        version = int(made["metadata"]["resourceVersion"]) - 1
        (event,) = [event async for event in door.watch(f"{CONFIGS}?watch=1&resourceVersion={version}")]
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert event["object"]["message"].startswith(f"too old resource version: {version} (")


async def test_a_version_to_come_is_waited_for(opened):
    async with opened() as door:
        version = int((await door.make(CONFIGS, config("a")))["metadata"]["resourceVersion"])
        watch = door.watch(f"{CONFIGS}?watch=1&resourceVersion={version + 1}")
        await door.make(CONFIGS, config("b"))
        await door.make(CONFIGS, config("c"))
        assert told([await anext(watch)]) == [("ADDED", "c")]
        await watch.aclose()


class Socket:
    """The client's end of a WebSocket: what it was sent, and when it leaves."""

    protocol = ""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[bytes | str] = asyncio.Queue()
        self.left = asyncio.Event()

    async def send(self, message: bytes | str) -> None:
        await self.sent.put(message)

    async def receive(self) -> bytes | str | None:
        await self.left.wait()
        return None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.left.set()


async def test_old_clients_watch_over_a_websocket(opened):
    async with opened() as door:
        await door.make(CONFIGS, config("a"))
        await door.make(CONFIGS, config("b"))
        offer = {"upgrade": "websocket", "sec_websocket_protocol": "base64.binary.k8s.io, x"}
        text = await door.raw("GET", f"{CONFIGS}?watch=1", **offer)
        binary = await door.raw("GET", f"{CONFIGS}?watch=1", **offer, accept=PROTOBUF)
        assert isinstance(text, WebSocketUpgrade)
        assert isinstance(binary, WebSocketUpgrade)
        assert text.protocol == "base64.binary.k8s.io"
        first, second = Socket(), Socket()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(text.run(first))
            tasks.create_task(binary.run(second))
            events = [json.loads(await first.sent.get()) for _ in range(2)]
            assert told(events) == [("ADDED", "a"), ("ADDED", "b")]
            frames = [protobuf.decode(await second.sent.get()) for _ in range(2)]
            assert told(frames) == [("ADDED", "a"), ("ADDED", "b")]
            await door.ask("DELETE", f"{CONFIGS}/a")
            assert told([json.loads(await first.sent.get())]) == [("DELETED", "a")]
            first.left.set()
            second.left.set()


async def test_old_watch_paths_still_lead_there(opened):
    async with opened() as door:
        await door.make(CONFIGS, config("a"))
        path = "/api/v1/watch/namespaces/default/configmaps?timeoutSeconds=1"
        assert told(await collect(door, path)) == [("ADDED", "a")]
        path = "/api/v1/watch/namespaces/default/configmaps/a?timeoutSeconds=1"
        assert told(await collect(door, path)) == [("ADDED", "a")]


async def test_a_watcher_that_never_reads_is_dropped(opened):
    async with opened() as door:
        answer = await door.raw("GET", f"{CONFIGS}?watch=1&resourceVersion=1")
        for number in range(BUFFERED_FRAMES + 2):
            await door.ask("PATCH", f"{CONFIGS}/a", {"data": {"k": str(number)}}, content_type=MERGE)
            if number == 0:
                await door.make(CONFIGS, config("a"))
        await door.clock.advance(0)
        assert [chunk async for chunk in answer.chunks] == []


async def test_a_watch_from_far_back_tells_all_that_was_missed(opened):
    async with opened() as door:
        await door.make(CONFIGS, config("a"))
        written = range(BUFFERED_FRAMES + 10)
        for number in written:
            await door.ask("PATCH", f"{CONFIGS}/a", {"data": {"k": str(number)}}, content_type=MERGE)
        answer = await door.raw("GET", f"{CONFIGS}?watch=1&resourceVersion=1&timeoutSeconds=1")
        frames: list[dict[str, Any]] = []
        async with asyncio.timeout(60):
            async for chunk in answer.chunks:
                frames += map(json.loads, chunk.splitlines())
                if len(frames) > len(written):
                    break
        assert [frame["object"].get("data", {}).get("k") for frame in frames] == [None, *map(str, written)]


POD = kind_of(builtin().of_kind("", "v1", "Pod"))


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(WholeView(POD, Listed(lambda: 0.0)), id="whole objects, kept once they were told twice"),
        pytest.param(PartialView(POD, "v1"), id="metadata"),
    ],
)
def test_what_there_is_is_told_in_pieces_and_to_all_alike(view: ObjectView) -> None:
    trees = [{"metadata": {"name": f"p{number}", "annotations": {"a": "x" * 20 * number}}} for number in range(150)]
    read = HeaderReader(POD.resource).read
    records = [read(f"{POD.key_prefix}n/p{at}", encode(POD.resource, tree), at + 1) for at, tree in enumerate(trees)]
    frames = [view.frame("ADDED", record, record.revision) for record in records]
    for _ in range(3):
        pieces = list(beginning(view, records))
        assert b"".join(pieces) == b"".join(frames)
        assert 1 < len(pieces) < len(records)
        assert max(map(len, pieces)) < PIECE_BYTES + max(map(len, frames))
