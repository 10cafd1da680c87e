"""What this process takes of its machine, under the names that every client library of Prometheus uses.

Source: Prometheus, client library guidelines; proc(5).
"""

import os
import resource
from pathlib import Path

from bireme.http.exposition import family, sample

_PROC = Path("/proc")


def process_figures() -> str:
    """The lines, as they are now; nothing where the system does not tell."""
    try:
        said = (_PROC / "self/stat").read_text().rpartition(") ")[2].split()
        booted = next(line for line in (_PROC / "stat").read_text().splitlines() if line.startswith("btime "))
        descriptors = len(os.listdir(_PROC / "self/fd"))
    except (OSError, StopIteration):
        return ""
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    figures = (
        ("cpu_seconds_total", "counter", "CPU time spent.", (int(said[11]) + int(said[12])) / ticks),
        ("start_time_seconds", "gauge", "When the process started.", int(booted.split()[1]) + int(said[19]) / ticks),
        ("virtual_memory_bytes", "gauge", "Virtual memory.", int(said[20])),
        ("resident_memory_bytes", "gauge", "Resident memory.", int(said[21]) * page),
        ("open_fds", "gauge", "Open file descriptors.", descriptors),
        ("max_fds", "gauge", "Most file descriptors.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    )
    lines: list[str] = []
    for name, kind, text, value in figures:
        lines += family(f"process_{name}", kind, text, [sample(f"process_{name}", {}, value)])
    return "\n".join(lines)
