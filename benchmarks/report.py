"""How every benchmark tells its figures: a table for people, and one JSON object a line for programs.

Each figure is the median of its repeats, with the least and the greatest, and the machine that they were taken on.
"""

import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One question's answer: what was measured, in which unit, once for each repeat."""

    name: str
    unit: str
    repeats: Sequence[float]
    target: str = ""  # as people say it: "at least 8,000"
    notes: Mapping[str, object] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The median of the repeats."""
        return statistics.median(self.repeats)


def machine() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": cpu_model(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def cpu_model() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def short(number: float) -> str:
    """A number with three digits that count."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def digits(number: float) -> float:
    """A number without the digits that say nothing."""
    return float(f"{number:.4g}")


def report(title: str, figures: Iterable[Figure]) -> None:
    """Print a table, then one JSON object a line."""
    figures, here = list(figures), machine()
    rows = [("what", "median", "least", "greatest", "unit", "target")]
    for one in figures:
        least, greatest = min(one.repeats), max(one.repeats)
        rows.append((one.name, short(one.value), short(least), short(greatest), one.unit, one.target))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    write = sys.stdout.write
    write(f"{title}\n{', '.join(f'{key} {value}' for key, value in here.items())}\n\n")
    for row in rows:
        cells = [cell.rjust(width) if 0 < at < 4 else cell.ljust(width) for at, (cell, width) in
                 enumerate(zip(row, widths, strict=True))]  # fmt: skip
        write("  ".join(cells).rstrip() + "\n")
    write("\n")
    for one in figures:
        values: dict[str, object] = {"name": one.name, "value": digits(one.value), "unit": one.unit}
        values["repeats"] = [digits(number) for number in one.repeats]
        write(json.dumps({**values, **one.notes, "machine": here}) + "\n")
