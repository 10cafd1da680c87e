"""One function a preference, from 0 to 100, in whole numbers as the original gives them.

Those about amounts work on rows of numbers, one column a resource; those about the nodes' own properties on columns
over all nodes. How much each counts is the profile's affair. Source: the Kubernetes documentation.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from bireme.ledger.columns import Amounts
from bireme.scheduler.nodes import Flags, Nodes, Numbers
from bireme.scheduler.profile import Fit, Strategy

REFUSED = -np.inf
"""The score of a node that will not do."""
SMALL_IMAGE = 23 * 2**20
LARGE_IMAGE = 1000 * 2**20
AS_BEFORE = 150
"""Twice the score of a node that a pod leaves as evenly used as it was: half of 100, and a quarter for no change."""


def fit(used: Amounts, capacity: Amounts, by: Fit) -> Amounts:
    """How well the amounts suit the strategy: the weighted mean over the resources that the node has.

    `used` is what would be taken with the pod on the node; both have a row for each of the strategy's resources and a
    column a node.
    """
    size = np.maximum(capacity, 1)
    match by.strategy:
        case Strategy.LEAST:
            each = np.maximum(capacity - used, 0) * 100 // size
        case Strategy.MOST:
            each = np.minimum(used, capacity) * 100 // size
        case Strategy.SHAPE:
            each = shaped(np.where(used <= capacity, used * 100 // size, 100), by.shape)
    counted = (capacity > 0) * np.array([[weight] for _, weight in by.resources], dtype=np.int64)
    if by.strategy is Strategy.SHAPE:  # a resource that scores nothing has no weight here
        counted = counted * (each > 0)
        mean = (each * counted).sum(axis=0) / np.maximum(counted.sum(axis=0), 1)
        rounded: Amounts = np.floor(mean + 0.5).astype(np.int64)
        return rounded
    result: Amounts = (each * counted).sum(axis=0) // np.maximum(counted.sum(axis=0), 1)
    return result


def shaped(percent: Amounts, points: Sequence[tuple[int, int]]) -> Amounts:
    """Scores by the percentage used: straight lines between the (percent, 0 to 10) points, flat outside them."""
    result = np.full(percent.shape, points[-1][1] * 10 if points else 0, dtype=np.int64)
    for (x0, y0), (x1, y1) in reversed(list(pairwise(points))):
        low, high = y0 * 10, y1 * 10
        between = low + np.trunc((high - low) * (percent - x0) / (x1 - x0)).astype(np.int64)
        result = np.where(percent <= x1, between, result)
    if points:
        result = np.where(percent <= points[0][0], points[0][1] * 10, result)
    return result


def balance(taken: Amounts, before: Amounts, capacity: Amounts) -> Numbers:
    """How much more even the resources would be used with the pod than they are before: 75 where it is all the same.

    The original's newest form: not which node is used evenly, but which becomes so by the pod.
    """
    result: Numbers = np.floor((evenness(taken, capacity) - evenness(before, capacity) + AS_BEFORE) / 2.0)
    return result


def evenness(taken: Amounts, capacity: Amounts) -> Numbers:
    """How even the resources are used: 100 when all to the same part. Resources a node lacks are left out."""
    there = capacity > 0
    part = np.where(there, np.minimum(taken / np.maximum(capacity, 1), 1.0), 0.0)
    count = np.maximum(there.sum(axis=0), 1)
    if len(capacity) == 2:
        deviation = np.where(count == 2, np.abs(part[0] - part[1]) / 2.0, 0.0)
    else:
        mean = part.sum(axis=0) / count
        deviation = np.sqrt(np.where(there, (part - mean) ** 2, 0.0).sum(axis=0) / count)
    result: Numbers = np.floor((1.0 - deviation) * 100.0)
    return result


def usual(used: Amounts, taken: Amounts, before: Amounts, capacity: Amounts) -> tuple[Amounts, Numbers]:
    """`fit` and `balance` in the usual case, in few passes: least allocated, cpu and memory, and nodes have both.

    `used` and `taken` may have further axes, as for many pods.
    """
    left = capacity - used
    np.maximum(left, 0, out=left)
    left *= 100
    left //= capacity
    fit: Amounts = left[0]
    fit += left[1]
    fit >>= 1
    even, without = _evenness_of_two(taken, capacity), _evenness_of_two(before, capacity)
    without -= AS_BEFORE
    even -= without
    even *= 0.5
    return fit, np.floor(even, out=even)


def _evenness_of_two(taken: Amounts, capacity: Amounts) -> Numbers:
    part = taken / capacity
    np.minimum(part, 1.0, out=part)
    even: Numbers = part[0]
    even -= part[1]
    np.abs(even, out=even)
    even *= 0.5
    np.subtract(1.0, even, out=even)
    even *= 100.0
    return np.floor(even, out=even)


def usual_of_one(
    cpu: int, memory: int, own_cpu: int, own_memory: int, cores: int, size: int, had_cpu: int, had_memory: int
) -> tuple[int, int]:
    """As `usual` for one node by plain numbers: what would be used, what would be taken, what there is, and what is
    taken before."""
    left = (cores - cpu) * 100 // cores if cpu < cores else 0
    if memory < size:
        left += (size - memory) * 100 // size
    one = own_cpu / cores if own_cpu < cores else 1.0
    other = own_memory / size if own_memory < size else 1.0
    even = int((1.0 - abs(one - other) / 2.0) * 100.0)
    one = had_cpu / cores if had_cpu < cores else 1.0
    other = had_memory / size if had_memory < size else 1.0
    return left // 2, (even - int((1.0 - abs(one - other) / 2.0) * 100.0) + AS_BEFORE) // 2


def image_locality(images: Sequence[str], nodes: Nodes) -> Numbers:
    """How much of the pod's images is there, each counted by the part of all nodes that hold it."""
    held = np.zeros(nodes.capacity)
    count = max(len(nodes.facts), 1)
    for name in images:
        rows = nodes.image_rows.get(name)
        if rows:
            sizes = np.fromiter(rows.values(), dtype=np.float64, count=len(rows))
            held[np.fromiter(rows, dtype=np.intp, count=len(rows))] += np.trunc(sizes * (len(rows) / count))
    most = LARGE_IMAGE * max(len(images), 1)
    part = np.trunc((np.clip(held, SMALL_IMAGE, most) - SMALL_IMAGE) * 100.0 / (most - SMALL_IMAGE))
    result: Numbers = part
    return result


def normalised(raw: Numbers, feasible: Flags, *, reverse: bool = False) -> Numbers | None:
    """`raw` made comparable: 100 for the most of the feasible rows, `reverse` for none; None if all are 0."""
    most = float(raw[feasible].max(initial=0.0))
    if most == 0:
        return None
    scaled: Numbers = np.floor(raw * 100.0 / most)
    return 100.0 - scaled if reverse else scaled
