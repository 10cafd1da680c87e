"""A plug-in: fill nodes one after the other, and keep the last tenth of them for the urgent.

bireme sim run trace.yaml --plugin pack.py
"""

import numpy as np

WEIGHT = 10.0


def score(pod, nodes):
    """The fuller the better: the larger of the requested parts of cpu and memory, in percent."""
    parts = [nodes.requested(name) / np.maximum(nodes.allocatable(name), 1) for name in ("cpu", "memory")]
    return 100.0 * np.clip(np.maximum(*parts), 0.0, 1.0)


def filter(pod, nodes):
    """Pods of no priority stay off the last tenth of the nodes."""
    kept = np.zeros(len(nodes), dtype=bool)
    rows = np.flatnonzero(nodes.live)
    kept[rows[len(rows) - len(rows) // 10 :]] = True
    return ~kept | ((pod.spec.priority or 0) > 0)
