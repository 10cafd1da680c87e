"""Containers on this machine, as the node agent sees them.

A pod is a *sandbox* (its network and the processes' shared namespaces) with *containers* in it. The words
and the division of work are those of the Container Runtime Interface (k8s.io/cri-api, v1), cut down to what
the agent uses. `cri.py` speaks to a real engine, `hollow.py` only pretends; one suite tests both.

What the agent decides (restart, order, names) stays with it: a runtime does one thing when told, and
remembers labels and annotations so that an agent that was restarted finds its pods again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol

GRACE = "io.kubernetes.pod.terminationGracePeriod"
"""The annotation of a container that says how many seconds its pod gives it to end."""


class RuntimeFault(Exception):
    """The engine refused or failed; `message` is its own words. Trying again may help.

    RuntimeFault
    ├── NoSuchThing         no sandbox, container or image of that id
    ├── EngineAway          the engine does not answer; everything it runs goes on
    ├── TookTooLong         the time given for the call has passed
    └── ImageRefused        the image can't be had: absent, not allowed, or damaged
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NoSuchThing(RuntimeFault):
    """No sandbox, container or image of that id."""


class EngineAway(RuntimeFault):
    """The engine does not answer."""


class TookTooLong(RuntimeFault):
    """The time given for the call has passed."""


class ImageRefused(RuntimeFault):
    """The image can't be had: it is absent, or the registry won't give it."""


class State(Enum):
    """Where a container stands."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


class Share(Enum):
    """Whose namespace a process gets: its own, the pod's, or the node's."""

    CONTAINER = "container"
    POD = "pod"
    NODE = "node"


class Propagation(Enum):
    """How mounts made later pass between host and container."""

    PRIVATE = "None"
    HOST_TO_CONTAINER = "HostToContainer"
    BIDIRECTIONAL = "Bidirectional"


@dataclass(frozen=True, slots=True)
class PortMapping:
    """One host port that leads into the sandbox. `protocol` is TCP, UDP or SCTP."""

    container_port: int
    host_port: int
    protocol: str = "TCP"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """What the sandbox's resolv.conf says."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Namespaces:
    """What the processes share. `target` is the id of a container whose processes are seen instead of none."""

    network: Share = Share.POD
    pid: Share = Share.CONTAINER
    ipc: Share = Share.POD
    target: str = ""


@dataclass(frozen=True, slots=True)
class LinuxResources:
    """Limits as cgroups take them; 0 leaves one unset. Periods and quotas in microseconds, memory in bytes."""

    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    memory_limit: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True)
class Security:
    """Who a container's processes are and what they may do.

    `seccomp` is "", "RuntimeDefault", "Unconfined" or the path of a profile.
    """

    user: int | None = None
    username: str = ""
    group: int | None = None
    groups: tuple[int, ...] = ()
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    seccomp: str = ""
    unmasked_proc: bool = False


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """A sandbox to make. (namespace, name, uid, attempt) must be new."""

    name: str
    namespace: str
    uid: str
    attempt: int = 0
    hostname: str = ""
    log_directory: str = ""
    dns: DnsConfig | None = None
    ports: tuple[PortMapping, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    namespaces: Namespaces = Namespaces()
    security: Security = Security()
    resources: LinuxResources = LinuxResources()


@dataclass(frozen=True, slots=True)
class Mount:
    """A path of the host in the container."""

    container_path: str
    host_path: str
    read_only: bool = False
    propagation: Propagation = Propagation.PRIVATE


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to make in a sandbox. `log_path` is relative to the sandbox's log directory."""

    name: str
    image: str
    attempt: int = 0
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    environment: Sequence[tuple[str, str]] = ()
    mounts: tuple[Mount, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    namespaces: Namespaces = Namespaces()
    security: Security = Security()
    resources: LinuxResources = LinuxResources()


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox as a list shows it."""

    id: str
    name: str
    namespace: str
    uid: str
    attempt: int
    ready: bool
    created_at: datetime
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Container:
    """A container as a list shows it."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: State
    image: str
    created_at: datetime
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """All there is to know of one container. Times are None for what has not happened."""

    id: str
    name: str
    attempt: int
    state: State
    image: str
    image_ref: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int
    reason: str
    message: str
    log_path: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command said and how it ended."""

    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container uses: nanoseconds of CPU so far, bytes of memory it can't give back, bytes written."""

    container_id: str
    labels: Mapping[str, str]
    at: datetime
    cpu_ns: int
    memory_working_set: int
    memory_usage: int
    written: int


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is here. `user` and `username` are what its configuration says it runs as."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    user: int | None = None
    username: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a registry asks for."""

    username: str = ""
    password: str = ""
    auth: str = ""
    server: str = ""
    identity_token: str = ""
    registry_token: str = ""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Whether the engine and its network work; `message` says what does not."""

    name: str
    version: str
    ready: bool
    network_ready: bool
    message: str = ""


class Sandboxes(Protocol):
    """Pods' shells."""

    async def list_sandboxes(self, *, pod_uid: str = "") -> list[Sandbox]: ...

    async def sandbox_addresses(self, sandbox_id: str) -> tuple[str, ...]:
        """The IP addresses of the sandbox; none when it uses the node's network."""
        ...

    async def network_namespace(self, sandbox_id: str) -> str:
        """The path of the sandbox's network namespace; "" when it uses the node's."""
        ...

    async def run_sandbox(self, spec: SandboxSpec) -> str:
        """Make and start a sandbox with its network; returns its id."""
        ...

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Kill what is left in it and give back its network. Stopping what is stopped or gone is no error."""
        ...

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Forget it and its containers. Removing what is gone is no error."""
        ...


class Containers(Protocol):
    """What runs in the sandboxes."""

    async def list_containers(self, *, pod_uid: str = "") -> list[Container]: ...

    async def container_status(self, container_id: str) -> ContainerStatus: ...

    async def create_container(self, sandbox_id: str, spec: ContainerSpec, sandbox: SandboxSpec) -> str:
        """Make a container from an image that is here; returns its id."""
        ...

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, *, grace_s: float) -> None:
        """Send the stop signal, wait for `grace_s`, then kill. Returns when it has ended; no error if gone."""
        ...

    async def remove_container(self, container_id: str) -> None: ...

    async def update_resources(self, container_id: str, resources: LinuxResources) -> None: ...

    async def reopen_log(self, container_id: str) -> None:
        """Open the log path anew, after the file was moved away."""
        ...

    async def exec_sync(self, container_id: str, command: Sequence[str], *, timeout_s: float) -> ExecResult:
        """Run a command to its end. Raises TookTooLong."""
        ...

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        """Where a command's streams can be joined, once."""
        ...

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str: ...

    async def usage(self) -> list[Usage]: ...


class Images(Protocol):
    """What containers are made from."""

    async def list_images(self) -> list[Image]: ...

    async def image(self, reference: str) -> Image | None: ...

    async def pull_image(self, reference: str, *, credentials: Credentials | None = None) -> str:
        """Fetch an image; returns its id. Raises ImageRefused."""
        ...

    async def remove_image(self, reference: str) -> None: ...


class Runtime(Sandboxes, Containers, Images, Protocol):
    """A container engine."""

    async def status(self) -> EngineStatus: ...

    async def close(self) -> None: ...
