"""One function a preference, from 0 to 100; `WEIGHTS` says how much each counts.

Amount-based scores work on whole columns; those about the node's own properties are made once for a node and
template. Source: the Kubernetes documentation.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bireme.api.kinds import core
from bireme.scheduler.filters import NodeFacts, term_matches, tolerates

WEIGHTS = {"fit": 1.0, "balance": 1.0, "affinity": 2.0, "taints": 3.0, "images": 1.0}
SMALL_IMAGE = 23 * 2**20
LARGE_IMAGE = 1000 * 2**20

Column = NDArray[np.float64]


def least_allocated(wanted: Column, capacity: Column) -> Column:
    """How much would be left: the mean over cpu and memory of the free part, in percent.

    `wanted` is what would be taken with the pod on the node; both have a row a node and two columns.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where((capacity > 0) & (wanted <= capacity), (capacity - wanted) * 100.0 / capacity, 0.0)
    result: Column = left.mean(axis=1)
    return result


def balanced(taken: Column, capacity: Column) -> Column:
    """How even cpu and memory would be used: 100 when both to the same part."""
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(capacity > 0, np.minimum(taken / capacity, 1.0), 1.0)
    result: Column = (1.0 - np.abs(part[:, 0] - part[:, 1]) / 2.0) * 100.0
    return result


def affinity_weight(spec: core.PodSpec, node: NodeFacts) -> int:
    """The sum of the weights of the preferred node affinity terms that hold."""
    wish = spec.affinity.node_affinity if spec.affinity else None
    if wish is None:
        return 0
    return sum(
        term.weight or 0
        for term in wish.preferred_during_scheduling_ignored_during_execution
        if term.preference is not None and term_matches(term.preference, node)
    )


def avoided_taints(spec: core.PodSpec, node: NodeFacts) -> int:
    """How many PreferNoSchedule taints the pod does not tolerate."""
    return sum(taint.effect == "PreferNoSchedule" and not tolerates(spec.tolerations, taint) for taint in node.taints)


def image_locality(spec: core.PodSpec, node: NodeFacts, *, holders: Mapping[str, int], nodes: int) -> float:
    """How much of the pod's images is there, each counted by the part of all nodes that hold it."""
    if not node.images or nodes == 0:
        return 0.0
    names = [container.image for container in (*spec.init_containers, *spec.containers)]
    held = sum(node.images.get(name, 0) * holders.get(name, 0) / nodes for name in names)
    most = LARGE_IMAGE * max(len(names), 1)
    return float(np.clip((held - SMALL_IMAGE) / (most - SMALL_IMAGE), 0.0, 1.0) * 100.0)


def node_score(affinity: Column, avoided: Column, images: Column, *, chosen: NDArray[np.bool_]) -> Column:
    """The weighted score of what nodes say of themselves, made comparable over the `chosen` ones."""
    best = float(affinity[chosen].max(initial=0.0))
    worst = float(avoided[chosen].max(initial=0.0))
    result = WEIGHTS["images"] * images
    if best > 0:
        result = result + WEIGHTS["affinity"] * affinity * 100.0 / best
    return result + WEIGHTS["taints"] * (100.0 - avoided * 100.0 / worst if worst > 0 else 100.0)
