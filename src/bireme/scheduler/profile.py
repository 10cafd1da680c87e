"""What a scheduler prefers: the weights of the scores, how resources are scored, how pods are spread by default.

A profile has a name, which is the `schedulerName` of the pods that it places; several may run side by side on one
account of what is free. Source: the Kubernetes documentation (scheduler configuration, topology spread constraints).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bireme.api.kinds import core

if TYPE_CHECKING:
    from bireme.scheduler.nodes import Nodes

DEFAULT_NAME = "default-scheduler"
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


class Score(StrEnum):
    """The built-in scores, by the names that the scheduler's configuration uses."""

    TAINTS = "TaintToleration"
    NODE_AFFINITY = "NodeAffinity"
    FIT = "NodeResourcesFit"
    BALANCE = "NodeResourcesBalancedAllocation"
    SPREAD = "PodTopologySpread"
    POD_AFFINITY = "InterPodAffinity"
    IMAGES = "ImageLocality"
    DEVICES = "DynamicResources"


WEIGHTS: Mapping[Score, int] = {
    Score.TAINTS: 3,
    Score.NODE_AFFINITY: 2,
    Score.FIT: 1,
    Score.BALANCE: 1,
    Score.SPREAD: 2,
    Score.POD_AFFINITY: 2,
    Score.IMAGES: 1,
    Score.DEVICES: 2,
}


class Strategy(StrEnum):
    """How free resources are scored: spread out, packed, or by a shape."""

    LEAST = "LeastAllocated"
    MOST = "MostAllocated"
    SHAPE = "RequestedToCapacityRatio"


@dataclass(frozen=True, slots=True)
class Fit:
    """How NodeResourcesFit scores: strategy, weighted resources, and for a shape its (percent, 0 to 10) points."""

    strategy: Strategy = Strategy.LEAST
    resources: tuple[tuple[str, int], ...] = (("cpu", 1), ("memory", 1))
    shape: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Spreading:
    """A constraint for pods that state none of their own; a hard one leaves nodes out."""

    topology_key: str
    max_skew: int
    hard: bool = False


NO_AFFINITY = core.NodeAffinity()
SYSTEM_SPREADING = (Spreading(HOSTNAME, 3), Spreading(ZONE, 5))


@dataclass(frozen=True, slots=True)
class Scorer:
    """A preference, or a rule, of a user's own, over all nodes at once.

    `score(pod, nodes)` gives an array with a number from 0 to 100 for each row of the nodes' columns; `filter(pod,
    nodes)` one of booleans, false for nodes that won't do. `nodes` is to be read, not changed.
    """

    name: str
    weight: float = 1.0
    score: Callable[[core.Pod, "Nodes"], NDArray[np.float64]] | None = None
    filter: Callable[[core.Pod, "Nodes"], NDArray[np.bool_]] | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """On how many nodes preemption is looked at one by one where more than amounts decides: so many in a hundred of
    those where it may help, but not fewer than `absolute`."""

    percentage: int = 10
    absolute: int = 100

    def among(self, nodes: int) -> int:
        """How many of so many nodes."""
        return min(max(nodes * self.percentage // 100, self.absolute), nodes)


@dataclass(frozen=True, slots=True)
class Profile:
    """One scheduler's preferences. A weight of 0 switches a score off; the filters of the plugins in `off` are not
    asked. `ignored` are extended resources, or all of a group by its name, that are taken to be there.

    `added_affinity` goes for every pod beside its own. With `ignores_preferences` what placed pods say of a newcomer
    scores only if that has preferences among pods itself.
    """

    name: str = DEFAULT_NAME
    weights: Mapping[Score, int] = field(default_factory=lambda: WEIGHTS)
    fit: Fit = Fit()
    balanced: tuple[str, ...] = ("cpu", "memory")
    spreading: tuple[Spreading, ...] = SYSTEM_SPREADING
    system_spreading: bool = True
    hard_affinity_weight: int = 1
    ignores_preferences: bool = False
    added_affinity: core.NodeAffinity = NO_AFFINITY
    scorers: tuple[Scorer, ...] = ()
    off: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    candidates: Candidates = Candidates()

    def counts(self, resource: str) -> bool:
        """Whether a node must have as much of the resource free as a pod asks for."""
        if "NodeResourcesFit" in self.off:
            return False
        group, _, rest = resource.partition("/")
        return not rest or (resource not in self.ignored and group not in self.ignored)

    def weight(self, score: Score) -> int:
        """How much the score counts."""
        return self.weights.get(score, 0)


DEFAULT = Profile()
