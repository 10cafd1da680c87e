"""The events that schedulers get, and the values in them, as messages."""

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address

from bireme.mesos import amounts
from bireme.mesos.amounts import Amounts
from bireme.mesos.messages import Message, Shared, SharedList
from bireme.mesos.offers import Offer
from bireme.mesos.roster import Agent, Framework, Task

HEARTBEAT_S = 15.0
VERSION = "1.11.0"
MASTER_CAPABILITIES = ("AGENT_UPDATE", "QUOTA_V2")
"""What this master does: not draining, whose call is answered 501 (`operator_api.py`)."""
HEARTBEAT: Message = {"type": "HEARTBEAT"}


def master_info(master_id: str, *, hostname: str, address: str, port: int) -> Message:
    """Who the master is. `ip` is the address as its bytes read on a little-endian machine, as ever."""
    return {
        "id": master_id,
        "ip": _number(address),
        "port": port,
        "pid": f"master@{address}:{port}",
        "hostname": hostname,
        "version": VERSION,
        "address": {"hostname": hostname, "ip": address, "port": port},
        "capabilities": [{"type": name} for name in MASTER_CAPABILITIES],
    }


def _number(address: str) -> int:
    try:
        return int(struct.unpack("<I", IPv4Address(address).packed)[0])
    except AddressValueError:  # a name, or IPv6: readers then go by `address`
        return 0


def subscribed(framework: Framework, info: Message) -> Message:
    body = {
        "framework_id": {"value": framework.framework_id},
        "heartbeat_interval_seconds": HEARTBEAT_S,
        "master_info": info,
    }
    return {"type": "SUBSCRIBED", "subscribed": body}


def offers(made: Sequence[Message]) -> Message:
    return {"type": "OFFERS", "offers": {"offers": list(made)}}


def offer(made: Offer, agent: Agent, executors: Iterable[str]) -> Message:
    """An Offer message."""
    found: Message = {
        "id": {"value": made.offer_id},
        "framework_id": _identifier(made.framework_id),
        "agent_id": _identifier(made.agent_id),
        "hostname": agent.hostname,
        "url": agent.url,
        "resources": _resources(made.amounts, made.role),
        "attributes": agent.attributes,
        "executor_ids": [{"value": each} for each in executors],
        "allocation_info": _allocation(made.role),
    }
    found |= domain(agent)
    return found


@lru_cache(maxsize=1 << 15)
def _identifier(value: str) -> Message:
    return Shared({"value": value})


@lru_cache(maxsize=1 << 12)
def _allocation(role: str) -> Message:
    return Shared({"role": role})


_written: dict[tuple[int, str], tuple[Amounts, list[Message]]] = {}
_MAX_WRITTEN = 4096


def _resources(offered: Amounts, role: str) -> list[Message]:
    """The Resource messages of an offer; agents with as much free share them."""
    key = (id(offered), role)
    known = _written.get(key)
    if known is None or known[0] is not offered:
        if len(_written) >= _MAX_WRITTEN:
            _written.clear()
        known = _written[key] = (offered, SharedList(amounts.write(offered, role=role)))
    return known[1]


def domain(agent: Agent) -> Message:
    """The agent's region and zone under `domain`, if it has both."""
    if not agent.region or not agent.zone:
        return {}
    return {"domain": {"fault_domain": {"region": {"name": agent.region}, "zone": {"name": agent.zone}}}}


def rescind(offer_id: str) -> Message:
    return {"type": "RESCIND", "rescind": {"offer_id": {"value": offer_id}}}


def update(status: Message) -> Message:
    return {"type": "UPDATE", "update": {"status": status}}


def operation_update(operation_id: Message, state: str, message: str) -> Message:
    status = {"operation_id": operation_id, "state": state, "message": message}
    return {"type": "UPDATE_OPERATION_STATUS", "update_operation_status": {"status": status}}


def agent_failure(agent_id: str) -> Message:
    return {"type": "FAILURE", "failure": {"agent_id": {"value": agent_id}}}


def error(message: str) -> Message:
    return {"type": "ERROR", "error": {"message": message}}


def task_message(task: Task, *, state: str = "") -> Message:
    """A Task message."""
    found: Message = {
        "name": task.info["name"],
        "task_id": task.info["task_id"],
        "framework_id": {"value": task.framework_id},
        "agent_id": {"value": task.agent_id},
        "state": state or task.state,
        "resources": amounts.write(task.amounts, role=task.role),
        "statuses": [_plain(status) for status in task.statuses],
        "status_update_state": task.forwarded,
    }
    if task.executor_id != task.task_id:
        found["executor_id"] = {"value": task.executor_id}
    for name in ("labels", "discovery", "container", "health_check", "kill_policy", "limits"):
        if name in task.info:
            found[name] = task.info[name]
    user = task.info.get("command", {}).get("user")
    if user:
        found["user"] = user
    return found


def _plain(status: Message) -> Message:
    return {name: value for name, value in status.items() if name != "data"}
