"""How long does it take to play a day of 1,000 nodes, and what does a placement cost?

The lean player on `examples/simulation/day.yaml`, CPU time of this process. `--hours` plays less of it.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from report import Figure, report

from bireme.simulation.scenario import Scenario
from bireme.simulation.simulation import Simulation

DAY = Path(__file__).parents[1] / "examples" / "simulation" / "day.yaml"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--hours", type=float, default=24.0)
    options.add_argument("--repeats", type=int, default=1)
    chosen = options.parse_args()
    scenario = replace(Scenario.load(DAY), duration=chosen.hours * 3600)
    seconds, placements, utilisation = [], 0, 0.0
    for _ in range(chosen.repeats):
        begun = time.process_time()
        played = Simulation().run(scenario)
        seconds.append(time.process_time() - begun)
        placements, utilisation = played.summary["placements"], played.summary["utilisation"]["cpu"]
    notes = {"hours": chosen.hours, "placements": placements, "utilisation": utilisation}
    figures = [
        Figure("CPU for the day", "s", seconds, "under 120", notes),
        Figure("CPU for a placement", "ms", [each / placements * 1000 for each in seconds]),
    ]
    report("A day of 1,000 nodes, played", figures)


if __name__ == "__main__":
    main()
