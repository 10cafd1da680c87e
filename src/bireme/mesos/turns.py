"""Many turns at once: who is first, second and so on among siblings, if each turn gives the same amounts.

A client's share after so many turns follows from what it holds, so the order of turns is the order of these shares,
over all clients and numbers of turns; how many turns each can have is found by a bound on the share first. The
arithmetic is that of `drf.py`, to the last bit. Plain functions over numpy columns.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Shares = NDArray[np.float64]

_STEPS, _FEW = 30, 64  # how long, and for how few turns too many, the bound is looked for


def sequence(
    used: Numbers,
    given: Numbers,
    scale: Shares,
    weights: Shares,
    times: Sequence[int],
    names: Sequence[str],
    count: int,
) -> NDArray[np.intp]:
    """The places of those whose turns are the next `count`: smallest share, then fewest times, then name."""
    many = len(names)
    ranks = np.empty(many, dtype=np.int64)
    ranks[np.argsort(np.array(names, dtype=object), kind="stable")] = np.arange(many)
    bound = _bound(used, given, scale, weights, count)
    while True:
        depths = np.minimum(_turns_below(bound, used, given, scale, weights, count) + 2, count)
        clients = np.repeat(np.arange(many), depths)
        turns = np.arange(len(clients)) - np.repeat(np.cumsum(depths) - depths, depths)
        shares = ((used[clients] + turns[:, None] * given) * scale).max(axis=1) / weights[clients]
        at_times = np.asarray(times, dtype=np.int64)[clients] + turns
        first = np.lexsort((ranks[clients], at_times, shares))[:count]
        taken = np.bincount(clients[first], minlength=many)
        if len(first) == count and not ((taken == depths) & (depths < count)).any():
            return clients[first]
        bound = bound * 2 + 1e-9


def _bound(used: Numbers, given: Numbers, scale: Shares, weights: Shares, count: int) -> float:
    """A share at or below which there are at least so many turns, and not many more."""
    low, high = 0.0, float((((used + given) * scale).max(axis=1) / weights).min()) + 1e-9
    fewer, enough = 0, int(_turns_below(high, used, given, scale, weights, count).sum())
    while enough < count:
        low, high, fewer = high, high * 2, enough
        enough = int(_turns_below(high, used, given, scale, weights, count).sum())
    slack = len(used) + _FEW
    for _ in range(_STEPS):
        if enough <= count + slack:
            break
        part = (count + slack / 2 - fewer) / (enough - fewer)  # turns are about even between the two
        middle = low + (high - low) * min(max(part, 0.05), 0.95)
        turns = int(_turns_below(middle, used, given, scale, weights, count).sum())
        if turns < count:
            low, fewer = middle, turns
        else:
            high, enough = middle, turns
    return high


def _turns_below(bound: float, used: Numbers, given: Numbers, scale: Shares, weights: Shares, count: int) -> Numbers:
    """How many turns each may have before its share is above `bound`, give or take one; `count` at most."""
    costs = given * scale
    room = bound * weights[:, None] - used * scale
    with np.errstate(divide="ignore", invalid="ignore"):
        turns = np.where(costs > 0, np.floor(room / costs) + 1, np.where(room >= 0, float(count), 0.0))
    found: Numbers = np.clip(turns.min(axis=1), 0, count).astype(np.int64)
    return found
