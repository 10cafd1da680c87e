"""What `bireme why` prints."""

from collections.abc import Iterator

import orjson

from bireme.cli.why_target import Heading
from bireme.scheduler.report import AdviceLine, GroupLine, PlaceLine, Report

WORDS = "node(s) "


def as_json(report: Report, heading: Heading) -> str:
    """One object, with every node."""
    return orjson.dumps({"heading": heading, "report": report}, option=orjson.OPT_INDENT_2).decode()


def as_text(report: Report, heading: Heading) -> str:
    """For people."""
    return "\n".join(_lines(report, heading))


def _lines(report: Report, heading: Heading) -> Iterator[str]:
    if report.node:
        yield f"{report.pod}: {heading.state} on {report.node}, placed {span(heading.age_s)} ago."
    else:
        yield f"{report.pod}: {heading.state} {span(heading.age_s)}: {report.fitting} of {_nodes(report.nodes)} fit."
    if heading.total > 1:
        yield f"  It is one of {heading.total} pods, of which {heading.waiting} wait."
    yield from (f"  note: {note}" for note in report.notes)
    if report.stop:
        again = " again" if report.node else ""
        yield f"  It would not be placed{again}: {report.stop.partition(': ')[2] or report.stop}"
        return
    if report.node:
        yield from _placed(report)
    elif report.fitting:
        yield f"  {report.places[0].node} would take it: the scheduler has yet to try, or knows more than is seen."
    for group in report.refused:
        yield from _group(group)
    if report.advice:
        yield "What would help, least first:"
        for number, advice in enumerate(report.advice, 1):
            yield from _advice(number, advice)
    elif not report.node and not report.fitting:
        yield "No single change was found that would help."


def _placed(report: Report) -> Iterator[str]:
    yield f"As things stand, {report.fitting} of {_nodes(report.nodes)} would do; what speaks for each:"
    yield from _table(report.places, report.node)
    if report.node not in [place.node for place in report.places]:
        yield f"  {report.node} would not do now:"


def _table(places: tuple[PlaceLine, ...], here: str) -> Iterator[str]:
    if not places:
        return
    used = [at for at, _ in enumerate(places[0].parts) if any(place.parts[at].points for place in places)]
    head = ["NODE", "TOTAL", *(f"{places[0].parts[at].name}×{places[0].parts[at].weight:g}" for at in used)]
    rows = [
        [
            place.node + (" *" if place.node == here else ""),
            f"{place.total:g}",
            *(f"{place.parts[at].points:g}" for at in used),
        ]
        for place in places
    ]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, *rows]:
        first, *others = (
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  " + "  ".join([first, *others])


def _group(group: GroupLine) -> Iterator[str]:
    yield f"  {_nodes(group.count)}: {group.reason.replace(WORDS, '')}"
    detailed = [line for line in group.nodes if line.detail]
    width = max((len(line.node) for line in group.nodes), default=0)
    for line in detailed:
        yield f"    {line.node.ljust(width)}  {line.detail}"
    rest = group.count - len(group.nodes)
    if not detailed:
        yield f"    {', '.join(line.node for line in group.nodes)}" + (f" +{rest} more" if rest else "")
    elif rest:
        yield f"    +{rest} more"


def _advice(number: int, advice: AdviceLine) -> Iterator[str]:
    names = list(advice.nodes[:3]) + (["the new node"] if advice.new_node else [])
    more = len(advice.nodes) - 3
    fits = ", ".join(names) + (f" and {more} more" if more > 0 else "")
    yield f"  {number}. {advice.text}: {fits} would do"
    yield from (f"       {command}" for command in advice.commands)


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"


def span(seconds: float) -> str:
    """A length of time, as kubectl shows it."""
    whole = int(seconds)
    for name, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= 2 * length:
            return f"{whole // length}{name}"
    return f"{whole}s"
