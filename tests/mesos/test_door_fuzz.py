"""Whatever is sent to the master's door, it answers as the original could, and goes on working."""

from random import Random
from typing import Any

import orjson
from mesos_world import Scheduler, master_over, node

from bireme.aio.clock import VirtualClock
from bireme.http.interface import Query, Request, Response, Stream
from bireme.ledger.ledger import Ledger
from bireme.mesos import protocol
from bireme.mesos.messages import EnumType, MessageType, enum, find, message
from support.cluster import cluster

ANSWERS = {200, 202, 400, 401, 403, 404, 405, 406, 415, 501}
PATHS = [
    "/",
    "",
    "//",
    "/state",
    "/state/",
    "/%2e%2e",
    "/api/v1/",
    "/api/v1/scheduler/x",
    "/tasks",
    "/master",
    "/x.json",
]
ODD: list[Any] = [None, True, -1, 2**63, 1e308, "", "x", "Infinity", [], {}, [[]], "\u0000", "TASK_RUNNING", "AAAA"]


def noise(of: MessageType, dice: Random, depth: int = 0) -> dict[str, Any]:
    """A tree that is nearly such a message."""
    tree: dict[str, Any] = {}
    for name, field in of.fields.items():
        if not field.required and dice.random() > 0.6 / (depth + 1):
            continue
        kind = None if field.is_scalar else find(field.type)
        if dice.random() < 0.05:
            item: Any = dice.choice(ODD)
        elif isinstance(kind, EnumType):
            item = dice.choice(list(kind.numbers))
        elif kind is not None:
            item = noise(kind, dice, depth + 1) if depth < 6 else {}
        else:
            item = {"string": dice.choice(["a", "", "*", "t1"]), "bytes": "A" * 22 + "==", "bool": True}.get(
                field.type, 1
            )
        tree[name] = {"k": item} if field.map else [item] if field.repeated else item
    return tree


async def test_calls_of_all_sorts() -> None:
    clock, dice = VirtualClock(), Random(7)
    async with cluster(clock=clock) as here, master_over(here.client, clock, Ledger()) as world:
        await world.add_node(node("node-0"))
        scheduler = Scheduler(world)
        await scheduler.subscribe()
        kinds = list(enum("mesos.v1.scheduler.Call.Type").numbers)
        for _ in range(400):
            call = noise(message(protocol.SCHEDULER_CALL), dice) | {"type": dice.choice(kinds)}
            call[call["type"].lower()] = noise_for(call["type"], dice)
            call["framework_id"] = {"value": scheduler.framework_id}
            offers = [{"value": offer} for offer in world.master.offers._offers]
            if call["type"] == "ACCEPT" and isinstance(call["accept"], dict):
                call["accept"]["offer_ids"] = offers
            if call["type"] in ("TEARDOWN", "SUBSCRIBE"):
                continue
            headers = {"mesos-stream-id": scheduler.stream_id}
            answer = await world.post("/api/v1/scheduler", orjson.dumps(call), headers=headers)
            assert answer.status in ANSWERS
            await clock.advance(1)
            await scheduler.pump()
        await clock.advance(70)
        assert not scheduler.ended
        assert (await world.get("/state"))["frameworks"][0]["id"] == scheduler.framework_id


def noise_for(kind: str, dice: Random) -> Any:
    field = message(protocol.SCHEDULER_CALL).fields.get(kind.lower())
    return noise(message(field.type), dice) if field is not None and dice.random() < 0.95 else dice.choice(ODD)


async def test_requests_of_all_sorts() -> None:
    clock, dice = VirtualClock(), Random(8)
    async with cluster(clock=clock) as here, master_over(here.client, clock, Ledger()) as world:
        for _ in range(500):
            headers = {"authorization": "Basic Ym9iOnNlY3JldA=="}
            if dice.random() < 0.8:
                headers["content-type"] = dice.choice(["application/json", "application/x-protobuf", "text/plain"])
            call = noise(message(protocol.MASTER_CALL), dice)
            body = dice.choice([orjson.dumps(call, option=0), dice.randbytes(40), b"", b"{", b"9" * 5000])
            request = Request(
                dice.choice(["GET", "POST", "PUT", "DELETE", "X"]),
                dice.choice(PATHS),
                Query.parse(dice.choice(["", "limit=-1", "jsonp=a", "jsonp=<x>", "task_id=%00", "a&b&&=="])),
                headers,
                body,
            )
            answer = await world.door.handle(request)
            assert isinstance(answer, Response | Stream)
            assert answer.status in ANSWERS
