"""Frameworks, agents and roles as the v1 operator API describes them."""

from collections.abc import Iterable, Mapping
from typing import Any

from bireme.mesos import amounts, events
from bireme.mesos.amounts import Amounts
from bireme.mesos.messages import Message
from bireme.mesos.offers import Offer, Offers
from bireme.mesos.roster import Agent, Framework, Roster, Task

AGENT_CAPABILITIES = ("MULTI_ROLE", "HIERARCHICAL_ROLE", "RESERVATION_REFINEMENT", "TASK_RESOURCE_LIMITS")


def time_info(seconds: float) -> Message:
    """A moment as a TimeInfo message."""
    return {"nanoseconds": int(seconds * 1_000_000_000)}


def offered(offers: Iterable[Offer]) -> Amounts:
    """The sum of what offers hold."""
    return amounts.total(offer.amounts for offer in offers)


def used(tasks: Iterable[Task]) -> Amounts:
    """The sum of what live tasks hold."""
    return amounts.total(task.amounts for task in tasks if task.charged)


def framework(of: Framework, offers: Offers) -> Message:
    """A GetFrameworks.Framework message."""
    found: Message = {
        "framework_info": of.info,
        "active": of.connected,
        "connected": of.connected,
        "recovered": of.recovered,
        "registered_time": time_info(of.registered_time),
        "allocated_resources": amounts.write(used(of.tasks.values())),
        "offered_resources": amounts.write(offered(offers.of_framework(of.framework_id))),
    }
    if of.reregistered_time:
        found["reregistered_time"] = time_info(of.reregistered_time)
    if of.unregistered_time:
        found["unregistered_time"] = time_info(of.unregistered_time)
    if of.constraints_message:
        found["offer_constraints"] = of.constraints_message
    return found


def agent_info(of: Agent) -> Message:
    """An AgentInfo message."""
    return {
        "id": {"value": of.agent_id},
        "hostname": of.hostname,
        "port": of.port,
        "resources": amounts.write(of.total),
        "attributes": of.attributes,
        **events.domain(of),
    }


def agent(of: Agent, offers: Offers) -> Message:
    """A GetAgents.Agent message."""
    found: Message = {
        "agent_info": agent_info(of),
        "active": of.active,
        "deactivated": of.deactivated,
        "version": events.VERSION,
        "pid": of.pid,
        "registered_time": time_info(of.registered_time),
        "total_resources": amounts.write(of.total),
        "allocated_resources": amounts.write(used(of.tasks.values())),
        "offered_resources": amounts.write(offered(offers.of_agent(of.agent_id))),
        "capabilities": [{"type": name} for name in AGENT_CAPABILITIES],
    }
    if of.reregistered_time:
        found["reregistered_time"] = time_info(of.reregistered_time)
    return found


def roles(roster: Roster, weights: Mapping[str, float], quotas: Iterable[str]) -> list[dict[str, Any]]:
    """Every role with a framework, a weight or a quota: its name, weight, framework ids and what is used in it."""
    members: dict[str, list[str]] = {name: [] for name in (*weights, *quotas)}
    held: dict[str, list[Amounts]] = {}
    for each in roster.frameworks.values():
        for name in dict.fromkeys((*each.roles, *each.used)):
            members.setdefault(name, []).append(each.framework_id)
        for task in each.tasks.values():
            if task.charged:
                held.setdefault(task.role, []).append(task.amounts)
    return [
        {
            "name": name,
            "weight": weights.get(name, 1.0),
            "frameworks": ids,
            "held": amounts.total(held.get(name, ())),
        }
        for name, ids in sorted(members.items())
    ]
