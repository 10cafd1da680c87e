"""The scheduler's decision, without an API: this is all that the lean player knows of `scheduler/`, its queue apart.

Nodes go in as the API has them, and so do pods; out comes a node's name or None. What is placed is counted in the
scheduler's world and booked in its ledger, as it is in a cluster.
"""

from bireme.api.kinds import core
from bireme.ledger.ledger import Ledger
from bireme.scheduler.demand import Demand, demand_of
from bireme.scheduler.explanation import Explanation, message
from bireme.scheduler.interface import Lack
from bireme.scheduler.nominated import Nominated
from bireme.scheduler.preempting import Preempting
from bireme.scheduler.profile import Profile
from bireme.scheduler.queue import ALL
from bireme.scheduler.templates import Templates
from bireme.scheduler.world import World

FREED = Lack.AMOUNTS | Lack.PORTS | Lack.PODS
"""What a pod that goes may help others with."""


class Placer:
    """One scheduler with one profile over one set of nodes."""

    def __init__(self, profile: Profile) -> None:
        self._world = World(Ledger())
        self._templates = Templates(self._world, profile)
        self._preempting = Preempting(self._world, Nominated(self._world))

    def set_node(self, node: core.Node) -> None:
        """Have this node, as it is now."""
        self._world.set_node(node)

    def demand(self, pod: core.Pod) -> Demand:
        """What such a pod asks for."""
        return demand_of(pod)

    def place(self, pod: core.Pod, uid: str) -> str | None:
        """The best node for the pod, on which it is counted as `uid`; None when no node will do."""
        template = self._templates.of(pod)
        row = template.best(pod=pod)
        if row is None:
            return None
        node = self._world.ledger.columns.nodes[row]
        pod.metadata.uid = uid  # the pod is its form's, and lent to each of its kind
        template.assume(pod, node)
        return node

    def victims(self, pod: core.Pod) -> list[str]:
        """The uids of those whose eviction makes room for a pod that no node takes; none where that does not help."""
        priority, preempting = pod.spec.priority or 0, self._preempting
        if pod.spec.preemption_policy == "Never" or not any(other < priority for other in self._world.priorities):
            return []
        if preempting.is_cold(priority):
            for _ in preempting.warm():
                continue
        template = self._templates.of(pod)
        choice = preempting.choose(pod, template, Explanation(template), ())
        return [] if isinstance(choice, str) else [victim.uid for victim in choice.victims]

    def release(self, uid: str) -> None:
        """The pod has ended or gone."""
        self._world.displace(uid)

    def lack(self, demand: Demand) -> Lack:
        """What a pod of that demand may be short of when it is refused."""
        pods = Lack.PODS if demand.has_terms else Lack(0)
        ports = Lack.PORTS if demand.ports else Lack(0)
        return Lack.AMOUNTS | Lack.NODE | ports | pods

    def room(self, demand: Demand, node: str) -> int:
        """For how many of such pods the node has what they request; rules apart, which may ask for pods elsewhere."""
        if demand.has_terms:
            return ALL
        free = self._world.ledger.free(node)
        return max(0, min(free.get(name, 0) // amount for name, amount in demand.load.amounts.items() if amount > 0))

    def why(self, pod: core.Pod) -> str:
        """Why no node takes such a pod now, as a FailedScheduling event says it."""
        reasons = Explanation(self._templates.of(pod)).counts()
        return message(len(self._world.ledger.nodes()), reasons.items())
