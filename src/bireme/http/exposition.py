"""Figures as text for Prometheus: families of samples with their help, and histograms that cost little to feed.

Source: the text exposition format of Prometheus, version 0.0.4.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, object]


class Histogram:
    """How often values fell below each of some bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, *, times: int = 1) -> None:
        """One more value, or so often the same."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def samples(self, name: str, labels: Labels) -> list[str]:
        """Its lines."""
        lines, seen = [], 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            seen += count
            lines.append(sample(f"{name}_bucket", {**labels, "le": _bound(bound)}, seen))
        return [*lines, sample(f"{name}_sum", labels, self.total), sample(f"{name}_count", labels, seen)]


def family(name: str, kind: str, text: str, lines: Iterable[str]) -> list[str]:
    """A metric's lines under its help; nothing where there are none."""
    found = list(lines)
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *found] if found else []


def sample(name: str, labels: Labels, value: float) -> str:
    """One line."""
    said = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items())
    return f"{name}{{{said}}} {_number(value)}" if said else f"{name} {_number(value)}"


def _escaped(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _bound(bound: object) -> object:
    """A bound as others write it, since queries name it: 1, not 1.0."""
    return f"{bound:.12g}" if isinstance(bound, float) else bound


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
