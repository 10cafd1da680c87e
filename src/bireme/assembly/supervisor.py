"""The small process that keeps the others running: the core and the node.

It starts them, starts again what ends, with a growing wait, and on SIGTERM stops them in order: first the
node, then every container and containerd, then the core. It writes who runs to `parts.json`. Should it be
killed itself, the others carry on; the next `bireme up` ends them by the ids recorded there and starts afresh,
while the containers, children of their shims alone, run through all of it. Containerd keeps its id in a file of
its own (runtime/containerd.py), since it too outlives us.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock, RealClock
from bireme.config import Config
from bireme.runtime.host_changes import HostChanges, process_start

RESTART = Backoff(initial_s=0.1, limit_s=5.0)
STEADY_S = 5.0
STOP_S = 10.0


@dataclass(slots=True)
class Part:
    """One process that is kept running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0


def parts_of(config: Config) -> list[Part]:
    """What runs on this machine. The node looks after containerd itself, which outlives it."""
    settings = str(config.data / "config.json")
    python = [sys.executable, "-m", "bireme.cli.main"]
    # gRPC's fork handlers only get in the way: children are exec'ed at once.
    quiet = {"GRPC_ENABLE_FORK_SUPPORT": "0"}
    if config.is_simulated:
        return [Part("core", [*python, "run-simulated", settings])]
    return [Part("core", [*python, "run-core", settings]), Part("node", [*python, "run-node", settings], quiet)]


class Supervisor:
    """Keeps the parts of one cluster running until it is told to stop."""

    def __init__(self, config: Config, *, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._changes = HostChanges(config.changes)
        self._parts = parts_of(config)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        async with asyncio.TaskGroup() as tasks:
            keepers = {part.name: tasks.create_task(self._keep(part), name=part.name) for part in self._parts}
            await self._stopping.wait()
            if "node" in keepers:
                await self._stop("node", keepers["node"])
                await self._stop_containers()
            await self._stop("core", keepers["core"])
        self._config.parts.unlink(missing_ok=True)

    async def _keep(self, part: Part) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            with (self._config.logs / f"{part.name}.log").open("ab") as output:
                part.process = await asyncio.create_subprocess_exec(
                    *part.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **part.environment},
                    start_new_session=True,
                )
            self._note(part.process.pid)
            await part.process.wait()
            if self._stopping.is_set():
                return
            part.restarts += 1
            failures = 1 if self._clock.monotonic() - began > STEADY_S else failures + 1
            await self._clock.sleep(RESTART.delay(failures))

    async def _stop(self, name: str, keeper: asyncio.Task[None]) -> None:
        part = next(part for part in self._parts if part.name == name)
        process = part.process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper

    async def _stop_containers(self) -> None:
        command = [sys.executable, "-m", "bireme.cli.main", "stop-containers", str(self._config.data / "config.json")]
        with (self._config.logs / "supervisor.log").open("ab") as output:
            process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
            await process.wait()

    def _note(self, pid: int) -> None:
        """Write down who runs. A full disk must not end the supervisor, and with it the restarts."""
        try:
            self._changes.record("process", str(pid), before=process_start(pid))
            self._write_parts()
        except OSError as error:
            print(f"supervisor: cannot note process {pid}: {error}", file=sys.stderr, flush=True)

    def _write_parts(self) -> None:
        running = {
            part.name: {
                "pid": part.process.pid,
                "started": process_start(part.process.pid),
                "restarts": part.restarts,
            }
            for part in self._parts
            if part.process is not None
        }
        running["supervisor"] = {"pid": os.getpid(), "started": process_start(os.getpid()), "restarts": 0}
        fresh = self._config.parts.with_suffix(".new")
        fresh.write_text(json.dumps(running))
        os.replace(fresh, self._config.parts)


def run(settings: Path) -> None:
    """Supervise the cluster whose settings are in this file; returns when it has been stopped."""
    asyncio.run(Supervisor(Config.load(settings), clock=RealClock()).run())
