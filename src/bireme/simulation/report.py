"""What came out of a play: numbers for a machine, tables for a spreadsheet, a line for people.

Nothing in it depends on the machine or on the day, so that the same scenario and seed give the same bytes.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bireme.simulation.recorder import Placement, Recorder, Sample
from bireme.simulation.scenario import Expectations, Scenario

DIGITS = 6
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A pod that had no node in the end, how long it had waited, and why."""

    pod: str
    namespace: str
    waited: float
    why: str


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """One play. `summary` is what `report.json` holds; `placements` and `samples` are what its tables hold."""

    summary: Mapping[str, Any]
    placements: Sequence[Placement]
    samples: Sequence[Sample]

    def __repr__(self) -> str:
        return f"<Report: {self.line()}>"

    @property
    def ok(self) -> bool:
        """All that was expected holds."""
        return all(each["holds"] for each in self.summary["expect"])

    @property
    def waits(self) -> list[float]:
        """Of all placements, in their order."""
        return [placement.wait for placement in self.placements]

    def series(self, resource: str) -> list[tuple[float, float]]:
        """Times, and the part of the resource that was requested then."""
        return [(each.time, part(each.used, each.have, resource)) for each in self.samples]

    def line(self, *, seconds: float | None = None) -> str:
        """The play in one line; `seconds` is how long it took."""
        summary = self.summary
        took = "" if seconds is None else f" in {seconds:.1f}s"
        parts = ", ".join(
            f"{name} {summary['utilisation'][name] * 100:.1f} %"
            for name in ("cpu", "memory")
            if name in summary["utilisation"]
        )
        return (
            f"simulated {hours(summary['duration_s'])}{took} · {summary['placements']:,} placements · "
            f"p99 wait {summary['wait_s']['p99']:.1f}s · utilisation {parts}"
        )

    def json(self) -> bytes:
        """`report.json`."""
        options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
        return orjson.dumps(self.summary, option=options)

    def write(self, folder: Path) -> None:
        """Put `report.json` and the tables there."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_bytes(self.json())
        _table(folder / "placements.csv", Placement._fields, (_rounded(each) for each in self.placements))
        _table(folder / "waits.csv", ("workload", *_NUMBERS), _wait_rows(self.summary))
        _table(folder / "utilisation.csv", _utilisation_head(self.samples), _utilisation_rows(self.samples))
        _table(folder / "fairness.csv", ("time", "namespace", "dominant_share", "jain"), _fairness_rows(self.samples))


_NUMBERS = ("count", "mean", *QUANTILES, "max")


def make_report(scenario: Scenario, seed: int, notes: Recorder, unplaced: Sequence[Unplaced], nodes: int) -> Report:
    """The report of one play."""
    waits = [placement.wait for placement in notes.placements]
    by_workload = {name: _numbers(list(found)) for name, found in sorted(notes.waits.items())}
    summary: dict[str, Any] = {
        "scenario": scenario.name,
        "fidelity": scenario.fidelity,
        "seed": seed,
        "duration_s": scenario.duration,
        "nodes": nodes,
        "placements": len(notes.placements),
        "unplaced": len(unplaced),
        "longest_unplaced": [
            {"pod": each.pod, "namespace": each.namespace, "waited_s": _r(each.waited), "why": each.why}
            for each in unplaced[:10]
        ],
        "longest_queue": notes.longest_queue,
        "counts": dict(sorted(notes.counts.items())),
        "wait_s": _numbers(waits),
        "workloads": by_workload,
        "utilisation": {
            name: _r(notes.used_time.get(name, 0.0) / have) for name, have in sorted(notes.have_time.items()) if have
        },
        "fairness": _fairness(notes),
        "least_available": {name: _r(least) for name, least in sorted(notes.least_available.items())},
    }
    summary["expect"] = judged(scenario.expect, summary)
    return Report(summary, notes.placements, notes.samples)


def judged(expect: Expectations, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was expected, what came, and whether it holds."""
    longest = max([summary["wait_s"]["max"], *(each["waited_s"] for each in summary["longest_unplaced"])])
    at_most = (
        ("all_placed", 0 if expect.all_placed else None, summary["unplaced"]),
        ("max_wait", expect.max_wait, longest),
        ("p99_wait", expect.p99_wait, summary["wait_s"]["p99"]),
    )
    at_least = [
        ("min_placements", expect.min_placements, summary["placements"]),
        ("min_cpu_utilisation", expect.min_cpu_utilisation, summary["utilisation"].get("cpu", 0.0)),
        ("min_memory_utilisation", expect.min_memory_utilisation, summary["utilisation"].get("memory", 0.0)),
        ("min_fairness", expect.min_fairness, summary["fairness"]["jain_mean"]),
        *(
            (f"min_available.{name}", least, summary["least_available"].get(name, 0.0))
            for name, least in sorted(expect.min_available.items())
        ),
    ]
    found = [(name, wanted, got, got <= wanted) for name, wanted, got in at_most if wanted is not None]
    found += [(name, wanted, got, got >= wanted) for name, wanted, got in at_least if wanted is not None]
    return [{"name": name, "wanted": wanted, "got": got, "holds": holds} for name, wanted, got, holds in found]


