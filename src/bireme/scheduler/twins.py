"""Pods that get the same answer, and whether what has changed since they were refused may help them.

Thousands of pods of one Deployment may wait for the same thing, so a change is thought over once for all of them, and
as many are woken as it may help. What changed is gathered and looked at in one go. What is asked here must never say
no where yes is right: a pod that nobody wakes waits for minutes.
Source: the Kubernetes documentation (queueing hints).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from bireme.scheduler.explanation import refusal_if
from bireme.scheduler.interface import NOTHING, ROOM, Lack
from bireme.scheduler.nominated import Nominated, amounts_decide
from bireme.scheduler.placed import LabelSet, Placed
from bireme.scheduler.queue import ALL, Waiting
from bireme.scheduler.templates import Template
from bireme.scheduler.terms import Bond, Side, Term
from bireme.scheduler.world import World

MANY = 64
RULES = Lack.VOLUMES | Lack.DEVICES | Lack.GROUP


@dataclass(frozen=True, slots=True)
class Twins:
    """Pods of one template and priority. `only` names the pod where there are no twins: it has a node in view, or
    rules look at it by itself. `preempts`: others may be evicted for them."""

    template: Template
    priority: int
    preempts: bool
    only: str = ""


@dataclass(slots=True)
class Changes:
    """What happened since the queue was last told."""

    rows: set[int] = field(default_factory=set)
    labels: set[LabelSet] = field(default_factory=set)
    repelling: set[Bond] = field(default_factory=set)
    released: bool = False
    lack: Lack = NOTHING

    def __bool__(self) -> bool:
        return bool(self.lack)

    def node_changed(self, row: int) -> None:
        """A node came or is another now."""
        self.rows.add(row)
        self.lack |= Lack.NODE | ROOM

    def domains_changed(self) -> None:
        """A node left, or namespaces have other labels: which pods are near which may have changed."""
        self.lack |= Lack.NODE | Lack.PODS

    def came(self, pod: Placed) -> None:
        """A pod is on a node, or has other labels there."""
        self.labels.add(pod.labels)
        self.lack |= Lack.PODS

    def left(self, pod: Placed) -> None:
        """A pod left its node."""
        if pod.row >= 0:
            self.rows.add(pod.row)
        self.labels.add(pod.labels)
        self.repelling.update(held.bond for held in pod.held if held.side is Side.REPELS)
        self.lack |= ROOM

    def offer_ended(self) -> None:
        """What was offered is free again, on a node that is not told."""
        self.released = True
        self.lack |= Lack.AMOUNTS | Lack.PORTS


def helped(waiting: Waiting, changes: Changes, world: World, nominated: Nominated) -> int:
    """How many of the pod's twins the changes may help."""
    twins = waiting.group
    count = _helped(waiting, changes, world, nominated)
    if isinstance(twins, Twins) and not twins.template.column.is_kept:
        twins.template.column.drop()  # as many kinds as like may wait, and each has numbers for every node
    return count


def _helped(waiting: Waiting, changes: Changes, world: World, nominated: Nominated) -> int:
    twins = waiting.group
    if not isinstance(twins, Twins) or waiting.lack & changes.lack & RULES:
        return ALL
    if waiting.lack & Lack.PODS and _pods_matter(twins.template, changes, world):
        return ALL
    if twins.only and _was_made_room(twins, changes, world, nominated):
        return ALL
    rows: Iterable[int] = changes.rows
    if changes.released or len(changes.rows) > MANY:
        if twins.template.best() is not None:
            return ALL
        rows = changes.rows if twins.preempts else ()
    return sum(copies(twins, row, world, nominated) for row in rows)


def _was_made_room(twins: Twins, changes: Changes, world: World, nominated: Nominated) -> bool:
    """Whether the last of those has left who had to for this one pod. Whoever has the room now, its wait is over."""
    node = nominated.node_of(twins.only)
    row = world.nodes.row(node) if node else -1
    return row in changes.rows and not any(
        each.leaving and each.priority < twins.priority for each in world.on_row(row)
    )


def _pods_matter(template: Template, changes: Changes, world: World) -> bool:
    """Whether pods that came or left, or nodes, are such as the template's terms are about."""
    if changes.lack & Lack.NODE:
        return True
    known, labels = world.namespaces, template.labels
    if any(bond.term.matches(labels.namespace, labels.labels, known) for bond in changes.repelling):
        return True
    terms = required_terms(template)
    return any(term.matches(each.namespace, each.labels, known) for term in terms for each in changes.labels)


def required_terms(template: Template) -> list[Term]:
    """Which other pods can rule out a node for such a pod."""
    bonds, labels = template.affinity.bonds, template.labels
    terms = [bond.term for bond in (*bonds.together, *bonds.apart)]
    hard = template.spread.hard if template.spread is not None else ()
    return terms + [Term(each.selector, frozenset((labels.namespace,))) for each in hard]


def copies(twins: Twins, row: int, world: World, nominated: Nominated) -> int:
    """How many such pods the row would take now; one, if it would after evictions."""
    template, columns = twins.template, world.ledger.columns
    template.column.refresh()
    if not columns.live[row] or not template.column.allowed[row]:
        return 0
    come = nominated.on(columns.nodes[row], least=twins.priority, but=twins.only)
    if refusal_if(template, row, come=come) is None:
        if not amounts_decide(template) or come:
            return 1
        return _room(template, row, world)
    if not twins.preempts:
        return 0
    gone = [pod for pod in world.on_row(row) if pod.priority < twins.priority]
    return 1 if gone and refusal_if(template, row, gone=gone, come=come) is None else 0


def _room(template: Template, row: int, world: World) -> int:
    columns, wanted = world.ledger.columns, template.column.needed()
    free = columns.allocatable[row] - columns.promised[row]
    asked = wanted > 0
    return int(np.min(free[asked] // wanted[asked])) if asked.any() else ALL
