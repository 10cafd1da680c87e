"""Services, endpoints and Mesos tasks to DNS answers: plain tables, made anew when the cluster changes.

Two zones: the cluster's (`cluster.local`, by the Kubernetes DNS specification 1.1.0) and `mesos` (by
Mesos-DNS), with the named virtual IPs of DC/OS (`NAME.marathon.l4lb.thisdcos.directory`) beside them. Names
are lower case without the last dot. Source: the Kubernetes documentation; Mesos-DNS and Marathon's documentation.
"""

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bireme.api.kinds import core, discovery
from bireme.client.informer import Key

SERVICE_NAME = "kubernetes.io/service-name"
VIP_ANNOTATION = "mesos.bireme.dev/vip"
TASK_NAME = "mesos.bireme.dev/task-name"
TASK_ID = "mesos.bireme.dev/task-id"
AGENT_ID = "mesos.bireme.dev/agent-id"
FRAMEWORK = "mesos.bireme.dev/framework-name"
VIP_ZONES = ("l4lb.thisdcos.directory", "l4lb.mesos")


class Srv(NamedTuple):
    """Where a named port is served."""

    target: str
    port: int


@dataclass(slots=True)
class Records:
    """Everything that is known: addresses, targets, aliases, reverse names, and texts by name."""

    zones: tuple[str, ...]
    addresses: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    services: dict[str, list[Srv]] = field(default_factory=lambda: defaultdict(list))
    aliases: dict[str, str] = field(default_factory=dict)
    pointers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def knows(self, name: str) -> bool:
        """The name, or one below it, is there: no answer of a type is then NOERROR, not NXDOMAIN."""
        return name in self.names

    def pod_address(self, name: str) -> str:
        """The address that a pod's own name spells (`10-244-0-7.NAMESPACE.pod.ZONE`); "" for other names."""
        zone = f".pod.{self.zones[0]}"
        host, _, namespace = name.removesuffix(zone).partition(".")
        if not name.endswith(zone) or not namespace or "." in namespace:
            return ""
        try:
            return str(ipaddress.IPv4Address(host.replace("-", ".")))
        except ValueError:
            return ""

    def is_ours(self, name: str) -> bool:
        """The name lies in a zone that this server alone answers for."""
        return any(name == zone or name.endswith("." + zone) for zone in self.zones)

    def add_address(self, name: str, address: str) -> None:
        if address not in self.addresses[name]:
            self.addresses[name].append(address)
        self._note(name)

    def add_service(self, name: str, srv: Srv) -> None:
        if srv not in self.services[name]:
            self.services[name].append(srv)
        self._note(name)

    def add_alias(self, name: str, target: str) -> None:
        self.aliases[name] = target
        self._note(name)

    def add_pointer(self, address: str, name: str) -> None:
        self.pointers[reverse_name(address)].append(name)

    def add_text(self, name: str, text: str) -> None:
        self.texts[name] = text
        self._note(name)

    def _note(self, name: str) -> None:
        while name and name not in self.names and not any(name == zone for zone in self.zones):
            self.names.add(name)
            name = name.partition(".")[2]
        self.names.add(name)


def reverse_name(address: str) -> str:
    return ipaddress.ip_address(address).reverse_pointer


def build(
    *,
    services: Iterable[core.Service],
    slices: Iterable[discovery.EndpointSlice],
    tasks: Iterable[core.Pod],
    domain: str,
    mesos_domain: str = "mesos",
    master: str = "",
) -> Records:
    """All records. `tasks` are the pods that stand for Mesos tasks; `master` is the Mesos master's address."""
    records = Records(zones=(domain, mesos_domain, *VIP_ZONES))
    by_service: dict[Key, list[discovery.EndpointSlice]] = defaultdict(list)
    for each in slices:
        if name := each.metadata.labels.get(SERVICE_NAME):
            by_service[Key(each.metadata.namespace, name)].append(each)
    records.add_text(f"dns-version.{domain}", "1.1.0")
    for service in services:
        key = Key(service.metadata.namespace, service.metadata.name)
        add_service(records, service, by_service.get(key, ()), domain=domain)
    for task in tasks:
        add_task(records, task, domain=mesos_domain)
    if master:
        for name in ("leader", "master"):
            records.add_address(f"{name}.{mesos_domain}", master)
            for protocol in ("tcp", "udp"):
                records.add_service(f"_{name}._{protocol}.{mesos_domain}", Srv(f"{name}.{mesos_domain}", 5050))
    return records


