"""One instance of an app: where it runs, what state its task is in, whether it is healthy.

What a Mesos state means for an instance is here; what is to be done about it is decided in `rollout.py`.
Source: Marathon 1.11's REST API.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bireme.marathon import paths
from bireme.marathon.model import App, Tree
from bireme.marathon.paths import PathId
from bireme.marathon.versions import stamp

RUNNING, STOPPED, DECOMMISSIONED = "Running", "Stopped", "Decommissioned"
UNREACHABLE_INACTIVE = "UnreachableInactive"

CONDITIONS = {
    "TASK_STAGING": "Staging",
    "TASK_STARTING": "Starting",
    "TASK_RUNNING": "Running",
    "TASK_KILLING": "Killing",
    "TASK_FINISHED": "Finished",
    "TASK_FAILED": "Failed",
    "TASK_KILLED": "Killed",
    "TASK_ERROR": "Error",
    "TASK_LOST": "Gone",
    "TASK_DROPPED": "Dropped",
    "TASK_UNREACHABLE": "Unreachable",
    "TASK_GONE": "Gone",
    "TASK_GONE_BY_OPERATOR": "Gone",
    "TASK_UNKNOWN": "Unknown",
}
ENDED = frozenset(
    (
        *("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED"),
        *("TASK_GONE", "TASK_GONE_BY_OPERATOR", "TASK_UNKNOWN"),
    )
)
STAGED = frozenset(("TASK_STAGING", "TASK_STARTING"))


def new_id(app_id: PathId, new_uuid: Callable[[], uuid.UUID]) -> str:
    """`shop_cart.instance-UUID`."""
    return f"{paths.safe(app_id)}.instance-{new_uuid()}"


def task_id(instance_id: str, attempt: int = 1) -> str:
    """`shop_cart.instance-UUID._app.1`."""
    return f"{instance_id}._app.{attempt}"


def instance_of(name: str) -> str:
    """The instance that a task id names, or an instance id itself, whatever form of 1.11 it has."""
    head, found, _ = name.partition("._app")
    return head if found else name


@dataclass(slots=True)
class Health:
    """What one health check has found so far; times are stamps."""

    alive: bool = False
    consecutive_failures: int = 0
    first_success: str = ""
    last_success: str = ""
    last_failure: str = ""
    last_failure_cause: str = ""

    def note(self, cause: str, now: datetime) -> None:
        """Take in a result: "" for good, else why not."""
        self.alive = not cause
        if cause:
            self.consecutive_failures += 1
            self.last_failure, self.last_failure_cause = stamp(now), cause
        else:
            self.consecutive_failures = 0
            self.last_success = stamp(now)
            self.first_success = self.first_success or self.last_success


@dataclass(slots=True)
class Instance:
    """An instance whose task was launched, or is just about to be. Marathon's core changes it in place."""

    id: str
    app: App
    task_id: str
    host: str
    address: str
    agent_id: str
    host_ports: tuple[int | None, ...]
    staged_at: datetime
    since: datetime
    attributes: list[Tree] = field(default_factory=list)
    region: str = ""
    zone: str = ""
    goal: str = RUNNING
    state: str = "TASK_STAGING"
    condition: str = "Staging"
    started_at: datetime | None = None
    mesos_healthy: bool | None = None
    mesos_health: Health = field(default_factory=Health)
    addresses: list[str] = field(default_factory=list)
    health: dict[int, Health] = field(default_factory=dict)
    ready: bool = False
    readiness: Tree = field(default_factory=dict)
    check_result: Tree = field(default_factory=dict)
    killed_s: float | None = None
    told_healthy: bool | None = None

    @property
    def app_id(self) -> PathId:
        return self.app.id

    @property
    def wanted(self) -> bool:
        """Whether it counts towards the app's instances."""
        return self.goal == RUNNING and self.condition != UNREACHABLE_INACTIVE

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def running(self) -> bool:
        return self.state == "TASK_RUNNING"

    @property
    def healthy(self) -> bool | None:
        """By its health checks: None before the first result, or if it has none."""
        results = [each.alive for each in self.health.values()]
        if self.app.mesos_check is not None and self.mesos_healthy is not None:
            results.append(self.mesos_healthy)
        return all(results) if results else None

    @property
    def serving(self) -> bool:
        """Running, and healthy where health is checked."""
        return self.running and (self.healthy is True or not self.app.health_checks)

    @property
    def counts(self) -> bool:
        """Serving, and ready where a deployment asks for that."""
        return self.serving and (self.ready or not self.app.readiness_checks)

    def port(self, index: int) -> int:
        """The port by which others reach its port `index` at `reach`; 0 for none."""
        if not 0 <= index < len(self.host_ports):
            return 0
        return self.host_ports[index] or self.inner_port(index)

    def inner_port(self, index: int) -> int:
        """What the task itself listens on."""
        given = self.host_ports[index] or 0
        return given if self.app.mode == "host" else self.app.ports[index].port or given

    def reach(self, index: int) -> str:
        """The address that goes with `port`."""
        if index < len(self.host_ports) and not self.host_ports[index] and self.addresses:
            return self.addresses[0]
        return self.address or self.host

    def take(self, status: Tree, now: datetime) -> bool:
        """Take over a TaskStatus in its JSON form; True if state, health or addresses are new."""
        before = (self.state, self.mesos_healthy, list(self.addresses), self.check_result)
        state = str(status.get("state", self.state))
        if state != self.state:
            self.since = now
        if state != self.state or self.condition != UNREACHABLE_INACTIVE:
            self.condition = CONDITIONS.get(state, "Unknown")
        self.state = state
        if self.running and self.started_at is None:
            self.started_at = now
        if "healthy" in status:
            self.mesos_healthy = bool(status["healthy"])
            cause = "" if self.mesos_healthy else str(status.get("message", "")) or "unhealthy"
            self.mesos_health.note(cause, now)
        found = [
            str(each["ip_address"])
            for network in status.get("container_status", {}).get("network_infos", ())
            for each in network.get("ip_addresses", ())
            if "ip_address" in each
        ]
        self.addresses = found or self.addresses
        if "check_status" in status:
            self.check_result = check_result(status["check_status"])
        return before != (self.state, self.mesos_healthy, self.addresses, self.check_result)

    def unreachable_for(self, now: datetime) -> timedelta:
        """How long it has been out of reach; no time if it is not."""
        return now - self.since if self.state == "TASK_UNREACHABLE" else timedelta(0)


def check_result(status: Tree) -> Tree:
    """A CheckStatusInfo as Marathon shows it."""
    found: dict[str, Any] = {}
    if "http" in status:
        found["http"] = {"statusCode": status["http"]["status_code"]} if "status_code" in status["http"] else {}
    if "tcp" in status:
        found["tcp"] = {"succeeded": status["tcp"]["succeeded"]} if "succeeded" in status["tcp"] else {}
    if "command" in status:
        found["command"] = {"exitCode": status["command"]["exit_code"]} if "exit_code" in status["command"] else {}
    return found
