"""Frameworks, agents, weights and quotas as objects of the API, and back."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from bireme.api.kinds import mesos
from bireme.api.times import parse_time, rfc3339
from bireme.mesos import json_form
from bireme.mesos.amounts import UNIT, thousandths
from bireme.mesos.messages import Message, message
from bireme.mesos.quota import Quota
from bireme.mesos.roster import Agent, Framework

QUOTAS = "quotas"  # the name of the object that holds them


def framework_object(framework: Framework) -> mesos.Framework:
    """What the API keeps of a framework."""
    obj = mesos.Framework()
    obj.metadata.name = framework.framework_id
    obj.spec.info = json_form.write(framework.info, message("mesos.v1.FrameworkInfo"))
    obj.spec.suppressed_roles = sorted(framework.suppressed)
    constraints = framework.constraints_message
    obj.spec.offer_constraints = json_form.write(constraints, message("mesos.v1.scheduler.OfferConstraints"))
    obj.status = mesos.FrameworkStatus(
        state="Completed" if framework.completed else "Connected" if framework.connected else "Disconnected",
        registered_time=_stamp(framework.registered_time),
        reregistered_time=_stamp(framework.reregistered_time),
        disconnected_time=_stamp(framework.disconnected_time),
        unregistered_time=_stamp(framework.unregistered_time),
    )
    return obj


def read_framework(obj: mesos.Framework) -> tuple[Framework, Message]:
    """A framework as it was kept, and its offer constraints, not yet compiled. Raises json_form.Malformed."""
    framework = Framework(obj.metadata.name, {}, recovered=True)
    framework.info = json_form.read(obj.spec.info, message("mesos.v1.FrameworkInfo"))
    framework.suppressed = set(obj.spec.suppressed_roles)
    framework.completed = obj.status.state == "Completed"
    framework.registered_time = _seconds(obj.status.registered_time)
    framework.reregistered_time = _seconds(obj.status.reregistered_time)
    framework.disconnected_time = _seconds(obj.status.disconnected_time)
    framework.unregistered_time = _seconds(obj.status.unregistered_time)
    constraints = json_form.read(obj.spec.offer_constraints, message("mesos.v1.scheduler.OfferConstraints"))
    return framework, constraints


def agent_object(agent: Agent) -> mesos.Agent:
    """What the API keeps of an agent."""
    obj = mesos.Agent()
    obj.metadata.name = agent.node
    obj.spec = mesos.AgentSpec(
        agent_id=agent.agent_id,
        node_uid=agent.node_uid,
        registered_time=_stamp(agent.registered_time),
        deactivated=agent.deactivated or None,
    )
    return obj


def read_agent(obj: mesos.Agent) -> Agent:
    """An agent as it was kept; the rest comes from its node."""
    agent = Agent(obj.spec.agent_id, obj.metadata.name, node_uid=obj.spec.node_uid, saved=True)
    agent.deactivated = bool(obj.spec.deactivated)
    agent.registered_time = _seconds(obj.spec.registered_time)
    return agent


def weight_object(role: str, weight: float) -> mesos.RoleWeight:
    """What the API keeps of a role's weight. Roles may be spelled as no object's name can, hence the digest."""
    obj = mesos.RoleWeight(spec=mesos.RoleWeightSpec(role=role, weight=weight))
    obj.metadata.name = f"role-{hashlib.sha256(role.encode()).hexdigest()[:16]}"
    return obj


def quotas_object(quotas: Mapping[str, Quota]) -> mesos.RoleQuotas:
    """What the API keeps of all quotas."""
    obj = mesos.RoleQuotas()
    obj.metadata.name = QUOTAS
    obj.spec.quotas = [
        mesos.RoleQuota(role=role, guarantees=_plain(quota.guarantees), limits=_plain(quota.limits))
        for role, quota in sorted(quotas.items())
    ]
    return obj


def read_quotas(obj: mesos.RoleQuotas) -> dict[str, Quota]:
    """All quotas as they were kept."""
    return {each.role: Quota(_thousandths(each.guarantees), _thousandths(each.limits)) for each in obj.spec.quotas}


def _plain(vector: Mapping[str, int]) -> dict[str, float]:
    return {name: amount / UNIT for name, amount in vector.items()}


def _thousandths(vector: Mapping[str, float]) -> dict[str, int]:
    return {name: thousandths(amount) for name, amount in vector.items()}


def _stamp(seconds: float) -> str:
    return rfc3339(datetime.fromtimestamp(seconds, UTC)) if seconds else ""


def _seconds(text: str) -> float:
    return parse_time(text).timestamp() if text else 0.0
