"""What does a pod cost as the cluster grows: the same fill on more and more nodes, as figures and as a plot.

Each size is a cluster of its own (`density.py`), filled with the same number of pods, so that what changes is
the size alone. The plot is an SVG of microseconds of CPU a pod, of the core and of the process with nodes and
load.
"""

import argparse
import sys
from pathlib import Path

from cluster import end_on_signal
from density import EACH, figures, one_run
from plot import svg
from report import Figure, report

SIZES = (100, 300, 1_000)
LARGE = (100, 300, 1_000, 3_000, 10_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", help=f"nodes; {SIZES} if not said")
    parser.add_argument("--large", action="store_true", help=f"sizes {LARGE}")
    parser.add_argument("--pods", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--plot", type=Path, default=Path("growth.svg"), help="where the plot goes")
    arguments = parser.parse_args()
    end_on_signal()
    sizes = arguments.sizes or (LARGE if arguments.large else SIZES)
    choice = argparse.Namespace(kubeconfig=None, profile=None, each=EACH)
    told: list[Figure] = []
    core: list[tuple[float, float]] = []
    load: list[tuple[float, float]] = []
    for nodes in sizes:
        runs = [one_run(choice, nodes, arguments.pods) for _ in range(arguments.repeats)]
        told += figures(runs, nodes)
        core.append((nodes, min(run.core_s for run in runs) * 1e6 / arguments.pods))
        load.append((nodes, min(run.load_s for run in runs) * 1e6 / arguments.pods))
        sys.stderr.write(f"{nodes} nodes done\n")
    growth = core[-1][1] / next((value for nodes, value in core if nodes >= 1_000), core[0][1])
    told.append(Figure(f"core, CPU a pod: {sizes[-1]:,} nodes to 1,000", "times", [growth], "at most 1.5"))
    title = f"{arguments.pods:,} pods created, scheduled and Running"
    picture = svg(title, {"core": core, "nodes and load": load}, x="nodes", y="microseconds of CPU a pod")
    arguments.plot.write_text(picture)
    report("Growth", told)


if __name__ == "__main__":
    main()
