"""A Node as a Mesos agent: its address, attributes from labels, resources, whether it can be offered.

Plain functions from a Node to what the roster keeps. A label `mesos.bireme.dev/attribute.NAME` becomes the
attribute NAME, every other label one of its own name; values that are numbers become scalars.
"""

import math
from collections.abc import Mapping

from bireme.api import resources
from bireme.api.kinds import core
from bireme.mesos import amounts
from bireme.mesos.amounts import Amounts, Ranges
from bireme.mesos.messages import Message, Shared, SharedList
from bireme.mesos.roster import Agent

ATTRIBUTE = "mesos.bireme.dev/attribute."
WORK_DIR = "mesos.bireme.dev/work-dir"
AGENT_PORT = "mesos.bireme.dev/agent-port"
_REGION, _ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


def refresh(agent: Agent, node: core.Node, *, ports: Ranges, work_dir: str, port: int) -> None:
    """Bring an agent's record up to what its node says now. `work_dir` and `port` serve where it says nothing."""
    labels, notes = node.metadata.labels, node.metadata.annotations
    agent.node_uid = node.metadata.uid
    agent.hostname = _address(node, "Hostname") or node.metadata.name
    agent.address = _address(node, "InternalIP") or agent.hostname
    text = notes.get(AGENT_PORT, "")
    agent.port = int(text) if text.isdecimal() and len(text) < 6 else port
    agent.attributes = attributes(labels)
    address = {"hostname": agent.hostname, "ip": agent.address, "port": agent.port}
    agent.url = Shared({"scheme": "http", "address": address, "path": "/slave(1)", "query": []})
    agent.region, agent.zone = labels.get(_REGION, ""), labels.get(_ZONE, "")
    agent.total = total(node, ports)
    agent.work_dir = notes.get(WORK_DIR, "") or work_dir
    agent.schedulable = is_schedulable(node)


def total(node: core.Node, ports: Ranges) -> Amounts:
    """All that an agent could ever offer."""
    return amounts.from_node(resources.read(node.status.allocatable), ports=ports)


def is_ready(node: core.Node) -> bool:
    """Whether the node's kubelet is in contact and well."""
    return any(each.type == "Ready" and each.status == "True" for each in node.status.conditions)


def is_schedulable(node: core.Node) -> bool:
    """Whether new tasks may go there: not cordoned, no taint that tasks don't tolerate."""
    return not node.spec.unschedulable and not any(
        taint.effect in ("NoSchedule", "NoExecute") for taint in node.spec.taints
    )


def _address(node: core.Node, kind: str) -> str:
    return next((each.address for each in node.status.addresses if each.type == kind), "")


def attributes(labels: Mapping[str, str]) -> list[Message]:
    """Attributes, sorted by name."""
    return SharedList(_attribute(name.removeprefix(ATTRIBUTE), value) for name, value in sorted(labels.items()))


def _attribute(name: str, value: str) -> Message:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if math.isfinite(number) and value.strip("0123456789.-") == "":
        return {"name": name, "type": "SCALAR", "scalar": {"value": number}}
    return {"name": name, "type": "TEXT", "text": {"value": value}}