def add_service(
    records: Records, service: core.Service, slices: Iterable[discovery.EndpointSlice], *, domain: str
) -> None:
    """The records of one Service: its IP, its endpoints when headless, or an alias."""
    meta, spec = service.metadata, service.spec
    name = f"{meta.name}.{meta.namespace}.svc.{domain}"
    if spec.type == "ExternalName":
        records.add_alias(name, spec.external_name.lower().rstrip("."))
        return
    if spec.cluster_ip == "None":
        add_endpoints(records, name, slices, every=bool(spec.publish_not_ready_addresses))
        return
    if not spec.cluster_ip:
        return
    for address in spec.cluster_ips or [spec.cluster_ip]:
        records.add_address(name, address)
        records.add_pointer(address, name)
        if vip := meta.annotations.get(VIP_ANNOTATION):
            for zone in VIP_ZONES:
                records.add_address(f"{vip}.{zone}", address)
    for port in spec.ports:
        if port.name:
            protocol = (port.protocol or "TCP").lower()
            records.add_service(f"_{port.name}._{protocol}.{name}", Srv(name, port.port or 0))


def add_endpoints(records: Records, name: str, slices: Iterable[discovery.EndpointSlice], *, every: bool) -> None:
    """A headless Service: every ready endpoint under the service's name and a name of its own."""
    for each in slices:
        for endpoint in each.endpoints:
            ready = endpoint.conditions is None or endpoint.conditions.ready is not False
            if not (ready or every):
                continue
            for address in endpoint.addresses:
                host = f"{endpoint.hostname or address.replace('.', '-')}.{name}"
                records.add_address(name, address)
                records.add_address(host, address)
                records.add_pointer(address, host)
                for port in each.ports:
                    if port.name:
                        protocol = (port.protocol or "TCP").lower()
                        records.add_service(f"_{port.name}._{protocol}.{name}", Srv(host, port.port or 0))


def add_task(records: Records, task: core.Pod, *, domain: str) -> None:
    """A running Mesos task, as Mesos-DNS names it: TASK.FRAMEWORK.mesos, and SRV for its ports.

    The address is the container's own where it has one, else the agent's.
    """
    name, framework = task_name(task.metadata.annotations), label(task.metadata.annotations.get(FRAMEWORK, ""))
    address, host = task.status.pod_ip, task.status.host_ip
    if not name or not framework or task.status.phase != "Running" or not (address or host):
        return
    full = f"{name}.{framework}.{domain}"
    own = f"{name}-{_digest(task)}.{framework}.{domain}"
    agent = f"{name}-{_digest(task)}.{framework}.slave.{domain}"
    for each in (full, own):
        records.add_address(each, address or host)
    for each in (agent, f"{name}.{framework}.slave.{domain}"):
        records.add_address(each, host or address)
    records.add_pointer(address or host, own)
    for port in [port for container in task.spec.containers for port in container.ports]:
        number = port.host_port or port.container_port or 0
        target = agent if port.host_port else own
        for protocol in {(port.protocol or "TCP").lower()}:
            records.add_service(f"_{name}._{protocol}.{framework}.{domain}", Srv(target, number))
            if port.name:
                records.add_service(f"_{port.name}._{name}._{protocol}.{framework}.{domain}", Srv(target, number))


def task_name(annotations: Mapping[str, str]) -> str:
    """`cart.shop` for the task named so; each part made fit to be a label."""
    parts = [label(part) for part in annotations.get(TASK_NAME, "").split(".")]
    return ".".join(part for part in parts if part)


def label(text: str) -> str:
    """What Mesos-DNS makes of a name: lower case, letters, digits and inner dashes, at most 63."""
    kept = re.sub(r"[^a-z0-9-]", "", text.lower().replace("_", "-"))
    return kept.strip("-")[:63]


def _digest(task: core.Pod) -> str:
    return label(task.metadata.uid.replace("-", ""))[:5] or "task"
