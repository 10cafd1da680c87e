"""A real cluster in the test's own process: an API server over TLS, controllers, a scheduler, hollow nodes.

It runs on a thread with an event loop of its own, so that a test is plain code, and real clients reach it by its
kubeconfig. Its clock runs as the machine's does and can be put forward.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
import uvloop

from bireme.aio.clock import TravelClock
from bireme.simulation.cluster import SimulatedCluster, Wishes, simulated
from bireme.simulation.shapes import Shape
from bireme.testing import operators
from bireme.testing.client import Client, Tree, Trees

T = TypeVar("T")
START_S = 60.0


class Clock:
    """The cluster's clock, from the test's thread."""

    def __init__(self, clock: TravelClock, call: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._clock, self._call = clock, call

    def now(self) -> datetime:
        """The cluster's present."""
        return self._clock.now()

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Put it forward: what the cluster would wait for in that time happens now, in its order."""
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        self._call(self._clock.advance(span.total_seconds()))


class Cluster:
    """One cluster, from `start` to `stop`, or as long as a `with` block. `namespace` is where objects go."""

    def __init__(self, *, nodes: int = 0, controllers: bool = True, port: int = 0) -> None:
        self.namespace = "default"
        self._wishes = Wishes(nodes=nodes, controllers=controllers, port=port)
        self._thread = threading.Thread(target=self._run, name="bireme", daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._there: SimulatedCluster | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Return once the API serves, the nodes are Ready and pods can be made."""
        calm_logs()
        self._thread.start()
        if not self._ready.wait(START_S):
            raise TimeoutError(f"the cluster was not ready within {START_S:g}s")
        if self._failure is not None:
            raise RuntimeError("the cluster did not start") from self._failure
        there = self._cluster
        assert isinstance(there.clock, TravelClock)
        self.clock = Clock(there.clock, self._call)
        self._admin = self.client()
        return self

    def stop(self) -> None:
        """End it, and remove its folder. What it raised on the way is raised here."""
        if self._loop is not None and self._leave is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(START_S)
        if self._failure is not None:
            raise RuntimeError("the cluster ended badly") from self._failure

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except BaseException as error:  # it belongs to the thread that waits for us
            self._failure = error
        self._ready.set()

    async def _main(self) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        async with simulated(self._wishes, clock=TravelClock()) as there:
            self._there = there
            self._ready.set()
            await self._leave.wait()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def _cluster(self) -> SimulatedCluster:
        if self._there is None:
            raise RuntimeError("the cluster was not started")
        return self._there

    @property
    def has_controllers(self) -> bool:
        """Whether controllers and a scheduler run, or the API alone."""
        return self._wishes.controllers

    # Where it is

    @property
    def url(self) -> str:
        """`https://127.0.0.1:PORT`."""
        return self._cluster.url

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig."""
        return self._cluster.kubeconfig

    @property
    def ca(self) -> Path:
        """The certificate that clients are to trust."""
        return self._cluster.pki / "ca.crt"

    def token(self) -> str:
        """A bearer token of an account that may do everything."""
        return self._call(self._cluster.token())

    def client(self, user: str = "", *, groups: Sequence[str] = ()) -> Client:
        """A client of the admin, or of any other user, who may do what his roles allow."""
        api = self._cluster.api
        inside = api.client(user, groups=tuple(groups)) if user else api.admin()
        return Client(
            lambda method, path, query, headers, body: self._call(
                inside.request(method, path, query=query, headers=headers, body=body)
            ),
            lambda: self.namespace,
        )

    # What a test does with it, as the admin

    def apply(self, *given: Any) -> Trees:
        """Apply trees, YAML text, files, folders. See `Client.apply`."""
        return self._admin.apply(*given)

    def get(self, what: str, *, namespace: str = "") -> Tree:
        """The object `kind/name`. See `Client.get`."""
        return self._admin.get(what, namespace=namespace)

    def list(self, kind: str, *, namespace: str = "", labels: str = "", fields: str = "") -> Trees:
        """The objects of a kind. See `Client.list`."""
        return self._admin.list(kind, namespace=namespace, labels=labels, fields=fields)

    def patch(self, what: str, patch: Any, **options: Any) -> Tree:
        """Change `kind/name`. See `Client.patch`."""
        return self._admin.patch(what, patch, **options)

    def delete(self, what: str, **options: Any) -> None:
        """Ask for the end of `kind/name`. See `Client.delete`."""
        self._admin.delete(what, **options)

    def wait(self, what: str, **wanted: Any) -> Tree:
        """`kind/name` once it is as wanted: `condition=`, `phase=`, `until=`, `timeout=`. See `Client.wait`."""
        return self._admin.wait(what, **wanted)

    def wait_gone(self, what: str, *, namespace: str = "", timeout: float = 30.0) -> None:
        """Return once `kind/name` is no more. See `Client.wait_gone`."""
        self._admin.wait_gone(what, namespace=namespace, timeout=timeout)

    def add_nodes(
        self,
        count: int = 1,
        *,
        cpu: str | int = 16,
        memory: str = "64Gi",
        pods: int = 110,
        labels: Mapping[str, str] | None = None,
        extended: Mapping[str, str] | None = None,
    ) -> tuple[str, ...]:
        """More hollow nodes of this shape; gives their names. They are Ready when this returns."""
        shape = Shape(str(cpu), memory, pods, extended=extended or {}, labels=labels or {})
        return tuple(self._call(self._cluster.nodes.add(count, shape)))

    def stop_node(self, name: str) -> None:
        """Let a hollow node fall silent, as a machine that lost its power."""
        self._call(_at_once(lambda: self._cluster.nodes.play_dead(name)))

    def start_node(self, name: str) -> None:
        """Let it come back."""
        self._call(_at_once(lambda: self._cluster.nodes.revive(name)))

    def run_operator(
        self, program: str | Path | Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> AbstractContextManager[operators.Operator]:
        """Run an operator for the length of a `with` block: a kopf file, or any command. It gets KUBECONFIG."""
        return operators.running(program, self.kubeconfig, environment or {})


async def _at_once(work: Callable[[], None]) -> None:
    work()


def calm_logs() -> None:
    """Send our logs to `logging` as "bireme", from warnings on, unless the tests have set structlog up themselves."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(key_order=["event"]),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