def _fairness(notes: Recorder) -> dict[str, Any]:
    """Means over the samples at which anybody wanted anything."""
    told = [sample for sample in notes.samples if sample.shares]
    waits: dict[str, list[float]] = {}
    for placement in notes.placements:
        waits.setdefault(placement.namespace, []).append(placement.wait)
    shares: dict[str, list[float]] = {}
    for sample in told:
        for name, share in sample.shares.items():
            shares.setdefault(name, []).append(share)
    return {
        "jain_mean": _r(mean([sample.jain for sample in told], 1.0)),
        "jain_min": _r(min((sample.jain for sample in told), default=1.0)),
        "namespaces": {
            name: {
                "dominant_share_mean": _r(mean(shares.get(name, []))),
                "dominant_share_max": _r(max(shares.get(name, [0.0]))),
                "wait_s": _numbers(waits.get(name, [])),
            }
            for name in sorted({*waits, *shares})
        },
    }


def mean(found: Sequence[float], otherwise: float = 0.0) -> float:
    """The mean, summed without loss."""
    return math.fsum(found) / len(found) if found else otherwise


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed (nearest rank); 0 of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def part(used: Mapping[str, int], have: Mapping[str, int], name: str) -> float:
    """How much of a resource is used, from 0 to 1."""
    return used.get(name, 0) / have[name] if have.get(name) else 0.0


def hours(seconds: float) -> str:
    """24h00m."""
    minutes = round(seconds / 60)
    return f"{minutes // 60}h{minutes % 60:02}m"


def _numbers(found: list[float]) -> dict[str, float]:
    ordered = sorted(found)
    return {
        "count": len(ordered),
        "mean": _r(mean(ordered)),
        **{name: _r(quantile(ordered, share)) for name, share in QUANTILES.items()},
        "max": _r(ordered[-1] if ordered else 0.0),
    }


def _r(number: float) -> float:
    return round(number, DIGITS)


def _rounded(placement: Placement) -> tuple[Any, ...]:
    return tuple(_r(word) if isinstance(word, float) else word for word in placement)


def _table(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def _wait_rows(summary: Mapping[str, Any]) -> Iterable[Sequence[Any]]:
    for name, found in {**summary["workloads"], "": summary["wait_s"]}.items():
        yield (name or "ALL", *(found[each] for each in _NUMBERS))


def _utilisation_head(samples: Sequence[Sample]) -> list[str]:
    return ["time", *(f"{name}{what}" for name in _resources(samples) for what in ("", "_used", "_have")), *_STATE]


_STATE = ("placed", "waiting")


def _resources(samples: Sequence[Sample]) -> list[str]:
    return sorted({name for sample in samples for name in sample.have})


def _utilisation_rows(samples: Sequence[Sample]) -> Iterable[Sequence[Any]]:
    names = _resources(samples)
    for sample in samples:
        cells = [
            cell
            for name in names
            for cell in (
                _r(part(sample.used, sample.have, name)),
                sample.used.get(name, 0),
                sample.have.get(name, 0),
            )
        ]
        yield (_r(sample.time), *cells, sample.placed, sample.waiting)


def _fairness_rows(samples: Sequence[Sample]) -> Iterable[Sequence[Any]]:
    for sample in samples:
        for name, share in sample.shares.items():
            yield _r(sample.time), name, _r(share), _r(sample.jain)
