"""Many turns at once: who is first, second and so on, if each turn gives the same amounts.

A client's share after so many turns follows from what it holds, so the order of turns among siblings is the order
of these shares, over all of them and all numbers of turns; how many turns each can have is found by a bound on the
share first. The tree is gone down a level at a time, with all siblings of a level in the same few operations on
numpy columns. The arithmetic is that of `siblings.py`, to the last bit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bireme.mesos.siblings import Client, Scale

Numbers = NDArray[np.int64]
Places = NDArray[np.intp]
Shares = NDArray[np.float64]

_STEPS, _FEW = 30, 64  # how long, and for how few turns too many, the bound is looked for
_TOO_LARGE = 1 << 62


def turns_below(root: Client, among: int, given: Sequence[int], scale: Scale, count: int) -> list[int]:
    """The seats, out of these, whose turns are the next `count`."""
    if not root.seats & among or not count:
        return []
    found = np.empty(count, dtype=np.int64)
    clients = [_only(root, among)]
    turns, owners = np.arange(count), np.zeros(count, dtype=np.uint16)  # turns, and the places of their clients
    while len(turns):
        numbers = np.array([client.number for client in clients])[owners]
        found[turns] = numbers
        turns, owners = turns[numbers < 0], owners[numbers < 0]
        if len(turns):
            counts = np.bincount(owners, minlength=len(clients))
            below, parents = _below([client for client, had in zip(clients, counts, strict=True) if had], among)
            contest = _Contest(below, np.array(parents), np.array(given), np.array(scale))
            turns = turns[np.argsort(owners, kind="stable")]  # parent by parent, and so are the owners
            owners = contest.sequence(counts[counts > 0]).astype(np.uint16 if len(below) < 1 << 16 else np.uint32)
            clients = [_only(client, among) for client in below]
    numbers_in_turn: list[int] = found.tolist()
    return numbers_in_turn


def _only(client: Client, among: int) -> Client:
    """The first at or below a client that is a leaf, or has several children with these seats below them."""
    while client.number < 0:
        children = client.children
        if len(children) > 1:
            children = [child for child in children if child.seats & among]
            if len(children) > 1:
                break
        client = children[0]
    return client


def _below(clients: list[Client], among: int) -> tuple[list[Client], list[int]]:
    """The children with these seats below them, client by client and by name, and which client each is below."""
    found: list[Client] = []
    parents: list[int] = []
    for parent, client in enumerate(clients):
        children = [child for child in client.children if child.seats & among]
        found += children
        parents += [parent] * len(children)
    return found, parents


class _Contest:
    """Siblings of several parents, each parent's by name; `parents` rise from 0. A row of `_used` is a resource."""

    def __init__(self, clients: list[Client], parents: Places, given: Numbers, scale: Shares) -> None:
        self._parents, self._given, self._scale = parents, given[:, None], scale[:, None]
        self._used = np.array([client.used for client in clients], dtype=np.int64).T.copy()
        times = np.array([client.times for client in clients], dtype=np.int64)
        self._times = times - times.min()
        self._weights = np.array([client.weight for client in clients])
        self._starts = np.flatnonzero(np.diff(parents, prepend=-1))

    def sequence(self, counts: Numbers) -> Places:
        """The places of those whose turns are the next, so many of each parent, parent by parent."""
        bounds = self._bounds(counts)
        while True:
            most = counts[self._parents]
            depths = np.minimum(self._turns_within(bounds, counts) + 2, most)
            clients = np.repeat(np.arange(len(depths)), depths)
            turns = np.arange(len(clients)) - np.repeat(np.cumsum(depths) - depths, depths)
            order = self._in_order(clients, turns)
            had = np.add.reduceat(depths, self._starts)
            first = order[_heads(had, counts)] if (had >= counts).all() else order[:0]
            taken = np.bincount(clients[first], minlength=len(depths))
            cut = np.logical_or.reduceat((taken == depths) & (depths < most), self._starts) | (had < counts)
            if not cut.any():
                return clients[first]
            bounds = np.where(cut, bounds * 2 + 1e-9, bounds)

    def _in_order(self, clients: Places, turns: Numbers) -> Places:
        """Parent by parent, the smallest share first, then who had the fewest turns, then the name."""
        held = self._used[:, clients] + turns * self._given
        shares = (held * self._scale).max(axis=0) / self._weights[clients]
        ties = (self._times[clients] + turns) * len(self._times) + clients
        size = len(clients)
        if int(ties.max()) * size * len(self._starts) >= _TOO_LARGE:
            ties = _ranks(ties)
        return np.argsort((self._parents[clients] * size + _ranks(shares)) * (ties.max() + 1) + ties)

    def _bounds(self, counts: Numbers) -> Shares:
        """Of each parent, a share at or below which there are at least so many turns, and not many more."""
        first = ((self._used + self._given) * self._scale).max(axis=0) / self._weights
        low = np.zeros(len(counts))
        high = np.minimum.reduceat(first, self._starts) + 1e-9
        fewer, enough = np.zeros(len(counts), dtype=np.int64), self._turns_at(high, counts)
        while (lacking := enough < counts).any():
            low, fewer = np.where(lacking, high, low), np.where(lacking, enough, fewer)
            high = np.where(lacking, high * 2, high)
            enough = self._turns_at(high, counts)
        slack = np.add.reduceat(np.ones(len(self._parents), dtype=np.int64), self._starts) + _FEW
        for _ in range(_STEPS):
            if (enough <= counts + slack).all():
                break
            # turns are about even between the two
            part = (counts + slack / 2 - fewer) / np.maximum(enough - fewer, 1)
            middle = low + (high - low) * np.clip(part, 0.05, 0.95)
            turns = self._turns_at(middle, counts)
            short, ample = turns < counts, enough > counts + slack
            low, fewer = np.where(ample & short, middle, low), np.where(ample & short, turns, fewer)
            high, enough = np.where(ample & ~short, middle, high), np.where(ample & ~short, turns, enough)
        return high

    def _turns_at(self, bounds: Shares, counts: Numbers) -> Numbers:
        """How many turns there are of each parent before shares are above these bounds."""
        found: Numbers = np.add.reduceat(self._turns_within(bounds, counts), self._starts)
        return found

    def _turns_within(self, bounds: Shares, counts: Numbers) -> Numbers:
        """How many turns each may have before its share is above its parent's bound, give or take one."""
        costs = self._given * self._scale
        most = counts[self._parents]
        room = bounds[self._parents] * self._weights - self._used * self._scale
        turns = np.where((room >= 0).all(axis=0), most.astype(np.float64), 0.0)
        for row in np.flatnonzero(costs):
            turns = np.minimum(turns, np.floor(room[row] / costs[row]) + 1)
        found: Numbers = np.clip(turns, 0, most).astype(np.int64)
        return found


def _ranks(values: NDArray[np.generic]) -> Numbers:
    """The place of each in the order of the different values."""
    order = np.argsort(values)
    in_order = values[order]
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.cumsum(np.concatenate(([False], in_order[1:] != in_order[:-1])))
    return ranks


def _heads(sizes: Numbers, counts: Numbers) -> Places:
    """The places of the first so many of each group, groups of these sizes standing one after the other."""
    starts = np.repeat(np.cumsum(sizes) - sizes, counts)
    return starts + np.arange(len(starts)) - np.repeat(np.cumsum(counts) - counts, counts)
