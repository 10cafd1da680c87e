"""A scheduler as the documentation describes it: one pod, one node after the other, nothing kept.

It shares no code with the real one but the API's types and quantities, and exists to be compared with it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from bireme.api.kinds import core, meta
from bireme.api.quantity import milli, value

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
MIB = 2**20


@dataclass
class Plain:
    """Nodes, pods with the nodes they are on, and the labels of namespaces."""

    nodes: dict[str, core.Node] = field(default_factory=dict)
    pods: dict[str, tuple[core.Pod, str]] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    off: frozenset[str] = frozenset()
    added: core.NodeAffinity | None = None
    ignores_preferences: bool = False
    spreading: Sequence[tuple[str, int, bool]] = ((HOSTNAME, 3, False), (ZONE, 5, False))
    """What goes for pods that state no constraint: key, skew, and whether it is hard."""
    system_spreading: bool = True
    default: Callable[[core.Pod], meta.LabelSelector | None] = lambda pod: None

    def feasible(self, pod: core.Pod) -> list[str]:
        """The nodes that would do."""
        return [name for name in self.nodes if self.fits(pod, self.nodes[name])]

    def scores(self, pod: core.Pod) -> dict[str, int]:
        """The weighted score of each feasible node."""
        names = self.feasible(pod)
        parts = [
            (3, reversed_part({name: self.avoided(pod, self.nodes[name]) for name in names})),
            (2, plain_part({name: self.liked(pod, self.nodes[name]) for name in names})),
            (1, {name: self.least_allocated(pod, self.nodes[name]) for name in names}),
            (1, {name: self.balanced(pod, self.nodes[name]) for name in names}),
            (2, self.spread_scores(pod, names)),
            (2, self.affinity_scores(pod, names)),
            (1, {name: self.image_score(pod, self.nodes[name]) for name in names}),
        ]
        return {name: sum(weight * part.get(name, 0) for weight, part in parts) for name in names}

    # What the node says of itself

    def fits(self, pod: core.Pod, node: core.Node) -> bool:
        """Every filter at once, but those that are off."""
        return all(
            plugin in self.off or passes()
            for plugin, passes in (
                ("NodeUnschedulable", lambda: not node.spec.unschedulable or tolerated(pod, CORDON)),
                ("TaintToleration", lambda: untainted(pod, node)),
                ("NodeAffinity", lambda: required(self.added, node) and selected(pod, node)),
                ("NodePorts", lambda: self.has_ports(pod, node)),
                ("NodeResourcesFit", lambda: self.has_room(pod, node)),
                ("PodTopologySpread", lambda: self.is_spread(pod, node)),
                ("InterPodAffinity", lambda: self.likes_company(pod, node)),
            )
        )

    def liked(self, pod: core.Pod, node: core.Node) -> int:
        """Preferences of the pod and of the profile."""
        wish = pod.spec.affinity.node_affinity if pod.spec.affinity else None
        return preferred(wish, node) + preferred(self.added, node)

    def on(self, node: core.Node) -> list[core.Pod]:
        """The pods on a node."""
        return [pod for pod, name in self.pods.values() if name == node.metadata.name]

    def has_ports(self, pod: core.Pod, node: core.Node) -> bool:
        """No host port is taken."""
        taken = {port for other in self.on(node) for port in ports(other)}
        return not taken & set(ports(pod))

    def has_room(self, pod: core.Pod, node: core.Node) -> bool:
        """All amounts are free."""
        wanted, have = {**amounts(pod), "pods": 1}, node.status.allocatable
        used = [{**amounts(other), "pods": 1} for other in self.on(node)]
        return all(
            amount == 0 or sum(each.get(name, 0) for each in used) + amount <= number(name, have.get(name, 0))
            for name, amount in wanted.items()
        )

    def least_allocated(self, pod: core.Pod, node: core.Node) -> int:
        """Mean of the free parts."""
        parts = []
        for name, least in (("cpu", 100), ("memory", 200 * MIB)):
            capacity = number(name, node.status.allocatable.get(name, 0))
            used = sum(amounts(each).get(name) or least for each in (*self.on(node), pod))
            if capacity:
                parts.append((capacity - used) * 100 // capacity if used <= capacity else 0)
        return sum(parts) // len(parts) if parts else 0

    def balanced(self, pod: core.Pod, node: core.Node) -> int:
        """How much more even cpu and memory are used with the pod than without."""
        if not amounts(pod).get("cpu") and not amounts(pod).get("memory"):
            return 0
        there = self.on(node)
        return 50 + (50 + evenness(node, [*there, pod]) - evenness(node, there)) // 2

    def avoided(self, pod: core.Pod, node: core.Node) -> int:
        """PreferNoSchedule taints that are not tolerated."""
        return sum(taint.effect == "PreferNoSchedule" and not tolerated(pod, taint) for taint in node.spec.taints)

    def image_score(self, pod: core.Pod, node: core.Node) -> int:
        """Images that are there, by size and how many nodes have them."""
        total = 0
        for container in pod.spec.containers:
            name = container.image if ":" in container.image else f"{container.image}:latest"
            sizes = {
                n: i.size_bytes or 0 for n, each in self.nodes.items() for i in each.status.images if name in i.names
            }
            if node.metadata.name in sizes:
                total += int(sizes[node.metadata.name] * (len(sizes) / len(self.nodes)))
        least, most = 23 * MIB, 1000 * MIB * len(pod.spec.containers)
        return int((min(max(total, least), most) - least) * 100 / (most - least))

    # Spreading

    def counted(self, pod: core.Pod, each: core.TopologySpreadConstraint, node: core.Node) -> int:
        """Pods on the node that the constraint is about."""
        return sum(
            other.metadata.namespace == pod.metadata.namespace
            and not other.metadata.deletion_timestamp
            and picks(spread_selector(each, pod), other.metadata.labels)
            for other in self.on(node)
        )

    def honoured(self, pod: core.Pod, each: core.TopologySpreadConstraint, node: core.Node) -> bool:
        """The constraint's policies let the node count; a filter that is off does not count here either."""
        if each.node_affinity_policy != "Ignore" and "NodeAffinity" not in self.off and not selected(pod, node):
            return False
        if each.node_taints_policy == "Honor" and not {"TaintToleration", "NodeUnschedulable"} & self.off:
            return untainted(pod, node) and (not node.spec.unschedulable or tolerated(pod, CORDON))
        return True

    def is_spread(self, pod: core.Pod, node: core.Node) -> bool:
        """Every hard constraint."""
        hard = [each for each in self.constraints(pod) if each.when_unsatisfiable == "DoNotSchedule"]
        keys = [each.topology_key for each in hard]
        if any(key not in node.metadata.labels for key in keys):
            return False
        for each in hard:
            sums: dict[str, int] = {}
            for other in self.nodes.values():
                if all(key in other.metadata.labels for key in keys) and self.honoured(pod, each, other):
                    domain = other.metadata.labels[each.topology_key]
                    sums[domain] = sums.get(domain, 0) + self.counted(pod, each, other)
            least = min(sums.values(), default=0) if len(sums) >= (each.min_domains or 1) else 0
            self_match = picks(spread_selector(each, pod), pod.metadata.labels)
            if sums.get(node.metadata.labels[each.topology_key], 0) + self_match - least > (each.max_skew or 1):
                return False
        return True

    def constraints(self, pod: core.Pod) -> list[core.TopologySpreadConstraint]:
        """Those that the pod states, or else those of the profile."""
        default = self.default(pod)
        if pod.spec.topology_spread_constraints or default is None:
            return pod.spec.topology_spread_constraints
        return [
            core.TopologySpreadConstraint(
                topology_key=key,
                max_skew=skew,
                when_unsatisfiable="DoNotSchedule" if hard else "ScheduleAnyway",
                label_selector=default,
            )
            for key, skew, hard in self.spreading
        ]

    def spread_scores(self, pod: core.Pod, names: Sequence[str]) -> dict[str, int]:
        """Every soft constraint."""
        stated = pod.spec.topology_spread_constraints or not self.system_spreading
        soft = [each for each in self.constraints(pod) if each.when_unsatisfiable == "ScheduleAnyway"]
        if not soft:
            return {}
        keys = [each.topology_key for each in soft]

        def labelled(node: core.Node) -> bool:
            return not stated or all(key in node.metadata.labels for key in keys)

        among = [name for name in names if labelled(self.nodes[name])]
        raw = dict.fromkeys(among, 0.0)
        for each in soft:
            domains = {self.nodes[name].metadata.labels.get(each.topology_key) for name in among} - {None}
            size = len(among) if each.topology_key == HOSTNAME else len(domains)
            for name in among:
                domain = self.nodes[name].metadata.labels.get(each.topology_key)
                if domain is None:
                    continue
                if each.topology_key == HOSTNAME:
                    count = self.counted(pod, each, self.nodes[name])
                else:
                    count = sum(
                        self.counted(pod, each, other)
                        for other in self.nodes.values()
                        if other.metadata.labels.get(each.topology_key) == domain
                        and labelled(other)
                        and self.honoured(pod, each, other)
                    )
                raw[name] += count * math.log(size + 2) + (each.max_skew or 1) - 1
        whole = {name: math.floor(score + 0.5) for name, score in raw.items()}
        most, least = max(whole.values(), default=0), min(whole.values(), default=0)
        return {name: 100 if most == 0 else 100 * (most + least - score) // most for name, score in whole.items()}

    # Affinity between pods

    def meant(self, who: core.Pod, term: core.PodAffinityTerm, other: core.Pod) -> bool:
        """The term, said by `who`, is about `other`."""
        space = other.metadata.namespace
        own = not term.namespaces and term.namespace_selector is None
        inside = (own and space == who.metadata.namespace) or space in term.namespaces
        if not inside and term.namespace_selector is not None:
            inside = picks(term.namespace_selector, self.namespaces.get(space, {}))
        if not inside or not picks(term.label_selector, other.metadata.labels):
            return False
        mine, theirs = who.metadata.labels, other.metadata.labels
        return all(theirs.get(key) == mine[key] for key in term.match_label_keys if key in mine) and all(
            theirs.get(key) != mine[key] for key in term.mismatch_label_keys if key in mine
        )

    def in_domain(self, key: str, node: core.Node) -> list[core.Pod]:
        """The pods on nodes with the same value of the label."""
        domain = node.metadata.labels.get(key)
        return [pod for pod, name in self.pods.values() if domain is not None and self.label_of(name, key) == domain]

    def share(self, key: str, node: core.Node, name: str) -> bool:
        """Whether both nodes have the label, with one value."""
        here = node.metadata.labels.get(key)
        return here is not None and self.label_of(name, key) == here

    def label_of(self, name: str, key: str) -> str | None:
        """A label of a node, if both are there."""
        return self.nodes[name].metadata.labels.get(key) if name in self.nodes else None

    def likes_company(self, pod: core.Pod, node: core.Node) -> bool:
        """Required terms of both sides."""
        near, apart, _ = terms(pod)
        if any(self.meant(pod, t, other) for t in apart for other in self.in_domain(t.topology_key, node)):
            return False
        for other, name in self.pods.values():
            for term in terms(other)[1]:
                here = node.metadata.labels.get(term.topology_key)
                if (
                    here is not None
                    and self.label_of(name, term.topology_key) == here
                    and self.meant(other, term, pod)
                ):
                    return False
        if not near:
            return True
        if any(term.topology_key not in node.metadata.labels for term in near):
            return False

        def partners(found: Sequence[core.Pod]) -> bool:
            return any(all(self.meant(pod, term, other) for term in near) for other in found)

        anywhere = [
            other
            for other, name in self.pods.values()
            if any(self.label_of(name, term.topology_key) is not None for term in near)
        ]
        if not partners(anywhere) and all(self.meant(pod, term, pod) for term in near):
            return True
        return all(partners(self.in_domain(term.topology_key, node)) for term in near)

    def affinity_scores(self, pod: core.Pod, names: Sequence[str]) -> dict[str, int]:
        """Preferences of both sides, and what placed pods require."""
        if self.ignores_preferences and not terms(pod)[2]:
            return {}
        raw: dict[str, int] = {}
        for name in names:
            node, total = self.nodes[name], 0
            for weight, term in terms(pod)[2]:
                total += weight * sum(
                    self.meant(pod, term, other) for other in self.in_domain(term.topology_key, node)
                )
            for other, place in self.pods.values():
                near, _, preferred_terms = terms(other)
                for weight, term in [*((1, term) for term in near), *preferred_terms]:
                    total += weight * (self.share(term.topology_key, node, place) and self.meant(other, term, pod))
            raw[name] = total
        most, least = max(raw.values(), default=0), min(raw.values(), default=0)
        if most == least:
            return {}
        return {name: int(100 * ((score - least) / (most - least))) for name, score in raw.items()}


CORDON = core.Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
Terms = tuple[list[core.PodAffinityTerm], list[core.PodAffinityTerm], list[tuple[int, core.PodAffinityTerm]]]


def terms(pod: core.Pod) -> Terms:
    """Required near, required apart, preferred with weights (apart below 0)."""
    wish = pod.spec.affinity or core.Affinity()
    near, far = wish.pod_affinity or core.PodAffinity(), wish.pod_anti_affinity or core.PodAntiAffinity()
    return (
        near.required_during_scheduling_ignored_during_execution,
        far.required_during_scheduling_ignored_during_execution,
        [
            (sign * (each.weight or 0), each.pod_affinity_term or core.PodAffinityTerm())
            for sign, wishes in ((1, near), (-1, far))
            for each in wishes.preferred_during_scheduling_ignored_during_execution
        ],
    )


def picks(selector: meta.LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether the selector is about such labels."""
    if selector is None:
        return False
    return all(labels.get(key) == wanted for key, wanted in selector.match_labels.items()) and all(
        holds(each.operator, each.values, labels.get(each.key)) for each in selector.match_expressions
    )


def spread_selector(each: core.TopologySpreadConstraint, pod: core.Pod) -> meta.LabelSelector | None:
    """The constraint's selector with the pod's own values of some labels."""
    if each.label_selector is None:
        return None
    own = {key: pod.metadata.labels[key] for key in each.match_label_keys if key in pod.metadata.labels}
    more = [meta.LabelSelectorRequirement(key=key, operator="In", values=[text]) for key, text in own.items()]
    return meta.LabelSelector(
        match_labels=each.label_selector.match_labels,
        match_expressions=[*each.label_selector.match_expressions, *more],
    )


def holds(operator: str, values: Sequence[str], have: str | None) -> bool:
    """One claim about one label."""
    if operator == "In":
        return have in values
    if operator == "NotIn":
        return have not in values
    if operator in ("Gt", "Lt"):
        if have is None or not have.lstrip("-").isdecimal():
            return False
        return int(have) > int(values[0]) if operator == "Gt" else int(have) < int(values[0])
    return (have is not None) is (operator == "Exists")


def matches(term: core.NodeSelectorTerm, node: core.Node) -> bool:
    """A term of node affinity."""
    if not term.match_expressions and not term.match_fields:
        return False
    return all(holds(e.operator, e.values, node.metadata.labels.get(e.key)) for e in term.match_expressions) and all(
        holds(e.operator, e.values, node.metadata.name) for e in term.match_fields
    )


def selected(pod: core.Pod, node: core.Node) -> bool:
    """Node selector and required node affinity."""
    if any(node.metadata.labels.get(key) != wanted for key, wanted in pod.spec.node_selector.items()):
        return False
    return required(pod.spec.affinity.node_affinity if pod.spec.affinity else None, node)


def required(wish: core.NodeAffinity | None, node: core.Node) -> bool:
    """Required node affinity."""
    wanted = wish.required_during_scheduling_ignored_during_execution if wish else None
    return wanted is None or any(matches(term, node) for term in wanted.node_selector_terms)


def preferred(wish: core.NodeAffinity | None, node: core.Node) -> int:
    """Preferred node affinity."""
    liked = wish.preferred_during_scheduling_ignored_during_execution if wish else []
    return sum(each.weight or 0 for each in liked if each.preference and matches(each.preference, node))


def untainted(pod: core.Pod, node: core.Node) -> bool:
    """No taint keeps the pod away."""
    return not any(
        each.effect in ("NoSchedule", "NoExecute") and not tolerated(pod, each) for each in node.spec.taints
    )


def tolerated(pod: core.Pod, taint: core.Taint) -> bool:
    """One of the pod's tolerations covers the taint."""
    return any(
        each.effect in ("", taint.effect)
        and each.key in ("", taint.key)
        and (each.operator == "Exists" or (bool(each.key) and each.value == taint.value))
        for each in pod.spec.tolerations
    )


def ports(pod: core.Pod) -> list[tuple[str, int]]:
    """Host ports."""
    return [(p.protocol or "TCP", p.host_port) for c in pod.spec.containers for p in c.ports if p.host_port]


def amounts(pod: core.Pod) -> dict[str, int]:
    """What the containers request."""
    total: dict[str, int] = {}
    for container in pod.spec.containers:
        for name, text in (container.resources.requests if container.resources else {}).items():
            total[name] = total.get(name, 0) + number(name, text)
    return total


def number(name: str, text: str | int | float) -> int:
    """An amount in its unit."""
    return milli(text) if name == "cpu" else value(text)


def evenness(node: core.Node, pods: Sequence[core.Pod]) -> int:
    """How even these pods use the node's cpu and memory."""
    parts = []
    for name in ("cpu", "memory"):
        capacity = number(name, node.status.allocatable.get(name, 0))
        if capacity:
            parts.append(min(sum(amounts(each).get(name, 0) for each in pods) / capacity, 1.0))
    return int((1 - (abs(parts[0] - parts[1]) / 2 if len(parts) == 2 else 0.0)) * 100)


def plain_part(raw: Mapping[str, int]) -> dict[str, int]:
    """Scaled so that the most is 100."""
    most = max(raw.values(), default=0)
    return {name: int(Fraction(score * 100, most)) if most else 0 for name, score in raw.items()}


def reversed_part(raw: Mapping[str, int]) -> dict[str, int]:
    """Scaled so that none is 100."""
    return {name: 100 - score for name, score in plain_part(raw).items()}
