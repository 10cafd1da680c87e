"""What each preference gave each node: the score of a pod's place, taken apart.

The whole is a weighted sum, so each part is the whole with every other weight at 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bireme.api.kinds import core
from bireme.scheduler.interface import NOTHING, Mask
from bireme.scheduler.mask_scores import preferences
from bireme.scheduler.nodes import Numbers
from bireme.scheduler.profile import Profile, Score
from bireme.scheduler.scores import REFUSED
from bireme.scheduler.templates import DefaultSelector, Templates, no_selector
from bireme.scheduler.world import World


@dataclass(frozen=True, slots=True)
class Part:
    """What one preference gives a node: from 0 to 100 points, which count `weight` times."""

    name: str
    points: float
    weight: float


@dataclass(frozen=True, slots=True)
class Place:
    """A node that would do, and what speaks for it."""

    row: int
    total: float
    parts: tuple[Part, ...]


def places(
    world: World,
    profile: Profile,
    pod: core.Pod,
    masks: Sequence[Mask] = (),
    *,
    default_selector: DefaultSelector = no_selector,
) -> list[Place]:
    """The nodes that would do, the best first, of equals the lowest row."""

    def scores(preferring: Profile, left: Sequence[Mask]) -> Numbers:
        return Templates(world, preferring, default_selector=default_selector).of(pod).scores(left, pod=pod)

    total = scores(profile, masks)
    open_rows = total > REFUSED
    asked = list(preferences(masks, profile, open_rows))
    for _, weight, points in asked:
        total = total + weight * points
    only = [Mask(open_rows, lambda row: "", NOTHING)]
    parts: list[tuple[str, float, Numbers]] = []
    for name, weight in profile.weights.items():
        if weight and name is not Score.DEVICES:
            parts.append((name, weight, scores(replace(profile, weights={name: weight}, scorers=()), only)))
    parts.extend(
        (scorer.name, scorer.weight, scores(replace(profile, weights={}, scorers=(scorer,)), only))
        for scorer in profile.scorers
        if scorer.score is not None and scorer.weight
    )
    parts += [(name, weight, weight * points) for name, weight, points in asked]
    rows = np.flatnonzero(open_rows)
    rows = rows[np.argsort(-total[rows], kind="stable")]
    return [
        Place(
            row,
            float(total[row]),
            tuple(Part(name, float(part[row]) / weight, weight) for name, weight, part in parts),
        )
        for row in rows.tolist()
    ]
