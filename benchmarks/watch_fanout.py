"""How far behind a write is the thousandth watcher, and how many writes a second can all of them follow?

A core process of its own with everything on; a second process holds a thousand watches of config maps over TLS and
reads them as fast as it can, this one writes. Both ends tell the time of one clock. An event is some 0.8 KB. In the
first part one write follows another when all have heard of it; in the second, writes come at a steady rate and
every watcher must get every event: the delay is from sending the write to having read its event. The reader is kept
cheap, for on a small machine it takes from the core what it uses: of the events that one read brings, which are
counted one by one, all are held to be as late as the oldest. Its CPU stands beside the core's.
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
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from api_load import let_in
from api_requests import core, cpu_s, door, settings
from cluster import end_on_signal
from door import Door, message
from report import Figure, report

from bireme.config import Config

MAPS = "/api/v1/namespaces/default/configmaps"
WATCHERS = 1_000
RATES = (100, 250, 400, 500, 750, 1_000)
LATE_MS = 250.0
WRITERS = 48
MAPS_TOLD = 256
MARK = b"~~~~~~~~"
"""Stands before the time in an event; nothing else holds it, and it is found in long strides."""
WARM_S = 1.0
"""At a steady rate, what is heard so soon does not count."""
TIME = 24
"""No time has more digits."""
RECORD = 16_384
"""The most that TLS gives at once."""


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

    def heard(self, buffer: bytearray) -> tuple[int, int]:
        """How many events have come, and when the oldest of them was sent, in nanoseconds."""
        end = len(self.tail)
        buffer[:end] = self.tail
        view = memoryview(buffer)
        try:
            while end + RECORD <= len(buffer):
                size = self.socket.recv_into(view[end:])
                if not size:
                    raise RuntimeError("the server ended a watch")
                end += size
                if size < RECORD and not self.socket.pending():
                    break
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        return self._told(buffer, end)

    def _told(self, buffer: bytearray, end: int) -> tuple[int, int]:
        last = buffer.rfind(MARK, max(0, end - len(MARK) - TIME), end)
        cut = end - len(MARK) if last < 0 or buffer.find(b'"', last, end) >= 0 else last
        self.tail = bytes(buffer[max(0, cut) : end])
        first = buffer.find(MARK, 0, end)
        if first < 0 or first == last == cut:
            return 0, 0
        sent = int(buffer[first + len(MARK) : buffer.index(b'"', first)])
        return buffer.count(MARK, first, end) - (last == cut), sent


def _set_at_end(event: threading.Event) -> None:
    """When there is no more input."""
    sys.stdin.read()
    event.set()


def listen(config: Config, count: int) -> None:
    """Hold the watches; tell in lines of JSON how many events were how late, in 0.1 ms, until the input ends."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        watch = Watch(config)
        selector.register(watch.socket, selectors.EVENT_READ, watch)
    stop = threading.Event()
    threading.Thread(target=_set_at_end, args=(stop,), daemon=True).start()
    buffer = bytearray(1 << 18)
    late: Counter[int] = Counter()
    last = time.monotonic()
    while not stop.is_set():
        for key, _ in selector.select(0.1):
            events, sent = key.data.heard(buffer)
            if events:
                late[(time.monotonic_ns() - sent) // 100_000] += events
        if late and time.monotonic() - last > 0.2:
            sys.stdout.write(json.dumps(late) + "\n")
            sys.stdout.flush()
            late, last = Counter(), time.monotonic()


class Listeners:
    """The process that watches."""

    def __init__(self, folder: Path, count: int) -> None:
        command = [sys.executable, __file__, "--listen", str(folder), "--watchers", str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = psutil.Process(self._process.pid)
        self._late: Counter[float] = Counter()
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._more:
                self._late.update({int(tenths) / 10: events for tenths, events in json.loads(line).items()})
                self._more.notify_all()

    def take(self) -> Counter[float]:
        """How many were how late, in milliseconds, since the last call."""
        with self._more:
            late, self._late = self._late, Counter()
        return late

    def wait_for(self, count: int, *, seconds: float) -> Counter[float] | None:
        """The same once there are `count`; None where they did not come in that time."""
        with self._more:
            all_came = self._more.wait_for(lambda: self._late.total() >= count, seconds)
        late = self.take()
        return late if all_came else None

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._reader.join()


def write(one: Door, number: int) -> None:
    """Change a config map; the event says when that was asked."""
    patch: Any = {"data": {"sent": f"{MARK.decode()}{time.monotonic_ns()}", "number": str(number)}}
    one.ask(message("PATCH", f"{MAPS}/told-{number % MAPS_TOLD}", patch, media="application/merge-patch+json"))


def percentile(late: Counter[float], share: float) -> float:
    """The delay that so great a share of the events did not exceed."""
    left = late.total() * share
    for delay in sorted(late):
        left -= late[delay]
        if left <= 0:
            return delay
    return 0.0


def one_by_one(one: Door, listeners: Listeners, times: int, count: int) -> list[float]:
    """The p50 of each write's delays over all watchers."""
    found = []
    for number in range(times):
        write(one, number)
        late = listeners.wait_for(count, seconds=10)
        if late is None:
            raise RuntimeError("not every watcher heard of a write")
        found.append(percentile(late, 0.5))
    return found


@dataclass(frozen=True, slots=True)
class Steady:
    """The delays at a steady rate (None: not all was heard, or the writers could not keep up), and what it took."""

    p99_ms: float | None
    core: float
    reader: float


def steady(
    config: Config, process: psutil.Process, listeners: Listeners, rate: int, seconds: float, count: int
) -> Steady:
    """Writes at a steady rate. CPU is in cores, from the first write to when the last was heard."""
    seconds += WARM_S
    total, numbers = int(rate * seconds), iter(range(int(rate * seconds)))
    lock, connected, begun = threading.Lock(), threading.Barrier(WRITERS + 1), threading.Event()
    begin = 0.0

    def work() -> None:
        with door(config) as one:
            connected.wait()
            begun.wait()
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
    connected.wait()
    used, used_reading, begin = cpu_s(process), cpu_s(listeners.process), time.monotonic()
    begun.set()
    time.sleep(WARM_S)
    early = listeners.take().total()
    for thread in threads:
        thread.join()
    kept_up = time.monotonic() - begin < seconds * 1.1
    late = listeners.wait_for(total * count - early, seconds=20)
    return Steady(
        percentile(late, 0.99) if kept_up and late else None,
        (cpu_s(process) - used) / seconds,
        (cpu_s(listeners.process) - used_reading) / seconds,
    )


def ladder(
    config: Config, process: psutil.Process, listeners: Listeners, count: int, seconds: float
) -> Iterator[Figure]:
    """p99 at each rate and what it took, until one is too late; then the highest that was not."""
    best = 0
    for rate in RATES:
        found = steady(config, process, listeners, rate, seconds, count)
        told = f"{rate} writes/s to {count:,} watchers"
        yield Figure(f"{told}: CPU of the core", "cores", [found.core])
        yield Figure(f"{told}: CPU of the reader", "cores", [found.reader])
        if found.p99_ms is None:
            break
        yield Figure(f"{told}, p99 behind", "ms", [found.p99_ms], f"at most {LATE_MS:.0f}" if rate == 500 else "")
        if found.p99_ms > LATE_MS:
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
            one.ask(
                message("POST", MAPS, {"metadata": labels, "data": {"sent": f"{MARK.decode()}0", "text": "x" * 200}})
            )
        idle = memory(process.pid)
        listeners = Listeners(folder, count)
        stack.callback(listeners.close)
        if listeners.wait_for(MAPS_TOLD * count, seconds=60) is None:
            raise RuntimeError("not every watcher was told what there is")
        per_watch = (memory(process.pid) - idle) / count
        used, used_reading, events = cpu_s(process), cpu_s(listeners.process), arguments.writes * count
        alone = one_by_one(one, listeners, arguments.writes, count)
        cpu = (cpu_s(process) - used) * 1e6 / events
        reading = (cpu_s(listeners.process) - used_reading) * 1e6 / events
        figures = [
            Figure(f"a write is heard by {count:,} watchers, p50", "ms", alone, "at most 20"),
            Figure("an event to one watcher: CPU of the core", "us", [cpu]),
            Figure("an event to one watcher: CPU of the reader", "us", [reading]),
            Figure("memory for one watch", "KiB", [per_watch / 1024]),
            *ladder(config, process, listeners, count, arguments.seconds),
        ]
    report("A thousand watchers", figures)


def memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
