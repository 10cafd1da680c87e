"""Scores and filters of a user's own, from a Python file.

A plug-in is a file with a function `score(pod, nodes)`, a function `filter(pod, nodes)`, or both; functions may also
be marked with `@scorer` to have several. `pod` is the pod as the API has it, `nodes` the table of all nodes
(`NodeTable`), and what comes back an array with one element for each of its rows: numbers from 0 to 100, or booleans.
"""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bireme.api.kinds import core
from bireme.scheduler.profile import Scorer
from bireme.scheduler.templates import Nodes
from bireme.simulation.reading import ScenarioError

F = TypeVar("F", bound=Callable[..., Any])
MARK = "__bireme_scorer__"


class NodeTable:
    """All nodes as columns, one row a node; rows without a node are not `live`. To be read, not changed.

    cpu is in millicores, memory in bytes.
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._columns = nodes.ledger.columns

    def __len__(self) -> int:
        return self._columns.capacity

    @property
    def live(self) -> NDArray[np.bool_]:
        """Which rows are nodes."""
        return self._columns.live

    @property
    def names(self) -> list[str]:
        """The name of each row's node; "" where there is none."""
        return self._columns.nodes

    def allocatable(self, resource: str) -> NDArray[np.int64]:
        """What each has in all."""
        return self._column(self._columns.allocatable, resource)

    def requested(self, resource: str) -> NDArray[np.int64]:
        """What pods on each request."""
        return self._column(self._columns.promised, resource)

    def free(self, resource: str) -> NDArray[np.int64]:
        """What is left of each."""
        return self.allocatable(resource) - self.requested(resource)

    def label(self, key: str) -> list[str]:
        """The label of each; "" where there is none."""
        facts = self._nodes.facts
        return [facts[row].labels.get(key, "") if row in facts else "" for row in range(len(self))]

    def _column(self, table: NDArray[np.int64], resource: str) -> NDArray[np.int64]:
        names = self._columns.names
        if resource not in names:
            return np.zeros(len(self), dtype=np.int64)
        return table[:, names.index(resource)]


def scorer(*, weight: float = 1.0, filters: bool = False) -> Callable[[F], F]:
    """Marks a function as a score of this weight, or with `filters` as a filter."""

    def mark(function: F) -> F:
        setattr(function, MARK, (weight, filters))
        return function

    return mark


def load(path: Path) -> tuple[Scorer, ...]:
    """The scores and filters of a file. Raises ScenarioError."""
    try:
        found = runpy.run_path(str(path), run_name=f"bireme_plugin_{path.stem}")
    except Exception as error:  # whatever a user's file does
        raise ScenarioError(f"{path}: {type(error).__name__}: {error}") from error
    marked = [(name, value, getattr(value, MARK)) for name, value in found.items() if hasattr(value, MARK)]
    scorers = [of(value, name=f"{path.stem}.{name}", weight=mark[0], filters=mark[1]) for name, value, mark in marked]
    known = {id(value) for _, value, _ in marked}
    for name in ("filter", "score"):
        if callable(found.get(name)) and id(found[name]) not in known:
            weight = float(found.get("WEIGHT", 1.0))
            scorers.append(of(found[name], name=f"{path.stem}.{name}", weight=weight, filters=name == "filter"))
    if not scorers:
        raise ScenarioError(f"{path}: has no function named score or filter, and none marked with @scorer")
    return tuple(scorers)


def of(function: Callable[..., Any], *, name: str = "", weight: float = 1.0, filters: bool = False) -> Scorer:
    """A function as the scheduler takes it. What it gives back is checked."""
    title = name or function.__name__

    def asked(pod: core.Pod, nodes: Nodes) -> NDArray[Any]:
        table = NodeTable(nodes)
        try:
            answer = np.asarray(function(pod, table), dtype=bool if filters else np.float64)
        except Exception as error:
            raise ScenarioError(f"plug-in {title}: {type(error).__name__}: {error}") from error
        if answer.shape != (len(table),):
            wrong = f"gave {answer.shape}, not one element for each of {len(table)} rows"
            raise ScenarioError(f"plug-in {title}: {wrong}")
        if not filters and not ((answer >= 0.0) & (answer <= 100.0))[table.live].all():
            raise ScenarioError(f"plug-in {title}: a score is not between 0 and 100")
        return answer

    return Scorer(title, weight, filter=asked) if filters else Scorer(title, weight, score=asked)
