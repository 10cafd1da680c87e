"""Stories as text: requests after `>`, what the door answers after `<`.

`$FRAMEWORK`, `$STREAM`, `$AGENT` stand for what the world gave; an answer's body may end in `…` for "and more".
`REWRITE_STORIES=1 pytest` writes the answers anew, for review.
"""

import os
from pathlib import Path

import pytest
from mesos_world import Scheduler, World, master_over, node

from bireme.aio.clock import VirtualClock
from bireme.http.interface import Query, Request, Response, Stream
from bireme.ledger.ledger import Ledger
from support.cluster import cluster

SHOWN = ("www-authenticate", "allow", "location", "content-type")
STORIES = sorted((Path(__file__).parent / "stories").glob("*.txt"))


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
async def test_story(story: Path) -> None:
    clock = VirtualClock()
    async with cluster(clock=clock) as here, master_over(here.client, clock, Ledger()) as world:
        await world.add_node(node("node-0"))
        scheduler = Scheduler(world, principal="bob")
        await scheduler.subscribe(principal="bob")
        names = {
            "$FRAMEWORK": scheduler.framework_id,
            "$STREAM": scheduler.stream_id,
            "$AGENT": next(iter(world.master.roster.agents)),
        }
        blocks = [block.strip() for block in story.read_text().split("\n\n") if block.strip()]
        told = [await _play(world, block, names) for block in blocks]
    if os.environ.get("REWRITE_STORIES"):
        story.write_text("\n\n".join(told) + "\n")
    for expected, actual in zip(blocks, told, strict=True):
        _compare(expected, actual)


def _compare(expected: str, actual: str) -> None:
    if expected.endswith("…"):
        assert actual[: len(expected) - 1] == expected[:-1]
    else:
        assert actual == expected


async def _play(world: World, block: str, names: dict[str, str]) -> str:
    lines = block.split("\n")
    asked = [line[2:] for line in lines if line.startswith("> ")]
    kept = [line for line in lines if not line.startswith("< ")]
    if not asked:
        return "\n".join(kept)
    for name, value in names.items():
        asked = [line.replace(name, value) for line in asked]
    answer = await world.door.handle(_request(asked))
    assert isinstance(answer, Response | Stream)
    shown = [f"< {line}" for line in _shown(answer)]
    told = "\n".join([*kept, *shown])
    for name, value in names.items():
        told = told.replace(value, name)
    return told


def _request(lines: list[str]) -> Request:
    method, target = lines[0].split(" ")
    path, _, query = target.partition("?")
    headers: dict[str, str] = {"authorization": "Basic Ym9iOnNlY3JldA=="}
    body = ""
    for line in lines[1:]:
        name, colon, value = line.partition(": ")
        if colon and name.replace("-", "").isalpha() and not line.startswith(("{", "[")):
            headers[name] = value
        else:
            body += line
    return Request(method, path, Query.parse(query), headers, body.encode())


def _shown(answer: Response | Stream) -> list[str]:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if answer.content_type:
        headers["content-type"] = answer.content_type
    found = [str(answer.status), *(f"{name}: {headers[name]}" for name in SHOWN if name in headers)]
    if isinstance(answer, Response) and answer.body:
        found.append(answer.body.decode())
    return found
