"""Traces: a CSV of what came when. Read strictly, and made by chance for those who have none.

`time` is needed, in seconds from the beginning; of the other columns those that are there count, and an empty field
is as if the column were not. A trace that is made resembles what was published of large clusters: arrivals that
follow the day, run times that are mostly short with a heavy tail, a few users who ask for most.
"""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bireme.api import resources
from bireme.simulation.reading import ScenarioError, seconds_of

DAY_S = 86400.0
MEMORY_STEP = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Row:
    """One job of a trace. What it does not say is None. cpu in millicores, memory in bytes."""

    at: float
    name: str = ""
    namespace: str = ""
    cpu: int | None = None
    memory: int | None = None
    duration: float | None = None
    priority: int | None = None


COLUMNS: Mapping[str, tuple[str, Any]] = {
    "time": ("at", seconds_of),
    "name": ("name", str),
    "namespace": ("namespace", str),
    "cpu": ("cpu", lambda word: resources.amount("cpu", word)),
    "memory": ("memory", lambda word: resources.amount("memory", word)),
    "duration": ("duration", seconds_of),
    "priority": ("priority", int),
}


def read_trace(path: Path) -> list[Row]:
    """The rows in the order of their time, those of one time as they stand. Raises ScenarioError."""
    try:
        with path.open(newline="") as file:
            return sorted(_rows(csv.reader(file), path.name), key=lambda row: row.at)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError(f"{path}: no CSV: {error}") from error


def _rows(lines: Iterator[list[str]], source: str) -> Iterator[Row]:
    header = [name.strip() for name in next(lines, [])]
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or "time" not in header:
        wrong = f"there is no column {unknown[0]!r}" if unknown else "the column 'time' is missing"
        raise ScenarioError(f"{source}:1: {wrong}; allowed: {', '.join(COLUMNS)}")
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        if len(line) != len(header):
            raise ScenarioError(f"{source}:{number}: {len(line)} fields in place of {len(header)}")
        yield _row(dict(zip(header, line, strict=True)), f"{source}:{number}")


def _row(line: dict[str, str], place: str) -> Row:
    told: dict[str, Any] = {}
    for name, word in line.items():
        field, convert = COLUMNS[name]
        if word := word.strip():
            try:
                told[field] = convert(word)
            except ValueError as error:
                raise ScenarioError(f"{place}: {name}: {word!r} can't be read: {error}") from error
    if "at" not in told:
        raise ScenarioError(f"{place}: time: is missing")
    return Row(**told)


def make_trace(*, jobs: int, hours: float, random: Random, users: int = 20) -> Iterator[tuple[Any, ...]]:
    """A trace's header and lines: about `jobs` of them over `hours`, in the order of their time."""
    yield tuple(COLUMNS)
    rate, at, number = jobs / (hours * 3600), 0.0, 0
    shares = [1.0 / (rank + 1) for rank in range(users)]
    while True:
        at += -math.log(1.0 - random.random()) / (rate * 1.4)
        if at >= hours * 3600:
            return
        if random.random() * 1.4 > 1 + 0.4 * math.cos(2 * math.pi * (at / DAY_S - 14 / 24)):
            continue
        user = random.choices(range(users), shares)[0]
        cpu = random.choices((100, 250, 500, 1000, 2000, 4000, 8000), (20, 20, 25, 20, 9, 4, 2))[0]
        memory = (
            max(1, round(cpu / 1000 * 2 * 2**30 * math.exp(0.7 * random.gauss(0, 1)) / MEMORY_STEP)) * MEMORY_STEP
        )
        length = min(12 * 3600.0, 90 * math.exp(1.6 * random.gauss(0, 1)))
        priority = 100 if random.random() < 0.1 else 0
        yield (
            round(at, 3),
            f"job-{number}",
            f"user-{user:02}",
            f"{cpu}m",
            f"{memory // 2**20}Mi",
            round(length, 1),
            priority,
        )
        number += 1
