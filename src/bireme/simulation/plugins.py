"""Scores and filters of a user's own, written as plain functions over a table of nodes.

A plug-in is a file with a function `score(pod, nodes)`, a function `filter(pod, nodes)`, or both; functions marked
with `@scorer` may have any name. `pod` is the pod as the API has it, `nodes` the table of all nodes (`NodeTable`).
What comes back is an array with one element for each of its rows: numbers from 0 to 100, or booleans. What `@scorer`
makes is a `Scorer`, as a scheduler of a cluster takes it (`scheduler/plugins.py`), and such are taken here.
"""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bireme.api.kinds import core
from bireme.scheduler.nodes import Nodes
from bireme.scheduler.profile import Scorer
from bireme.simulation.reading import ScenarioError

Function = Callable[..., Any]


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
        return self._nodes.present

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

    def label(self, key: str) -> NDArray[np.str_]:
        """The label of each; "" where there is none."""
        column = self._nodes.label(key)
        return np.array([*column.values, ""])[column.ids]  # -1, for none, picks the last

    def _column(self, table: NDArray[np.int64], resource: str) -> NDArray[np.int64]:
        names = self._columns.names
        if resource not in names:
            return np.zeros(len(self), dtype=np.int64)
        return table[:, names.index(resource)]


def scorer(*, weight: float = 1.0, filters: bool = False) -> Callable[[Function], Scorer]:
    """Makes of a function a score of this weight, or with `filters` a filter."""
    return lambda function: of(function, weight=weight, filters=filters)


def load(path: Path) -> tuple[Scorer, ...]:
    """The scores and filters of a file. Raises ScenarioError."""
    try:
        found = runpy.run_path(str(path), run_name=f"bireme_plugin_{path.stem}")
    except Exception as error:  # whatever a user's file does
        raise ScenarioError(f"{path}: {type(error).__name__}: {error}") from error
    scorers = [value for value in found.values() if isinstance(value, Scorer)]
    for name in ("filter", "score"):
        if callable(found.get(name)):
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
