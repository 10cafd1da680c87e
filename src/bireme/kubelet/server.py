"""The kubelet's HTTPS door: what the API server asks of a node (logs, exec, attach, port-forward, figures)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bireme.api.kinds import core


@dataclass(frozen=True, slots=True)
class Target:
    """A container as a request names it. `uid` is "" when the request does not say."""

    namespace: str
    pod: str
    container: str = ""
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Streams:
    """Which streams a client of exec or attach wants. With a `tty`, stderr comes through stdout."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


@dataclass(frozen=True, slots=True)
class LogFile:
    """Where a container's log is: beneath the log root, as "NAMESPACE_POD_UID/CONTAINER/0.log"."""

    path: str
    container_id: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What one container has used: CPU in core-nanoseconds since it started, memory (working set) in bytes."""

    namespace: str
    pod: str
    uid: str
    container: str
    cpu_ns: int
    memory: int


class PodBackend(Protocol):
    """The node's pods, as this door needs them; `kubelet/agent.py` is the real one.

    Each method raises an ApiError: NotFound for a pod or container that is not here, BadRequest for one that
    can't be asked now (`container "c" in pod "p" is waiting to start: ContainerCreating`). An empty container
    name stands for the pod's only one.
    """

    def pods(self) -> Sequence[core.Pod]:
        """The pods of this node, with their status."""
        ...

    async def exec_url(self, target: Target, command: Sequence[str], streams: Streams) -> str:
        """Where to reach the streams of a new `command` in a container: the URL of a CRI Exec."""
        ...

    async def attach_url(self, target: Target, streams: Streams) -> str:
        """Where to reach the streams of the container's own process: the URL of a CRI Attach."""
        ...

    async def run(self, target: Target, command: Sequence[str], timeout_s: float) -> bytes:
        """What `command` wrote to stdout and stderr: a CRI ExecSync."""
        ...

    async def log_file(self, target: Target, *, previous: bool) -> LogFile:
        """The log of the container that runs, or ran last; or, with `previous`, of the one before."""
        ...

    async def is_running(self, container_id: str) -> bool:
        """Whether more may come into that container's log."""
        ...

    async def network_namespace(self, target: Target) -> str:
        """The path of the pod's network namespace; "" for a pod on the node's own network."""
        ...

    async def usage(self) -> Sequence[Usage]:
        """What the running containers have used."""
        ...
