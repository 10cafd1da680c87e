"""Why a pod is where it is, or nowhere: everything that a reader is told, as plain data.

Made of a `Trial` whose world holds all pods but this one. How it looks is for whoever shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bireme.scheduler.advice import Advice, advise
from bireme.scheduler.explanation import Explanation
from bireme.scheduler.points import Place, places
from bireme.scheduler.refusals import detail, groups
from bireme.scheduler.templates import Template
from bireme.scheduler.trial import NEW, Trial

FIRST = 3
TOP = 5


@dataclass(frozen=True, slots=True)
class NodeLine:
    """A node that refuses, with figures."""

    node: str
    detail: str


@dataclass(frozen=True, slots=True)
class GroupLine:
    """Nodes that refuse for one reason: how many, and the first of them, which lack least."""

    reason: str
    rule: str
    count: int
    nodes: tuple[NodeLine, ...]


@dataclass(frozen=True, slots=True)
class AdviceLine:
    """What would help, the commands that do it, and the nodes that would do then."""

    text: str
    commands: tuple[str, ...]
    nodes: tuple[str, ...]
    new_node: bool = False


@dataclass(frozen=True, slots=True)
class PointsLine:
    """What one preference gives a node."""

    name: str
    points: float
    weight: float


@dataclass(frozen=True, slots=True)
class PlaceLine:
    """A node that would do, with its score."""

    node: str
    total: float
    parts: tuple[PointsLine, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything. `node` is where the pod is, "" when it waits; `stop` is why no node is looked at;
    `notes` are things that matter besides."""

    pod: str
    node: str = ""
    nodes: int = 0
    fitting: int = 0
    stop: str = ""
    notes: tuple[str, ...] = ()
    places: tuple[PlaceLine, ...] = ()
    refused: tuple[GroupLine, ...] = ()
    advice: tuple[AdviceLine, ...] = field(default=())


def report(
    trial: Trial,
    *,
    node: str = "",
    notes: Sequence[str] = (),
    stop: str = "",
    first: int = FIRST,
    top: int = TOP,
) -> Report:
    """The report on the trial's pod. `first` nodes of each group are told in figures, `top` places in points.

    `stop` is why no node is looked at, if so.
    """
    template = trial.template()
    found = Explanation(template, trial.masks)
    about = trial.pod.metadata
    open_places = places(trial.world, trial.profile, trial.pod, trial.masks, default_selector=trial.default_selector)
    if stop:
        return Report(f"{about.namespace}/{about.name}", node, int(found.present.sum()), 0, stop, tuple(notes))
    advice = () if node else advise(trial, found)
    shown = [place for at, place in enumerate(open_places) if at < top or _name(template, place.row) == node]
    return Report(
        f"{about.namespace}/{about.name}",
        node,
        int(found.present.sum()),
        len(open_places),
        stop,
        tuple(notes),
        tuple(_place(template, place) for place in shown),
        group_lines(found, template, first=first),
        tuple(advice_line(each) for each in advice),
    )


def group_lines(found: Explanation, template: Template, *, first: int = FIRST) -> tuple[GroupLine, ...]:
    """The nodes that refuse, by reason."""
    return tuple(
        GroupLine(
            ", ".join(group.reasons),
            group.rule,
            len(group.rows),
            tuple(NodeLine(_name(template, row), detail(template, group.rule, row)) for row in group.rows[:first]),
        )
        for group in groups(found, template)
    )


def advice_line(advice: Advice) -> AdviceLine:
    """The advice in words."""
    known = tuple(name for name in advice.nodes if name != NEW)
    return AdviceLine(advice.text, advice.commands, known, NEW in advice.nodes)


def _place(template: Template, place: Place) -> PlaceLine:
    parts = tuple(PointsLine(part.name, part.points, part.weight) for part in place.parts)
    return PlaceLine(_name(template, place.row), place.total, parts)


def _name(template: Template, row: int) -> str:
    return template.world.ledger.columns.nodes[row]
