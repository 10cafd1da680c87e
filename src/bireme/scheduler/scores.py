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

SMALL_IMAGE = 23 * 2**20
LARGE_IMAGE = 1000 * 2**20


def fit(used: Amounts, capacity: Amounts, by: Fit) -> Amounts:
    """How well the amounts suit the strategy: the weighted mean over the resources that the node has.

    `used` is what would be taken with the pod on the node; both have a row a node and a column for each of the
    strategy's resources.
    """
    match by.strategy:
        case Strategy.LEAST if capacity.all() and all(weight == 1 for _, weight in by.resources):
            each = np.maximum(capacity - used, 0) * 100 // capacity  # the usual case, in few passes
            even: Amounts = np.add.reduce(each, axis=1) // len(by.resources)
            return even
        case Strategy.LEAST:
            each = np.maximum(capacity - used, 0) * 100 // np.maximum(capacity, 1)
        case Strategy.MOST:
            each = np.minimum(used, capacity) * 100 // np.maximum(capacity, 1)
        case Strategy.SHAPE:
            percent = np.where(used <= capacity, used * 100 // np.maximum(capacity, 1), 100)
            each = shaped(percent, by.shape)
    counted = (capacity > 0) * np.array([weight for _, weight in by.resources], dtype=np.int64)
    if by.strategy is Strategy.SHAPE:  # a resource that scores nothing has no weight here
        counted = counted * (each > 0)
        mean = (each * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
        rounded: Amounts = np.floor(mean + 0.5).astype(np.int64)
        return rounded
    result: Amounts = (each * counted).sum(axis=1) // np.maximum(counted.sum(axis=1), 1)
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


def balance(taken: Amounts, capacity: Amounts) -> Amounts:
    """How even the resources would be used: 100 when all to the same part. Resources a node lacks are left out."""
    if capacity.shape[1] == 2 and capacity.all():  # the usual case, in few passes
        usual = np.minimum(taken / capacity, 1.0)
        even: Amounts = ((1.0 - np.abs(usual[:, 0] - usual[:, 1]) / 2.0) * 100.0).astype(np.int64)
        return even
    there = capacity > 0
    part = np.where(there, np.minimum(taken / np.where(there, capacity, 1), 1.0), 0.0)
    count = np.maximum(there.sum(axis=1), 1)
    if capacity.shape[1] == 2:
        deviation = np.where(count == 2, np.abs(part[:, 0] - part[:, 1]) / 2.0, 0.0)
    else:
        mean = part.sum(axis=1) / count
        deviation = np.sqrt(np.where(there, (part - mean[:, None]) ** 2, 0.0).sum(axis=1) / count)
    result: Amounts = ((1.0 - deviation) * 100.0).astype(np.int64)
    return result


def least_of_one(used: Sequence[int], capacity: Sequence[int]) -> int:
    """As `fit` of cpu and memory with equal weights, for one node and by plain numbers."""
    total = there = 0
    for amount, size in zip(used, capacity, strict=False):
        if size > 0:
            there += 1
            if amount <= size:
                total += (size - amount) * 100 // size
    return total // there if there else 0


def balance_of_one(taken: Sequence[int], capacity: Sequence[int]) -> int:
    """As `balance` of cpu and memory, for one node and by plain numbers."""
    (cpu, memory), cores, size = taken, capacity[0], capacity[1]
    if cores <= 0 or size <= 0:
        return 100
    return int((1.0 - abs(min(cpu / cores, 1.0) - min(memory / size, 1.0)) / 2.0) * 100.0)


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
