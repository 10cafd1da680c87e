"""The kinds of the Marathon deck: what Marathon must find again after a restart, and what people may look at.

Marathon alone writes them. An app, a group, a deployment is kept as its own JSON form, in `app`, `original`,
`target`: what these may hold is the affair of `marathon/schema.py`. Names of objects are made from path ids by
`marathon/records.py`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import field

from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class App(Object):
    """An app as it should be; its instances are objects of their own."""

    __gvk__ = ("marathon.bireme.dev", "v1", "App")
    __resource__: ClassVar[dict[str, Any]] = {"namespaced": False, "short_names": ("mapp",), "subresources": ()}
    spec: AppSpec = field(default_factory=lambda: AppSpec())
    status: AppStatus = field(default_factory=lambda: AppStatus())


class AppSpec(Model):
    """`app` is the app's JSON form; the rest repeats what lists show."""

    id: str = ""
    instances: int | None = None
    version: str = ""
    app: dict[str, Any] = {}


class AppStatus(Model):
    """Counts of instances, as /v2/apps gives them."""

    staged: int | None = None
    running: int | None = None
    healthy: int | None = None
    unhealthy: int | None = None
    last_task_failure: dict[str, Any] = {}


class Group(Object):
    """What a group says of itself; its apps are those whose ids begin with its own."""

    __gvk__ = ("marathon.bireme.dev", "v1", "Group")
    __resource__: ClassVar[dict[str, Any]] = {"namespaced": False, "subresources": ()}
    spec: GroupSpec = field(default_factory=lambda: GroupSpec())


class GroupSpec(Model):
    """`id` is the path."""

    id: str = ""
    version: str = ""
    dependencies: list[str] = []
    enforce_role: bool | None = None


class Deployment(Object):
    """A change under way: written before anything is done, deleted when all of it is."""

    __gvk__ = ("marathon.bireme.dev", "v1", "Deployment")
    __resource__: ClassVar[dict[str, Any]] = {"namespaced": False, "subresources": ()}
    spec: DeploymentSpec = field(default_factory=lambda: DeploymentSpec())
    status: DeploymentStatus = field(default_factory=lambda: DeploymentStatus())


class DeploymentSpec(Model):
    """`original` and `target` hold what changes: apps and groups by path, empty where there is none."""

    version: str = ""
    steps: list[list[DeploymentAction]] = []
    original: DeploymentSide = field(default_factory=lambda: DeploymentSide())
    target: DeploymentSide = field(default_factory=lambda: DeploymentSide())


class DeploymentSide(Model):
    """Apps and groups in their JSON forms."""

    apps: dict[str, dict[str, Any]] = {}
    groups: dict[str, dict[str, Any]] = {}


class DeploymentAction(Model):
    """`action` is StartApplication, ScaleApplication, RestartApplication or StopApplication."""

    action: str = ""
    app: str = ""


class DeploymentStatus(Model):
    """`current_step` counts from 1."""

    current_step: int | None = None
    total_steps: int | None = None


class Instance(Object):
    """One instance of an app, from the moment before it is launched until it is known to have ended."""

    __gvk__ = ("marathon.bireme.dev", "v1", "Instance")
    __resource__: ClassVar[dict[str, Any]] = {"namespaced": False, "subresources": ()}
    spec: InstanceSpec = field(default_factory=lambda: InstanceSpec())
    status: InstanceStatus = field(default_factory=lambda: InstanceStatus())


class InstanceSpec(Model):
    """What does not change once it is launched, and `goal`: Running or Decommissioned. No host port is 0."""

    app_id: str = ""
    instance_id: str = ""
    task_id: str = ""
    goal: str = ""
    app: dict[str, Any] = {}
    host: str = ""
    address: str = ""
    agent_id: str = ""
    region: str = ""
    zone: str = ""
    attributes: list[dict[str, Any]] = []
    host_ports: list[int] = []


class InstanceStatus(Model):
    """`state` is the Mesos task's, `condition` Marathon's word for it; times are RFC 3339."""

    state: str = ""
    condition: str = ""
    since: str = ""
    staged_at: str = ""
    started_at: str = ""
    healthy: bool | None = None
    addresses: list[str] = []
    check_result: dict[str, Any] = {}


class History(Object):
    """What an app or a group was, version by version; the newest is last."""

    __gvk__ = ("marathon.bireme.dev", "v1", "History")
    __resource__: ClassVar[dict[str, Any]] = {"namespaced": False, "plural": "histories", "subresources": ()}
    spec: HistorySpec = field(default_factory=lambda: HistorySpec())


class HistorySpec(Model):
    """`of` is App or Group; `id` its path."""

    of: str = ""
    id: str = ""
    entries: list[HistoryEntry] = []


class HistoryEntry(Model):
    """`definition` is empty where the thing was deleted at `version`."""

    version: str = ""
    definition: dict[str, Any] = {}


class Registration(Object):
    """Under which id Marathon is known to the Mesos master."""

    __gvk__ = ("marathon.bireme.dev", "v1", "Registration")
    __resource__: ClassVar[dict[str, Any]] = {"namespaced": False, "subresources": ()}
    spec: RegistrationSpec = field(default_factory=lambda: RegistrationSpec())


class RegistrationSpec(Model):
    """`framework_id` as the master gave it."""

    framework_id: str = ""
