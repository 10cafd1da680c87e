"""How far behind a write is the thousandth watcher, and how many writes a second can all of them follow?

A core process of its own with everything on; a second process holds a thousand watches of config maps over TLS and
reads them as fast as it can, this one writes. Both ends tell the time of one clock. An event is some 0.5 KB. In the
first part one write follows another when all have heard of it; in the second, writes come at a steady rate and
every watcher must get every event: the delay is from sending the write to having read its event.
"""

import argparse
import json
import resource
import selectors
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from api_load import let_in
from api_requests import core, cpu_s, door, settings
from cluster import end_on_signal
from door import Door, message
from report import Figure, report

from bireme.config import Config

MAPS = "/api/v1/namespaces/default/configmaps"
WATCHERS = 1_000
RATES = (100, 250, 500, 750, 1_000)
LATE_MS = 250.0
WRITERS = 48
MAPS_TOLD = 256
MARK = b'"sent":"'


class Watch:
    """One watch that has begun: a socket that is read without waiting, and what it has heard."""

    def __init__(self, config: Config) -> None:
        one = door(config)
        one._socket.sendall(message("GET", f"{MAPS}?watch=true&labelSelector=bench%3Dyes&resourceVersion=0"))
        one._until(b"\r\n\r\n")
        self.socket: ssl.SSLSocket = one._socket  # type: ignore[assignment]
        self.socket.setblocking(False)
        self.door: Door = one
        self.tail = b""

    def heard(self) -> list[int]:
        """When each event that has come was sent, in nanoseconds."""
        try:
            data = self.socket.recv(1 << 18)
        except (ssl.SSLWantReadError, BlockingIOError):
            return []
        if not data:
            raise RuntimeError("the server ended a watch")
        text = self.tail + data
        first, *pieces = text.split(MARK)
        if not pieces:
            self.tail = first[-len(MARK) :]
            return []
        last = pieces[-1]
        if b'"' in last:
            self.tail = last[-len(MARK) :]
        else:
            self.tail = MARK + pieces.pop()
        return [int(piece[: piece.index(b'"')]) for piece in pieces]


def listen(config: Config, count: int) -> None:
    """Hold the watches; tell the delays (microseconds) as lines of JSON, until the input ends."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        watch = Watch(config)
        selector.register(watch.socket, selectors.EVENT_READ, watch)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    delays: list[int] = []
    last = time.monotonic()
    while not stop.is_set():
        for key, _ in selector.select(0.1):
            watch: Watch = key.data
            while True:  # TLS may hold more than the socket shows
                now = time.monotonic_ns()
                delays += [(now - sent) // 1000 for sent in watch.heard()]
                if not watch.socket.pending():
                    break
        if delays and time.monotonic() - last > 0.2:
            sys.stdout.write(json.dumps(delays) + "\n")
            sys.stdout.flush()
            delays, last = [], time.monotonic()


class Listeners:
    """The process that watches."""

    def __init__(self, folder: Path, count: int) -> None:
        command = [sys.executable, __file__, "--listen", str(folder), "--watchers", str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self.delays: list[float] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.delays += [micro / 1e3 for micro in json.loads(line)]

    def wait_for(self, count: int, *, seconds: float) -> bool:
        """Whether `count` events have been heard in all within that time."""
        deadline = time.monotonic() + seconds
        while len(self.delays) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(self.delays) >= count

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._reader.join()


def write(one: Door, number: int) -> None:
    """Change a config map; the event says when that was asked."""
    patch: Any = {"data": {"sent": str(time.monotonic_ns()), "number": str(number)}}
    one.ask(message("PATCH", f"{MAPS}/told-{number % MAPS_TOLD}", patch, media="application/merge-patch+json"))


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def one_by_one(one: Door, listeners: Listeners, times: int, count: int) -> list[float]:
    """The p50 of each write's delays over all watchers."""
    found = []
    for number in range(times):
        before = len(listeners.delays)
        write(one, number)
        if not listeners.wait_for(before + count, seconds=10):
            raise RuntimeError("not every watcher heard of a write")
        found.append(percentile(listeners.delays[before:], 0.5))
    return found


def steady(config: Config, listeners: Listeners, rate: int, seconds: float, count: int) -> float | None:
    """The p99 of the delays at a steady rate; None where not all was heard, or the writers could not keep up."""
    before, begin = len(listeners.delays), time.monotonic()
    total, numbers = int(rate * seconds), iter(range(int(rate * seconds)))
    lock = threading.Lock()

    def work() -> None:
        with door(config) as one:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                time.sleep(max(0.0, begin + number / rate - time.monotonic()))
                write(one, number)

    threads = [threading.Thread(target=work) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept_up = time.monotonic() - begin < seconds * 1.1
    heard = listeners.wait_for(before + total * count, seconds=20)
    return percentile(listeners.delays[before:], 0.99) if kept_up and heard else None


def ladder(config: Config, listeners: Listeners, count: int, seconds: float) -> Iterator[Figure]:
    """p99 at each rate, until one is too late; then the highest that was not."""
    best = 0
    for rate in RATES:
        late = steady(config, listeners, rate, seconds, count)
        if late is None:
            break
        target = f"at most {LATE_MS:.0f}" if rate == 500 else ""
        yield Figure(f"{rate} writes/s to {count:,} watchers, p99 behind", "ms", [late], target)
        if late > LATE_MS:
            break
        best = rate
    yield Figure(
        f"writes/s that {count:,} watchers follow within {LATE_MS:.0f} ms", "writes/s", [best], "at least 500"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watchers", type=int, default=WATCHERS)
    parser.add_argument("--writes", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each rate lasts")
    parser.add_argument("--listen", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    count = arguments.watchers
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if arguments.listen:
        listen(Config.load(arguments.listen / "data" / "config.json"), count)
        return
    end_on_signal()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        process = stack.enter_context(core(config := settings(folder)))
        let_in(config)
        one = stack.enter_context(door(config))
        for number in range(MAPS_TOLD):
            labels = {"name": f"told-{number}", "labels": {"bench": "yes"}}
            one.ask(message("POST", MAPS, {"metadata": labels, "data": {"sent": "0", "text": "x" * 200}}))
        idle = memory(process.pid)
        listeners = Listeners(folder, count)
        stack.callback(listeners.close)
        time.sleep(2)
        per_watch = (memory(process.pid) - idle) / count
        used = cpu_s(process)
        alone = one_by_one(one, listeners, arguments.writes, count)
        cpu = (cpu_s(process) - used) * 1e6 / (arguments.writes * count)
        figures = [
            Figure(f"a write is heard by {count:,} watchers, p50", "ms", alone, "at most 20"),
            Figure("an event to one watcher: CPU of the core", "us", [cpu]),
            Figure("memory for one watch", "KiB", [per_watch / 1024]),
            *ladder(config, listeners, count, arguments.seconds),
        ]
    report("A thousand watchers", figures)


def memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
