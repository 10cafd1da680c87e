"""The smallest changes that would give a waiting pod a node, each proved by a trial.

Nodes that one rule alone refuses show what is worth a try (`candidates.py`); the trial says whether it helps, and
parts of a change that it can do without are dropped. Only when no single change helps, several are tried together on
the nodes that the fewest rules refuse.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bireme.scheduler.candidates import candidates, new_nodes, smallest
from bireme.scheduler.changes import Change, Degree
from bireme.scheduler.explanation import Explanation, Rule
from bireme.scheduler.filters import CORDON
from bireme.scheduler.nodes import Rows
from bireme.scheduler.refusals import shortages, untolerated
from bireme.scheduler.trial import Trial

ENOUGH = 6
NEAREST = 8
"""How many nodes that several rules refuse are looked at, the nearest first."""
TOGETHER = 24
"""How many ways of changing several things are tried."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Changes that make these nodes do, all of them needed."""

    changes: tuple[Change, ...]
    nodes: tuple[str, ...]

    @property
    def bother(self) -> float:
        """How much is asked."""
        return sum(change.bother for change in self.changes)

    @property
    def text(self) -> str:
        """What to do."""
        return ", and ".join(change.text for change in self.changes)

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that do it, as far as there are any."""
        return tuple(change.command for change in self.changes if change.command)


def advise(trial: Trial, found: Explanation, *, enough: int = ENOUGH) -> list[Advice]:
    """What would help, the least bother first; nothing when a node would do as it is."""
    alone, several = _by_rules(found)
    if frozenset() in alone:
        return []
    advice: list[Advice] = []
    for rules, rows in alone.items():
        for rule in rules:
            for change in candidates(trial, found, rule, rows):
                _take(advice, trial, (change,))
    for new in new_nodes(trial):
        if _take(advice, trial, (new,)):
            break
    if not advice and trial.owns_world:
        for changes in _together(trial, found, several):
            if _take(advice, trial, changes) and len(advice) >= enough:
                break
    return sorted(advice, key=lambda each: (each.bother, -len(each.nodes), each.text))[:enough]


def _take(advice: list[Advice], trial: Trial, changes: tuple[Change, ...]) -> bool:
    """Try the changes, and have the smallest of them that helps among the advice."""
    nodes = trial.opens(changes)
    if not nodes:
        return False
    least, nodes = _smallest(trial, changes, nodes)
    if len(least) > 1:
        least = _tightened(trial, least)
        nodes = trial.opens(least)
    made = Advice(least, tuple(nodes))
    if all(made.text != other.text for other in advice):
        advice.append(made)
    return True


def _smallest(trial: Trial, changes: tuple[Change, ...], nodes: list[str]) -> tuple[tuple[Change, ...], list[str]]:
    """What is left when nothing more can be left out."""
    for smaller in _smaller(changes):
        opened = trial.opens(smaller)
        if opened:
            return _smallest(trial, smaller, opened)
    return changes, nodes


def _smaller(changes: tuple[Change, ...]) -> Iterator[tuple[Change, ...]]:
    for place, change in enumerate(changes):
        before, after = changes[:place], changes[place + 1 :]
        if before or after:
            yield before + after
        for part in change.without():
            yield (*before, part, *after)


def _tightened(trial: Trial, changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The same changes by as little as helps: with one made, less of another may do."""
    for place in range(len(changes)):
        part = 0
        while (degree := changes[place].degree(part)) is not None:
            changes = _by_least(trial, changes, place, degree)
            part += 1
    return changes


def _by_least(trial: Trial, changes: tuple[Change, ...], place: int, degree: Degree) -> tuple[Change, ...]:
    def whole(much: int) -> tuple[Change, ...]:
        return (*changes[:place], degree.by(much), *changes[place + 1 :])

    least = smallest(lambda much: bool(trial.opens(whole(much))), degree.least, degree.most)
    return changes if least is None else whole(least)


def _by_rules(found: Explanation) -> tuple[dict[frozenset[Rule], Rows], list[tuple[frozenset[Rule], Rows]]]:
    """The rows by the rules that refuse them: those by one rule at most, and the others by number of rules."""
    stages = found.stages
    present = found.present
    codes = np.zeros(len(present), dtype=np.int64)
    rules = list(dict.fromkeys(stage.rule for stage in stages))
    for stage in stages:
        codes |= (~stage.passed).astype(np.int64) << rules.index(stage.rule)
    _forgive_cordons(found, codes, 1 << rules.index(Rule.CORDON), 1 << rules.index(Rule.TAINTS))
    alone: dict[frozenset[Rule], Rows] = {}
    several: list[tuple[frozenset[Rule], Rows]] = []
    for code in np.unique(codes[present]).tolist():
        refusing = frozenset(rule for number, rule in enumerate(rules) if code >> number & 1)
        rows = np.flatnonzero(present & (codes == code))
        if len(refusing) < 2:
            alone[refusing] = rows
        else:
            several.append((refusing, rows))
    return alone, sorted(several, key=lambda each: (len(each[0]), sorted(each[0])))


def _forgive_cordons(found: Explanation, codes: NDArray[np.int64], cordon: int, taints: int) -> None:
    """A cordoned node has a taint too that goes with the cordon: that is one thing, not two."""
    template = found.template
    for row in np.flatnonzero((codes & cordon > 0) & (codes & taints > 0)).tolist():
        refused = untolerated(template.demand.spec, template.world.nodes.facts[row])
        if all(taint.key == CORDON.key for taint in refused):
            codes[row] &= ~taints


def _together(
    trial: Trial, found: Explanation, several: Iterable[tuple[frozenset[Rule], Rows]]
) -> Iterator[tuple[Change, ...]]:
    """Ways of changing something about each rule at once, of one node after the other."""
    lacking = shortages(trial.template())
    tried: list[tuple[Change, ...]] = []
    for rules, rows in several:
        nearest = rows[np.argsort(lacking[rows], kind="stable")][:NEAREST]
        for row in nearest.tolist():
            ways: Sequence[list[Change]] = [
                sorted(candidates(trial, found, rule, np.array([row])), key=lambda change: change.bother)[:2]
                for rule in sorted(rules)
            ]
            for changes in product(*ways):
                if len(tried) >= TOGETHER:
                    return
                if changes not in tried:
                    tried.append(changes)
                    yield changes
