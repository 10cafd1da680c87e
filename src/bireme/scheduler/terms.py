"""Which pods a term of affinity or a spreading constraint is about, as values that can be compared and kept.

Source: the Kubernetes documentation, "Assigning Pods to Nodes" and "Pod Topology Spread Constraints".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from bireme.api.errors import BadRequest
from bireme.api.kinds import core, meta
from bireme.api.selectors import NOTHING, LabelSelector, Requirement

Namespaces = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Term:
    """Pods with these labels in these namespaces, and in those whose own labels `of_namespaces` picks."""

    selector: LabelSelector
    namespaces: frozenset[str]
    of_namespaces: LabelSelector = NOTHING

    def matches(self, namespace: str, labels: Mapping[str, str], known: Namespaces) -> bool:
        """Whether a pod with these labels is meant; `known` has the labels of all namespaces."""
        meant = namespace in self.namespaces or self.of_namespaces.matches(known.get(namespace, {}))
        return meant and self.selector.matches(labels)


@dataclass(frozen=True, slots=True)
class Bond:
    """A term over the nodes that share a label's value. `weight` is 0 for a required one, below 0 for apart."""

    term: Term
    topology_key: str
    weight: int = 0


class Side(Enum):
    """What a bond of a pod that is already placed does to a newcomer that it matches."""

    REPELS = "required anti-affinity"
    ATTRACTS = "required affinity"
    PREFERS = "preferred, either way"


@dataclass(frozen=True, slots=True)
class Bonds:
    """All that one pod's affinity says of other pods."""

    together: tuple[Bond, ...] = ()
    apart: tuple[Bond, ...] = ()
    preferred: tuple[Bond, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.together or self.apart or self.preferred)

    def sides(self) -> tuple[tuple[Side, Bond], ...]:
        """Each bond with what it does to newcomers, once the pod is placed."""
        return (
            *((Side.REPELS, bond) for bond in self.apart),
            *((Side.ATTRACTS, bond) for bond in self.together),
            *((Side.PREFERS, bond) for bond in self.preferred),
        )


NO_BONDS = Bonds()


def bonds_of(spec: core.PodSpec, namespace: str, labels: Mapping[str, str]) -> Bonds:
    """What the pod says of others; a term without namespaces means its own."""
    wish = spec.affinity
    if wish is None or (wish.pod_affinity is None and wish.pod_anti_affinity is None):
        return NO_BONDS

    def bond(term: core.PodAffinityTerm, weight: int = 0) -> Bond:
        return Bond(term_of(term, namespace, labels), term.topology_key, weight)

    near, far = wish.pod_affinity or core.PodAffinity(), wish.pod_anti_affinity or core.PodAntiAffinity()
    preferred = [
        bond(each.pod_affinity_term, sign * (each.weight or 0))
        for sign, terms in (
            (1, near.preferred_during_scheduling_ignored_during_execution),
            (-1, far.preferred_during_scheduling_ignored_during_execution),
        )
        for each in terms
        if each.pod_affinity_term is not None
    ]
    return Bonds(
        together=tuple(bond(term) for term in near.required_during_scheduling_ignored_during_execution),
        apart=tuple(bond(term) for term in far.required_during_scheduling_ignored_during_execution),
        preferred=tuple(preferred),
    )


def term_of(term: core.PodAffinityTerm, namespace: str, labels: Mapping[str, str]) -> Term:
    """A term of the API, said by a pod with these labels."""
    selector = selector_of(term.label_selector)
    selector = with_own_labels(selector, labels, same=term.match_label_keys, other=term.mismatch_label_keys)
    own = not term.namespaces and term.namespace_selector is None
    return Term(
        selector,
        frozenset((namespace,) if own else term.namespaces),
        NOTHING if term.namespace_selector is None else selector_of(term.namespace_selector),
    )


def selector_of(selector: meta.LabelSelector | None) -> LabelSelector:
    """A selector of the API; one that can't be read selects nothing, as one that is missing."""
    try:
        return LabelSelector.from_struct(selector)
    except BadRequest:
        return NOTHING


def with_own_labels(
    selector: LabelSelector, labels: Mapping[str, str], *, same: list[str], other: list[str] | None = None
) -> LabelSelector:
    """The selector, and that pods share these labels' values with the one that says it, or differ in those."""
    claims = [Requirement(key, "in", frozenset((labels[key],))) for key in same if key in labels]
    claims += [Requirement(key, "notin", frozenset((labels[key],))) for key in other or () if key in labels]
    if not claims or selector.nothing:
        return selector
    return LabelSelector((*selector.requirements, *claims))
