"""A plan as nftables text: one table, replaced in one transaction.

Two verdict maps, keyed by address, protocol and port, lead to a chain for each Service port; that one picks a
backend's chain at random (or the one that the client is bound to), which rewrites the destination. Marked
connections are masqueraded: those that come from outside the pods' range, or that would return to their own
sender. Sets of clients bound by affinity outlive an update, since only rules and maps are flushed.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bireme.network.services import Backend, Forward, HostPort, Plan

MARK = "0x4000"


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """The node's own side: its bridge and the cluster's ranges, as text."""

    table: str
    bridge: str
    pod_range: str
    service_range: str


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A table's text parts, and the names of the chains and sets that the plan needs."""

    script: str
    chains: frozenset[str]
    sets: frozenset[str]


BASE_CHAINS = (
    ("raw", "type filter hook prerouting priority raw"),
    ("prerouting", "type nat hook prerouting priority dstnat"),
    ("output", "type nat hook output priority -100"),
    ("postrouting", "type nat hook postrouting priority srcnat"),
    ("filter-forward", "type filter hook forward priority filter"),
    ("filter-output", "type filter hook output priority filter"),
    ("filter-input", "type filter hook input priority filter"),
)


def render(plan: Plan, network: NodeNetwork, *, known: Ruleset | None = None) -> Ruleset:
    """The transaction that makes the table be `plan`. `known` is what it was made from last; None starts it anew."""
    builder = _Builder(network)
    for forward in plan.forwards:
        builder.add_forward(forward)
    for port in plan.host_ports:
        builder.add_host_port(port)
    return builder.finish(known)


