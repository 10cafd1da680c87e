"""Logs as readers want them, from files as the engine writes them."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.aio.clock import VirtualClock
from bireme.api.errors import BadRequest, NotFound
from bireme.http.interface import Query
from bireme.kubelet.log_stream import Formatter, LogOptions, LogStream, open_beneath, read_options, tail_start

START = datetime(2026, 1, 1, tzinfo=UTC)
LINES = [
    b"2026-01-01T00:00:01.000000000Z stdout F one\n",
    b"2026-01-01T00:00:02.000000000Z stderr F two\n",
    b"2026-01-01T00:00:03.000000000Z stdout P thr\n",
    b"2026-01-01T00:00:03.500000000Z stdout F ee\n",
    b"2026-01-01T00:00:04.000000000+00:00 stdout F \n",
]
PATH = "ns_pod_uid/c/0.log"


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        pytest.param(LogOptions(), b"one\ntwo\nthree\n\n", id="all of it"),
        pytest.param(LogOptions(stream="stderr"), b"two\n", id="one stream"),
        pytest.param(LogOptions(limit=5), b"one\nt", id="so many bytes"),
        pytest.param(LogOptions(since=START + timedelta(seconds=3)), b"three\n\n", id="since a time"),
        pytest.param(
            LogOptions(timestamps=True, since=START + timedelta(seconds=3)),
            b"2026-01-01T00:00:03.000000000Z three\n2026-01-01T00:00:04.000000000+00:00 \n",
            id="times at the beginnings of lines alone",
        ),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_is_shown(options: LogOptions, shown: bytes, size: int) -> None:
    formatter, log, got = Formatter(options), b"".join(LINES), b""
    for start in range(0, len(log), size):
        got += formatter.feed(log[start : start + size])
    assert got == shown


@given(st.binary(max_size=300))
def test_a_damaged_log_is_no_error(log: bytes) -> None:
    Formatter(LogOptions(since=START, timestamps=True)).feed(log + b"\n")


@given(st.lists(st.binary(max_size=8).map(lambda line: line.replace(b"\n", b"x")), max_size=30), st.integers(0, 35))
def test_the_last_lines(lines: list[bytes], wanted: int) -> None:
    log = b"".join(line + b"\n" for line in lines)
    file = os.memfd_create("log")
    try:
        os.write(file, log)
        expected = b"".join(line + b"\n" for line in lines[max(0, len(lines) - wanted) :])
        assert log[tail_start(file, wanted) :] == expected
    finally:
        os.close(file)


def test_the_last_lines_of_a_long_log() -> None:
    file = os.memfd_create("log")
    os.write(file, b"".join(b"line %06d\n" % number for number in range(100_000)))
    start = tail_start(file, 60_000)
    assert os.pread(file, 12, start) == b"line 040000\n"
    os.close(file)


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", LogOptions()),
        ("follow=true&timestamps=1&previous=true", LogOptions(follow=True, timestamps=True, previous=True)),
        ("tailLines=0&limitBytes=3&stream=All", LogOptions(tail=0, limit=3)),
        ("sinceSeconds=60&stream=Stderr", LogOptions(since=START - timedelta(seconds=60), stream="stderr")),
        ("sinceTime=2026-01-01T00:00:00Z", LogOptions(since=START)),
    ],
)
def test_options(query: str, options: LogOptions) -> None:
    assert read_options(Query.parse(query), START) == options


@pytest.mark.parametrize(
    "query",
    [
        "tailLines=-1",
        "tailLines=x",
        "limitBytes=0",
        "sinceSeconds=0",
        "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
        "sinceTime=yesterday",
        "stream=Stdlog",
        "tailLines=" + "9" * 30,
    ],
)
def test_options_that_make_no_sense(query: str) -> None:
    with pytest.raises(BadRequest):
        read_options(Query.parse(query), START)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(LINES[:2]))
    return path


class Container:
    running = True

    async def is_running(self) -> bool:
        return self.running


async def test_a_log_that_ends(log: Path, tmp_path: Path) -> None:
    stream = LogStream(tmp_path, PATH, LogOptions(tail=1), clock=VirtualClock(), is_running=Container().is_running)
    assert [part async for part in stream] == [b"two\n"]
    await stream.aclose()


async def settled(clock: VirtualClock, task: "asyncio.Task[bytes]") -> bytes:
    """The next part of a followed log. Its reads are made in threads, which a virtual clock knows nothing of."""
    for _ in range(200):
        if task.done():
            return task.result()
        await clock.advance(0.1, settle=3)
        await asyncio.sleep(0.005)
    raise AssertionError("nothing came")


async def test_following_through_a_rotation_to_the_end(log: Path, tmp_path: Path) -> None:
    clock, container = VirtualClock(), Container()
    stream = LogStream(tmp_path, PATH, LogOptions(follow=True), clock=clock, is_running=container.is_running)
    async with asyncio.TaskGroup() as tasks:
        assert await settled(clock, tasks.create_task(anext(stream))) == b"one\ntwo\n"
        following = tasks.create_task(anext(stream))
        await clock.advance(0.3)
        with log.open("ab") as file:
            file.write(LINES[2])
        log.rename(f"{log}.1")
        log.write_bytes(LINES[3])
        assert await settled(clock, following) == b"thr"
        assert await settled(clock, tasks.create_task(anext(stream))) == b"ee\n"
        container.running = False
        ending = tasks.create_task(anext(stream, b"the end"))
        assert await settled(clock, ending) == b"the end"
    await stream.aclose()


async def test_lines_written_just_before_a_rotation_are_not_lost(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.pread

    def read_then_rotate(file: int, size: int, offset: int) -> bytes:
        """The end is reached; before anything else is done, a line comes and the file is moved aside."""
        data = read(file, size, offset)
        if not data and not Path(f"{log}.1").exists():
            with log.open("ab") as old:
                old.write(b"2026-01-01T00:00:03.000000000Z stdout F last\n")
            log.rename(f"{log}.1")
            log.write_bytes(b"2026-01-01T00:00:04.000000000Z stdout F first\n")
        return data

    monkeypatch.setattr(os, "pread", read_then_rotate)
    clock = VirtualClock()
    options = LogOptions(follow=True, tail=0)
    stream = LogStream(tmp_path, PATH, options, clock=clock, is_running=Container().is_running)
    async with asyncio.TaskGroup() as tasks:
        assert await settled(clock, tasks.create_task(anext(stream))) == b"last\n"
        assert await settled(clock, tasks.create_task(anext(stream))) == b"first\n"
    await stream.aclose()


@pytest.mark.parametrize("part", ["ns_pod_uid", "ns_pod_uid/c", PATH])
def test_links_are_refused(log: Path, tmp_path: Path, part: str) -> None:
    place = tmp_path / part
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotFound):
        open_beneath(tmp_path, PATH)


@pytest.mark.parametrize("path", ["../x", "ns_pod_uid/../../etc/passwd", "/etc/passwd", "", "ns_pod_uid//0.log", "c"])
def test_paths_do_not_lead_out(log: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(NotFound):
        open_beneath(tmp_path, path)


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotFound):
        open_beneath(tmp_path, "pipe")
