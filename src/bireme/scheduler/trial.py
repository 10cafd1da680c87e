"""Would it help? A change is made in thought, and the nodes are looked at by the scheduler's own rules.

A `Trial` that has the world to itself changes its nodes for the length of a look. One in a scheduler that is at work
leaves them alone: there a change to a node is tried on that node only, as far as it alone decides.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from bireme.api.kinds import core
from bireme.ledger.ledger import Ledger
from bireme.scheduler import filters
from bireme.scheduler.changes import Change
from bireme.scheduler.changes_of_nodes import AddNode, Evict, NodeChange
from bireme.scheduler.explanation import Explanation, Rule, refusal_if
from bireme.scheduler.interface import Mask
from bireme.scheduler.nodes import Flags, NodeFacts
from bireme.scheduler.profile import DEFAULT, HOSTNAME, Profile
from bireme.scheduler.scores import REFUSED
from bireme.scheduler.templates import DefaultSelector, Template, Templates, no_selector
from bireme.scheduler.world import World

NEW = "\0new"
OF_NODES = (Rule.CORDON, Rule.NAME, Rule.TAINTS, Rule.SELECTION)


@dataclass(frozen=True, slots=True)
class Trial:
    """A pod and the world in which it looks for a node. `owns_world`: nobody else looks at it."""

    world: World
    pod: core.Pod
    masks: Sequence[Mask] = ()
    profile: Profile = DEFAULT
    default_selector: DefaultSelector = no_selector
    owns_world: bool = False
    tries: list[tuple[Change, ...]] = field(default_factory=list)

    def template(self, pod: core.Pod | None = None) -> Template:
        """A template of the pod, kept by nobody."""
        templates = Templates(self.world, self.profile, default_selector=self.default_selector)
        return templates.of(pod or self.pod)

    def explanation(self) -> Explanation:
        """Why the nodes won't do as things are."""
        return Explanation(self.template(), self.masks)

    def opens(self, changes: Sequence[Change]) -> list[str]:
        """The nodes that would do after all of the changes, by row."""
        self.tries.append(tuple(changes))
        pod = self.pod
        for change in changes:
            pod = change.to_pod(pod)
        of_nodes = [change for change in changes if isinstance(change, NodeChange | AddNode)]
        if of_nodes and not self.owns_world:
            return self._opened_alone(pod, changes, of_nodes)
        with self._changed(of_nodes) as masks:
            rows = self._open(pod, masks, [change for change in changes if isinstance(change, Evict)])
            return [self.world.ledger.columns.nodes[row] for row in rows]

    def _open(self, pod: core.Pod, masks: Sequence[Mask], evictions: Sequence[Evict]) -> list[int]:
        template = self.template(pod)
        scores = template.scores(masks, pod=pod)
        rows = set(np.flatnonzero(scores > REFUSED).tolist())
        for eviction in evictions:
            row = self.world.nodes.row(eviction.node)
            allowed = template.column.allowed[row] and all(mask.allowed[row] for mask in masks)
            if allowed and refusal_if(template, row, gone=eviction.pods) is None:
                rows.add(row)
        return sorted(rows)

    @contextmanager
    def _changed(self, changes: Sequence[NodeChange | AddNode]) -> Iterator[Sequence[Mask]]:
        """The nodes are as the changes make them, until the block is left; the masks as long as the columns."""
        world, before = self.world, list[tuple[str, NodeFacts | None, dict[str, int]]]()
        columns = world.ledger.columns
        masks = [_longer(mask, columns.capacity) for mask in self.masks]
        try:
            for change in changes:
                like = change.like if isinstance(change, AddNode) else change.node
                row = world.nodes.row(like)
                facts, allocatable = world.nodes.facts[row], world.ledger.allocatable(like)
                if isinstance(change, AddNode):
                    before.append((NEW, None, allocatable))
                    world.set_facts(newborn(facts), allocatable)
                    masks = [_longer(mask, columns.capacity) for mask in masks]
                    for mask in masks:
                        mask.allowed[columns.rows[NEW]] = mask.allowed[row]
                else:
                    before.append((like, facts, allocatable))
                    world.set_facts(change.to_node(facts), allocatable)
            yield masks
        finally:
            for name, old, allocatable in reversed(before):
                if old is None:
                    world.remove_node(name)
                else:
                    world.set_facts(old, allocatable)

    def _opened_alone(self, pod: core.Pod, changes: Sequence[Change], of_nodes: Sequence[Change]) -> list[str]:
        """As far as the changed node alone decides: where others have a say, nothing is promised."""
        names = {change.node for change in of_nodes if isinstance(change, NodeChange)}
        template = self.template(pod)
        others = template.spread is not None and bool(template.spread.constrains)
        if len(names) != 1 or others or template.affinity.is_alive() or any(isinstance(c, AddNode) for c in of_nodes):
            return []
        name = names.pop()
        row = self.world.nodes.row(name)
        facts = self.world.nodes.facts[row]
        for change in changes:
            facts = change.to_node(facts)
        alone = World(Ledger())
        alone.set_facts(facts, {})
        if not filters.allowed(pod.spec, alone.nodes, self.profile)[alone.nodes.row(name)]:
            return []
        stages = Explanation(template, self.masks).stages
        return [name] if all(stage.passed[row] or stage.rule in OF_NODES for stage in stages) else []


def newborn(facts: NodeFacts) -> NodeFacts:
    """A node like this one, as it is when it joins: under its own name, well, and without images."""
    labels = {**facts.labels, HOSTNAME: NEW} if HOSTNAME in facts.labels else facts.labels
    taints = tuple(taint for taint in facts.taints if not taint.key.startswith("node.kubernetes.io/"))
    return replace(facts, name=NEW, labels=labels, taints=taints, unschedulable=False, images={})


def _longer(mask: Mask, capacity: int) -> Mask:
    allowed: Flags = np.zeros(capacity, dtype=bool)
    allowed[: len(mask.allowed)] = mask.allowed
    return replace(mask, allowed=allowed)
