"""The kinds of the Mesos deck: what the master must find again after a restart.

Tasks are Pods (`mesos/tasks.py`) and agents are Nodes; kept here is only what those cannot hold: who subscribed
and until when it may come back, the id that an agent was given, weights and quotas of roles. The master writes these
objects and reads them when it starts; people look at them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import field

from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class Framework(Object):
    """A scheduler that subscribed; named by its framework id."""

    __gvk__ = ("mesos.bireme.dev", "v1", "Framework")
    __resource__: ClassVar[dict[str, Any]] = {"namespaced": False, "short_names": ("fw",), "subresources": ()}
    spec: FrameworkSpec = field(default_factory=lambda: FrameworkSpec())
    status: FrameworkStatus = field(default_factory=lambda: FrameworkStatus())


class FrameworkSpec(Model):
    """`info` is the FrameworkInfo message in its JSON form."""

    info: dict[str, Any] = {}
    suppressed_roles: list[str] = []
    offer_constraints: dict[str, Any] = {}


class FrameworkStatus(Model):
    """`state` is Connected, Disconnected or Completed; times are RFC 3339."""

    state: str = ""
    registered_time: str = ""
    reregistered_time: str = ""
    disconnected_time: str = ""
    unregistered_time: str = ""


class Agent(Object):
    """The Mesos side of a node, and named like it."""

    __gvk__ = ("mesos.bireme.dev", "v1", "Agent")
    __resource__: ClassVar[dict[str, Any]] = {"namespaced": False, "subresources": ()}
    spec: AgentSpec = field(default_factory=lambda: AgentSpec())


class AgentSpec(Model):
    """`node_uid` tells a node that was made anew under an old name; `deactivated` holds offers back."""

    agent_id: str = ""
    node_uid: str = field(default="", name="nodeUID")
    registered_time: str = ""
    deactivated: bool | None = None
    gone: bool | None = None


class RoleQuotas(Object):
    """What roles are guaranteed and limited to: one object, since quotas change together."""

    __gvk__ = ("mesos.bireme.dev", "v1", "RoleQuotas")
    __resource__: ClassVar[dict[str, Any]] = {"plural": "rolequotas", "namespaced": False, "subresources": ()}
    spec: RoleQuotasSpec = field(default_factory=lambda: RoleQuotasSpec())


class RoleQuotasSpec(Model):
    """One entry a role."""

    quotas: list[RoleQuota] = []


class RoleQuota(Model):
    """Amounts by resource name, in the units of Mesos; a resource that is not named is neither guaranteed nor limited."""

    role: str = ""
    guarantees: dict[str, float] = {}
    limits: dict[str, float] = {}


class RoleWeight(Object):
    """A role's share in the fair division; roles that no object names weigh 1."""

    __gvk__ = ("mesos.bireme.dev", "v1", "RoleWeight")
    __resource__: ClassVar[dict[str, Any]] = {"namespaced": False, "subresources": ()}
    spec: RoleWeightSpec = field(default_factory=lambda: RoleWeightSpec())


class RoleWeightSpec(Model):
    """`role` is the role as Mesos spells it, which an object's name may not."""

    role: str = ""
    weight: float | None = None
