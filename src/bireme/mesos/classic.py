"""The classic JSON of the master: `/state`, `/state-summary`, `/slaves`, `/frameworks`, `/tasks`, `/roles`.

Keys, types and empty values are the original's: agents are slaves here, resources are sums by name, times float
seconds. Source: Mesos 1.11's HTTP API.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bireme.mesos import amounts, descriptions, events, json_form
from bireme.mesos.amounts import Amounts
from bireme.mesos.master import Master
from bireme.mesos.messages import Message, message
from bireme.mesos.operator_api import BUILD, flags, shown_state
from bireme.mesos.quota import Quota
from bireme.mesos.roster import Agent, Framework, Task

Tree = dict[str, Any]

COUNTED = (
    *("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_FINISHED", "TASK_KILLED"),
    *("TASK_FAILED", "TASK_LOST", "TASK_ERROR", "TASK_UNREACHABLE"),
)

_SHOWN = {"discovery": "DiscoveryInfo", "container": "ContainerInfo", "health_check": "HealthCheck"}


def version() -> Tree:
    return dict(BUILD)


def resources(of: Amounts) -> Tree:
    """Scalars as numbers, always all four; ranges as text."""
    found: Tree = {name: amounts.plain(of.scalar(name)) for name in amounts.SCALARS}
    found |= {name: amounts.plain(number) for name, number in of.scalars.items()}
    return found | {name: amounts.ranges_text(held) for name, held in of.ranges.items()}


def full(of: Amounts) -> list[Tree]:
    """Resource messages in the form that old and new readers take."""
    return [{**each, "role": "*"} for each in amounts.write(of)]


def attributes(of: Iterable[Message]) -> Tree:
    return {each["name"]: each["scalar"]["value"] if "scalar" in each else each["text"]["value"] for each in of}


def _form(value: Message, name: str) -> Tree:
    return json_form.write(value, message(f"mesos.v1.{name}"))


def slave(agent: Agent, master: Master) -> Tree:
    """An agent as `/state` shows it."""
    found: Tree = {
        "id": agent.agent_id,
        "hostname": agent.hostname,
        "port": agent.port,
        "attributes": attributes(agent.attributes),
        "pid": agent.pid,
        "registered_time": agent.registered_time,
        "resources": resources(agent.total),
        "used_resources": resources(descriptions.used(agent.tasks.values())),
        "offered_resources": resources(descriptions.offered(master.offers.of_agent(agent.agent_id))),
        "reserved_resources": {},
        "unreserved_resources": resources(agent.total),
        "active": agent.active,
        "deactivated": agent.deactivated,
        "version": events.VERSION,
        "capabilities": list(descriptions.AGENT_CAPABILITIES),
    }
    if agent.reregistered_time:
        found["reregistered_time"] = agent.reregistered_time
    return found | events.domain(agent)


def slaves(master: Master, agent_id: str = "") -> Tree:
    """`/slaves`, of one agent or all."""
    found = []
    for agent in master.roster.agents.values():
        if agent_id in ("", agent.agent_id):
            used = descriptions.used(agent.tasks.values())
            offered = descriptions.offered(master.offers.of_agent(agent.agent_id))
            extra = {
                "reserved_resources_full": {},
                "unreserved_resources_full": full(agent.total),
                "used_resources_full": full(used),
                "offered_resources_full": full(offered),
            }
            found.append(slave(agent, master) | extra)
    return {"slaves": found, "recovered_slaves": []}


def framework_summary(of: Framework, master: Master) -> Tree:
    """A framework without its tasks."""
    used = descriptions.used(of.tasks.values())
    offered = descriptions.offered(master.offers.of_framework(of.framework_id))
    found: Tree = {
        "id": of.framework_id,
        "name": of.name,
        "used_resources": resources(used),
        "offered_resources": resources(offered),
        "capabilities": sorted(of.capabilities),
        "hostname": of.info.get("hostname", ""),
        "webui_url": of.info.get("webui_url", ""),
        "active": of.connected,
        "connected": of.connected,
        "recovered": of.recovered,
    }
    if of.principal:
        found["principal"] = of.principal
    return found


def framework(of: Framework, master: Master) -> Tree:
    """A framework with its tasks and offers."""
    offers = master.offers.of_framework(of.framework_id)
    used = descriptions.used(of.tasks.values())
    live = [task for task in of.tasks.values() if not task.unreachable]
    found = framework_summary(of, master) | {
        "user": of.info.get("user", ""),
        "failover_timeout": of.info.get("failover_timeout", 0.0),
        "checkpoint": of.info.get("checkpoint", False),
        "registered_time": of.registered_time,
        "unregistered_time": of.unregistered_time,
        "resources": resources(used + descriptions.offered(offers)),
        "tasks": [task_tree(each, master) for each in live],
        "unreachable_tasks": [task_tree(each, master) for each in of.tasks.values() if each.unreachable],
        "completed_tasks": [task_tree(each, master) for each in of.completed_tasks],
        "offers": [
            {
                "id": offer.offer_id,
                "framework_id": offer.framework_id,
                "allocation_info": {"role": offer.role},
                "slave_id": offer.agent_id,
                "resources": resources(offer.amounts),
            }
            for offer in offers
        ],
        "executors": executors(of),
        "offer_constraints": _form(of.constraints_message, "scheduler.OfferConstraints"),
    }
    if "MULTI_ROLE" in of.capabilities:
        found["roles"] = list(of.roles)
    else:
        found["role"] = of.roles[0]
    if of.reregistered_time:
        found["reregistered_time"] = of.reregistered_time
    if "labels" in of.info:
        found["labels"] = labels(of.info["labels"])
    return found


def labels(of: Message) -> list[Tree]:
    return [dict(each) for each in of.get("labels", [])]


def executors(of: Framework) -> list[Tree]:
    """Executors of task groups."""
    found: dict[str, Tree] = {}
    for task in of.tasks.values():
        executor = task.launch.executor
        if executor is not None:
            found[task.executor_id] = {
                "executor_id": task.executor_id,
                "name": executor.get("name", ""),
                "framework_id": of.framework_id,
                "command": {"argv": [], "uris": []},
                "resources": resources(amounts.read(executor.get("resources", []))),
                "role": task.role,
                "type": executor.get("type", "DEFAULT"),
                "slave_id": task.agent_id,
            }
    return list(found.values())


def task_tree(task: Task, master: Master) -> Tree:
    """A task."""
    info = task.info
    found: Tree = {
        "id": task.task_id,
        "name": info["name"],
        "framework_id": task.framework_id,
        "executor_id": task.executor_id if task.launch.executor is not None else "",
        "slave_id": task.agent_id,
        "state": shown_state(master, task),
        "resources": resources(task.amounts),
        "role": task.role,
        "statuses": [status(each) for each in task.statuses],
    }
    if "limits" in info:
        found["limits"] = {name: scalar["value"] for name, scalar in info["limits"].items()}
    user = info.get("command", {}).get("user")
    if user:
        found["user"] = user
    if "labels" in info:
        found["labels"] = labels(info["labels"])
    for name, kind in (
        ("discovery", "DiscoveryInfo"),
        ("container", "ContainerInfo"),
        ("health_check", "HealthCheck"),
    ):
        if name in info:
            found[name] = _form(info[name], kind)
    return found


def status(of: Message) -> Tree:
    found: Tree = {"state": of["state"], "timestamp": of["timestamp"]}
    if "labels" in of:
        found["labels"] = labels(of["labels"])
    if "container_status" in of:
        found["container_status"] = _form(of["container_status"], "ContainerStatus")
    if "healthy" in of:
        found["healthy"] = of["healthy"]
    return found


def frameworks(master: Master, framework_id: str = "") -> Tree:
    """`/frameworks`, one or all."""
    roster = master.roster
    return {
        "frameworks": [
            framework(each, master) for each in roster.frameworks.values() if framework_id in ("", each.framework_id)
        ],
        "completed_frameworks": [
            framework(each, master) for each in roster.completed if framework_id in ("", each.framework_id)
        ],
        "unregistered_frameworks": [],
    }


def state(master: Master) -> Tree:
    """`/state`: everything."""
    agents = list(master.roster.agents.values())
    info = master.info
    leader = {name: info[name] for name in ("id", "pid", "port", "hostname")}
    found = version() | {
        "git_sha": "",
        "start_time": master.start_time,
        "elected_time": master.start_time,
        "id": info["id"],
        "pid": info["pid"],
        "hostname": info["hostname"],
        "capabilities": list(events.MASTER_CAPABILITIES),
        "activated_slaves": sum(agent.active for agent in agents),
        "deactivated_slaves": sum(not agent.active and not agent.unreachable for agent in agents),
        "unreachable_slaves": sum(agent.unreachable for agent in agents),
        "leader": info["pid"],
        "leader_info": leader,
        "flags": flags(master),
        "slaves": slaves(master)["slaves"],
        "recovered_slaves": [],
        "orphan_tasks": [],
    }
    if master.settings.cluster:
        found["cluster"] = master.settings.cluster
    return found | frameworks(master)


def state_summary(master: Master) -> Tree:
    """`/state-summary`: agents and frameworks with counts of their tasks."""
    roster = master.roster
    counted_agents, counted_frameworks = _counts(master)
    found: Tree = {"hostname": master.info["hostname"]}
    if master.settings.cluster:
        found["cluster"] = master.settings.cluster
    found["slaves"] = [
        slave(agent, master) | _counts_of(counted_agents, agent.agent_id, "framework_ids")
        for agent in roster.agents.values()
    ]
    found["frameworks"] = [
        framework_summary(each, master) | _counts_of(counted_frameworks, each.framework_id, "slave_ids")
        for each in roster.frameworks.values()
    ]
    return found


Counts = dict[str, tuple[dict[str, int], set[str]]]


def _counts(master: Master) -> tuple[Counts, Counts]:
    by_agent: Counts = {}
    by_framework: Counts = {}
    for each in master.roster.frameworks.values():
        for task in (*each.tasks.values(), *each.completed_tasks):
            word = shown_state(master, task)
            pairs = ((by_agent, task.agent_id, task.framework_id), (by_framework, task.framework_id, task.agent_id))
            for table, key, other in pairs:
                counts, others = table.setdefault(key, ({}, set()))
                counts[word] = counts.get(word, 0) + 1
                others.add(other)
    return by_agent, by_framework


def _counts_of(table: Mapping[str, tuple[dict[str, int], set[str]]], key: str, others_name: str) -> Tree:
    counts, others = table.get(key, ({}, set()))
    return {word: counts.get(word, 0) for word in COUNTED} | {others_name: sorted(others)}


def tasks(master: Master, *, limit: int, offset: int, ascending: bool, framework_id: str, task_id: str) -> Tree:
    """`/tasks`: a page of all tasks, by the time of their first status."""
    everyone = [*master.roster.frameworks.values(), *master.roster.completed]
    found = [
        task
        for each in everyone
        if framework_id in ("", each.framework_id)
        for task in (*each.tasks.values(), *each.completed_tasks)
        if task_id in ("", task.task_id)
    ]
    found.sort(
        key=lambda task: task.statuses[0]["timestamp"] if task.statuses else master.now(), reverse=not ascending
    )
    return {"tasks": [task_tree(task, master) for task in found[offset : offset + limit]]}


def _numbers(vector: Mapping[str, int]) -> Tree:
    return {name: amounts.plain(amount) for name, amount in vector.items()}


def roles(master: Master) -> Tree:
    """`/roles`."""
    found = []
    for role in descriptions.roles(master.roster, master.weights, master.quotas):
        offered = amounts.total(
            offer.amounts
            for each in role["frameworks"]
            for offer in master.offers.of_framework(each)
            if offer.role == role["name"]
        )
        name = role["name"]
        quota = master.quotas.get(name, Quota())
        found.append(
            {
                "name": name,
                "weight": role["weight"],
                "quota": {
                    "role": name,
                    "guarantee": _numbers(quota.guarantees),
                    "limit": _numbers(quota.limits),
                    "consumed": resources(Amounts(master.roster.used_below(name))),
                },
                "resources": resources(role["held"] + offered),
                "allocated": resources(role["held"]),
                "offered": resources(offered),
                "reserved": {},
                "frameworks": role["frameworks"],
            }
        )
    return {"roles": found}
