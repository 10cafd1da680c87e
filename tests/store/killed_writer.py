"""Writes to a store until it is killed, round after round; started by `test_kill`.

This process forks a writer for each round (an interpreter is slow to start, a fork is not), reads what the
writer reports through a pipe, kills it at a random moment, and hands the next one all that was reported. A
writer first checks that the store holds it. Prints one JSON object with the counts at the end.
"""

import asyncio
import json
import os
import select
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bireme.aio.clock import RealClock
from bireme.store.core import Retention
from bireme.store.interface import Compacted, KeyConflict, Revision
from bireme.store.sqlite import SqliteLog, SqliteStore

PREFIX = "/registry/core/pods/"
WRITERS = 8


class SmallLog(SqliteLog):
    """Writes back often, so that there is much to interrupt."""

    checkpoint_bytes = 200_000


@dataclass
class Reported:
    """What writers told before they were killed."""

    newest: dict[str, tuple[int, str]] = field(default_factory=dict)  # by key: revision, value or ""
    writes: dict[int, tuple[str, str]] = field(default_factory=dict)  # by revision: key, value or ""
    acknowledged: int = 0
    shown: int = 0
    ready: int = 0  # writers that found everything in order
    wrong: list[str] = field(default_factory=list)

    def take(self, line: str) -> None:
        match line.split():
            case ["ready"]:
                self.ready += 1
            case ["wrong", *words]:
                self.wrong.append(" ".join(words))
            case ["shown", revision, key, *value]:
                self.shown = int(revision)
                self.note(int(revision), key, "".join(value))
            case ["wrote", revision, key, *value]:
                self.acknowledged += 1
                self.note(int(revision), key, "".join(value))

    def note(self, revision: int, key: str, value: str) -> None:
        if self.writes.setdefault(revision, (key, value)) != (key, value):
            self.wrong.append(f"revision {revision} was used twice")
        if revision > self.newest.get(key, (0, ""))[0]:
            self.newest[key] = revision, value


async def check(store: SqliteStore, reported: Reported) -> list[str]:
    """What is wrong with `store`, after what was reported of it."""
    told = max([reported.shown, *reported.writes])
    if store.revision < told:
        return [f"revision {told} was told, {store.revision} is there"]
    try:
        watch = store.watch("", after=Revision(reported.shown))
    except Compacted:
        return ["the watch cannot resume"]
    events = list(await anext(watch)) if store.revision > reported.shown else []
    if [event.revision for event in events] != list(range(reported.shown + 1, store.revision + 1)):
        return [f"the watch after {reported.shown} has gaps"]
    # what was under way when the writer died, and is there, is as good as acknowledged
    newest = dict(reported.newest)
    for event in events:
        newest[event.key] = event.revision, text_of(event.value)
        if reported.writes.get(event.revision, (event.key,))[0] != event.key:
            return [f"revision {event.revision} was acknowledged for another key"]
    held = {item.key: (item.revision, text_of(item.value)) for item in store.range("")}
    expected = {key: write for key, write in newest.items() if write[1]}
    return [
        f"{key} is {held.get(key)}, not {expected.get(key)}"
        for key in held.keys() | expected.keys()
        if held.get(key) != expected.get(key)
    ]


def text_of(value: bytes | None) -> str:
    """The name that a value begins with; the rest is padding."""
    return (value or b"").split(b".")[0].decode()


async def write_until_killed(path: Path, report: int, reported: Reported, random: Random) -> None:
    store = SqliteStore(path, retention=Retention(events=2_000), durable=SmallLog(path, clock=RealClock()))
    wrong = await check(store, reported)
    os.write(report, "".join(f"wrong {one}\n" for one in wrong).encode() + b"ready\n")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(show(store, report, Revision(reported.shown)))
        for number in range(WRITERS):
            tasks.create_task(write(store, report, f"{number}-{os.getpid()}", Random(random.random())))


async def show(store: SqliteStore, report: int, after: Revision) -> None:
    """A client that resumes where it was."""
    async for batch in store.watch(PREFIX, after=after):
        lines = [f"shown {event.revision} {event.key} {text_of(event.value)}\n" for event in batch]
        os.write(report, "".join(lines).encode())


async def write(store: SqliteStore, report: int, name: str, random: Random) -> None:
    number = 0
    while True:
        number += 1
        key = f"{PREFIX}ns/{random.randrange(200)}"
        value = f"{name}-{number}"
        try:
            if random.random() < 0.2:
                revision, text = (await store.delete(key, expect=None)).revision, ""
            else:
                padding = "." * random.choice([1, 3_000, 9_000])
                revision, text = (await store.put(key, (value + padding).encode(), expect=None)).revision, value
        except KeyConflict:
            continue
        os.write(report, f"wrote {revision} {key} {text}\n".encode())


def play_round(path: Path, reported: Reported, random: Random) -> None:
    """Fork a writer, kill it some time after it is ready, and take its report."""
    reading, report = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(reading)
        try:
            asyncio.run(write_until_killed(path, report, reported, random))
        except BaseException as error:
            os.write(report, f"wrong {type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os.close(report)
    text, deadline = b"", None
    while True:
        # a third is killed while it still opens the store
        if deadline is None and (b"ready\n" in text or random.random() < 0.01):
            deadline = time.monotonic() + random.uniform(0, 0.1)
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(writer, signal.SIGKILL)
            deadline = float("inf")
        if select.select([reading], [], [], 0.001)[0]:
            part = os.read(reading, 1 << 20)
            if not part:
                break
            text += part
    os.waitpid(writer, 0)
    os.close(reading)
    for line in text.decode().splitlines(keepends=True):
        if line.endswith("\n"):
            reported.take(line)


def main() -> None:
    path, rounds, random = Path(sys.argv[1]), int(sys.argv[2]), Random(int(sys.argv[3]))
    reported = Reported()
    for _ in range(rounds):
        play_round(path, reported, random)
    found = {"ready": reported.ready, "acknowledged": reported.acknowledged, "wrong": reported.wrong}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
