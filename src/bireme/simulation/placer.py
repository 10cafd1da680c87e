"""The scheduler's decision, without an API: this is all that the lean player knows of `scheduler/`.

Nodes go in as the API has them, a pod as its template; out comes a node's name or None. What is placed is booked in a
ledger, as it is in a cluster. Follow changes of the scheduler's core here, and nowhere else in `simulation/`.
"""

from collections.abc import Sequence

import numpy as np

from bireme.api import resources
from bireme.api.kinds import core
from bireme.ledger.ledger import Ledger
from bireme.scheduler.filters import node_facts
from bireme.scheduler.profile import Profile, Scorer
from bireme.scheduler.templates import Demand, Nodes, Template, Templates, demand_of, message

__all__ = ["Demand", "Placer"]


class Placer:
    """One scheduler with one profile over one set of nodes."""

    def __init__(self, profile: Profile) -> None:
        self._scorers: Sequence[Scorer] = profile.scorers
        self._ledger = Ledger()
        self._nodes = Nodes(self._ledger)
        self._templates = Templates(self._nodes)

    def set_node(self, node: core.Node) -> None:
        """Have this node, as it is now."""
        self._nodes.set(node_facts(node), resources.read(node.status.allocatable))

    def demand(self, pod: core.Pod) -> Demand:
        """What such a pod asks for: worked out once for all of its template."""
        return demand_of(pod)

    def place(self, pod: core.Pod, demand: Demand, uid: str) -> str | None:
        """The best node for the pod, on which it is booked as `uid`; None when no node will do."""
        template = self._templates.of(demand)
        row = self._best_by_all(pod, template) if self._scorers else template.best()
        if row is None:
            return None
        node = self._ledger.columns.nodes[row]
        self._ledger.promise_pod(uid, node, demand.requests, ports=demand.ports)
        return node

    def has_room(self, demand: Demand, node: str) -> bool:
        """Whether what such a pod requests is free on the node, rules apart."""
        columns = self._ledger.columns
        row = columns.rows.get(node)
        return row is not None and columns.fits(row, demand.requests)

    def release(self, uid: str) -> None:
        """The pod has ended or gone."""
        self._ledger.release_pod(uid)

    def why(self, demand: Demand) -> str:
        """Why no node takes such a pod now, as a FailedScheduling event says it."""
        template = self._templates.of(demand)
        return message(len(self._ledger.nodes()), template.reasons().items())

    def _best_by_all(self, pod: core.Pod, template: Template) -> int | None:
        template.refresh()
        score = template.score.copy()
        for scorer in self._scorers:
            if scorer.filter is not None:
                score[~scorer.filter(pod, self._nodes)] = -np.inf
            if scorer.score is not None:
                score += scorer.weight * scorer.score(pod, self._nodes)
        row = int(score.argmax()) if len(score) else -1
        return row if row >= 0 and score[row] > -np.inf else None