class _Builder:
    def __init__(self, network: NodeNetwork) -> None:
        self.network = network
        self.chains: dict[str, list[str]] = {}
        self.sets: dict[str, int] = {}
        self.service_ips: dict[str, str] = {}
        self.node_ports: dict[str, str] = {}
        self.closed_ips: list[str] = []
        self.closed_ports: list[str] = []

    def add_forward(self, forward: Forward) -> None:
        inside = self._service_chain(forward, forward.internal, "in") if forward.internal else ""
        for address in forward.addresses:
            key = f"{address} . {forward.protocol} . {forward.port}"
            if inside:
                self.service_ips.setdefault(key, inside)
            else:
                self.closed_ips.append(key)
        if forward.node_port:
            key = f"{forward.protocol} . {forward.node_port}"
            if forward.external:
                self.node_ports.setdefault(key, self._service_chain(forward, forward.external, "out"))
            else:
                self.closed_ports.append(key)

    def add_host_port(self, port: HostPort) -> None:
        chain = self._backend_chain(f"host:{port.protocol}:{port.port}", port.protocol, port.backend, 0)
        if port.address:
            self.service_ips.setdefault(f"{port.address} . {port.protocol} . {port.port}", chain)
        else:
            self.node_ports.setdefault(f"{port.protocol} . {port.port}", chain)

    def _service_chain(self, forward: Forward, backends: Sequence[Backend], side: str) -> str:
        name = _name("svc", f"{forward.name}:{side}")
        if name in self.chains:
            return name
        rules: list[str] = []
        if side == "out" and not forward.external_local:
            rules.append(f"meta mark set meta mark or {MARK}")
        elif side == "in":
            rules.append(f"ip saddr != {self.network.pod_range} meta mark set meta mark or {MARK}")
        chains = [self._backend_chain(forward.name, forward.protocol, each, forward.affinity_s) for each in backends]
        if forward.affinity_s:
            rules += [f"ip saddr @{_affinity(chain)} goto {chain}" for chain in chains]
        if len(chains) == 1:
            rules.append(f"goto {chains[0]}")
        else:
            choice = ", ".join(f"{number} : goto {chain}" for number, chain in enumerate(chains))
            rules.append(f"numgen random mod {len(chains)} vmap {{ {choice} }}")
        self.chains[name] = rules
        return name

    def _backend_chain(self, owner: str, protocol: str, backend: Backend, affinity_s: int) -> str:
        name = _name("ep", f"{owner}:{backend.ip}:{backend.port}")
        rules = [f"ip saddr {backend.ip} meta mark set meta mark or {MARK}"]
        if affinity_s:
            self.sets[_affinity(name)] = affinity_s
            rules.append(f"update @{_affinity(name)} {{ ip saddr }}")
        rules.append(f"meta l4proto {protocol} dnat to {backend.ip}:{backend.port}")
        self.chains[name] = rules
        return name

    def finish(self, known: Ruleset | None) -> Ruleset:
        table = f"ip {self.network.table}"
        lines = [f"add table {table}"]
        if known is None:
            lines += [f"delete table {table}", f"add table {table}"]
        lines += [f"add map {table} service-ips {{ type ipv4_addr . inet_proto . inet_service : verdict; }}"]
        lines += [f"add map {table} node-ports {{ type inet_proto . inet_service : verdict; }}"]
        lines += [f"add set {table} closed-ips {{ type ipv4_addr . inet_proto . inet_service; }}"]
        lines += [f"add set {table} closed-ports {{ type inet_proto . inet_service; }}"]
        lines += [f"add chain {table} {name} {{ {hook}; }}" for name, hook in BASE_CHAINS]
        lines += [f"add chain {table} services", f"flush table {table}"]
        lines += [f"flush {kind} {table} {name}" for kind, name in KEPT]
        lines += [
            f"add set {table} {name} {{ type ipv4_addr; flags dynamic,timeout; timeout {seconds}s; }}"
            for name, seconds in self.sets.items()
        ]
        lines += [f"add chain {table} {name}" for name in self.chains]
        lines += [f"add rule {table} {name} {rule}" for name, rules in self.chains.items() for rule in rules]
        lines += [f"add rule {table} {name} {rule}" for name, rule in self._base_rules()]
        lines += _elements(table, "service-ips", (f"{key} : goto {name}" for key, name in self.service_ips.items()))
        lines += _elements(table, "node-ports", (f"{key} : goto {name}" for key, name in self.node_ports.items()))
        lines += _elements(table, "closed-ips", dict.fromkeys(self.closed_ips))
        lines += _elements(table, "closed-ports", dict.fromkeys(self.closed_ports))
        if known is not None:
            lines += [f"delete chain {table} {name}" for name in sorted(known.chains - self.chains.keys())]
            lines += [f"delete set {table} {name}" for name in sorted(known.sets - self.sets.keys())]
        return Ruleset("\n".join(lines) + "\n", frozenset(self.chains), frozenset(self.sets))

    def _base_rules(self) -> Iterable[tuple[str, str]]:
        pods, bridge = self.network.pod_range, self.network.bridge
        # Loopback addresses are routed through the bridge for node ports on localhost: nobody else may use them.
        yield "raw", 'iifname != "lo" ip daddr 127.0.0.0/8 drop'
        yield "raw", 'iifname != "lo" ip saddr 127.0.0.0/8 drop'
        # Service addresses are rewritten where a connection begins; from outside they are nobody's.
        yield "raw", f'iifname != {{ "lo", "{bridge}" }} ip daddr {self.network.service_range} drop'
        yield "prerouting", "jump services"
        yield "output", "jump services"
        yield "services", "ip daddr . meta l4proto . th dport vmap @service-ips"
        yield "services", "fib daddr type local meta l4proto . th dport vmap @node-ports"
        yield "postrouting", f"meta mark & {MARK} == {MARK} masquerade"
        yield "postrouting", f'ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade'
        yield "postrouting", f'ip saddr {pods} ip daddr != {pods} oifname != "{bridge}" masquerade'
        # What still goes to a service address has found no backend; nobody else could answer.
        unserved = f"ip daddr {self.network.service_range} fib daddr type != local"
        closed_ip = "ip daddr . meta l4proto . th dport @closed-ips"
        closed_port = "fib daddr type local meta l4proto . th dport @closed-ports"
        for chain, closed in (
            ("filter-forward", closed_ip),
            ("filter-forward", unserved),
            ("filter-output", closed_ip),
            ("filter-output", unserved),
            ("filter-output", closed_port),
            # Refused before it is remembered: a flow that was would go past the rules once there is a backend.
            ("filter-input", closed_port),
        ):
            yield chain, f"{closed} meta l4proto tcp reject with tcp reset"
            yield chain, f"{closed} reject"


KEPT = (("map", "service-ips"), ("map", "node-ports"), ("set", "closed-ips"), ("set", "closed-ports"))


def _name(prefix: str, what: str) -> str:
    return f"{prefix}-{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def _affinity(chain: str) -> str:
    return "bound-" + chain.removeprefix("ep-")


def _elements(table: str, name: str, elements: Iterable[str]) -> list[str]:
    listed = ", ".join(elements)
    return [f"add element {table} {name} {{ {listed} }}"] if listed else []
