"""The examples are played, shortened, and say what they say."""

from dataclasses import replace
from pathlib import Path

import pytest

from bireme.simulation.scenario import Scenario
from bireme.simulation.scripts import Rules
from bireme.simulation.simulation import Simulation

FOLDER = Path(__file__).parents[2] / "examples" / "simulation"


SCENARIOS = sorted(path for path in FOLDER.glob("*.yaml") if path.stem != "stages")


def test_the_rules_of_stages_are_read() -> None:
    assert len(Rules.load(FOLDER / "stages.yaml").rules) == 6


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_an_example_is_played(path: Path) -> None:
    scenario = Scenario.load(path)
    short = replace(
        scenario, duration=min(scenario.duration, 1200.0), expect=replace(scenario.expect, min_available={})
    )
    report = Simulation(nodes=sum(pool.count for pool in scenario.nodes)).run(short)
    assert report.summary["placements"] > 0


def test_packing_helps_the_large() -> None:
    spread = Simulation().run(FOLDER / "trace.yaml")
    packed = Simulation(plugins=[FOLDER / "pack.py"]).run(FOLDER / "trace.yaml")
    assert spread.ok
    assert packed.ok
    assert packed.summary["wait_s"]["p99"] < spread.summary["wait_s"]["p99"]
