"""Simulations from Python: a scenario in, a report out. See docs/simulation.md.

```python
report = Simulation(nodes=1000, seed=7, plugins=[my_score]).run("day.yaml")
report.summary["utilisation"]["cpu"], report.series("cpu")
```
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from bireme.aio.clock import RealClock
from bireme.scheduler.profile import WEIGHTS, Fit, Profile, Score, Scorer, Strategy
from bireme.simulation import plugins
from bireme.simulation.lean import Player
from bireme.simulation.report import Report, Unplaced, make_report
from bireme.simulation.scenario import Scenario

Given = Scenario | Mapping[str, Any] | str | Path


class Simulation:
    """How scenarios are to be played.

    `nodes`, `seed` and `full` (the whole control plane, or not) go before what the scenario says. `plugins` are paths
    of files, functions (scores), or Scorers.
    `speed` is how many seconds pass in one, None for as fast as it goes.
    """

    def __init__(
        self,
        *,
        nodes: int | None = None,
        seed: int | None = None,
        full: bool | None = None,
        plugins: Sequence[Path | str | Scorer | Callable[..., Any]] = (),
        speed: float | None = None,
    ) -> None:
        self._nodes, self._seed, self._plugins, self._speed = nodes, seed, plugins, speed
        self._full = full

    def run(self, scenario: Given) -> Report:
        """Play it: a path, the text of a scenario as data, or a Scenario. Raises ScenarioError, OSError."""
        wanted = as_scenario(scenario)
        if self._nodes is not None:
            wanted = wanted.scaled_to(self._nodes)
        if self._full is not None:
            wanted = replace(wanted, fidelity="full" if self._full else "lean")
        seed = wanted.seed if self._seed is None else self._seed
        if wanted.fidelity == "full":
            return self._run_fully(wanted, seed)
        player = Player(wanted, self.profile(wanted), seed=seed, pace=self._pace())
        notes = player.play()
        end = wanted.duration
        waiting = sorted(player.waiting(), key=lambda pod: (pod.created, pod.uid))
        unplaced = [
            Unplaced(pod.name, pod.namespace, end - pod.created, player.why(pod) if number < 10 else "")
            for number, pod in enumerate(waiting)
        ]
        return make_report(wanted, seed, notes, unplaced, len(player.machines))

    def check(self, scenario: Given) -> None:
        """Read all that it names, and play nothing. Raises ScenarioError, OSError."""
        wanted = as_scenario(scenario)
        player = Player(wanted, self.profile(wanted), seed=wanted.seed)
        player.begin()

    def _run_fully(self, scenario: Scenario, seed: int) -> Report:
        """With the whole control plane, whose modules are imported only here."""
        from bireme.assembly.process import set_up_logs
        from bireme.simulation.full import play

        if not structlog.is_configured():
            set_up_logs("sim", level="error")
        notes = play(scenario, self.profile(scenario), seed=seed, speed=self._speed)
        unplaced = [
            Unplaced(
                pod.metadata.name,
                pod.metadata.namespace,
                waited,
                next((c.message for c in pod.status.conditions if c.type == "PodScheduled"), ""),
            )
            for pod, waited in sorted(notes.waiting(), key=lambda each: (-each[1], each[0].metadata.name))
        ]
        nodes = sum(pool.count for pool in scenario.nodes)
        return make_report(scenario, seed, notes.recorder, unplaced, nodes)

    def profile(self, scenario: Scenario) -> Profile:
        """The scheduler's preferences, as scenario and plug-ins have them."""
        told = scenario.scheduler
        files: list[Path | str | Scorer | Callable[..., Any]] = [scenario.folder / name for name in told.plugins]
        scorers = tuple(found for given in [*files, *self._plugins] for found in _scorers(given))
        weights = {**WEIGHTS, **{Score(name): weight for name, weight in told.weights.items()}}
        return Profile(weights=weights, fit=Fit(Strategy(told.strategy)), scorers=scorers)

    def _pace(self) -> Callable[[float], None]:
        if self._speed is None:
            return lambda now: None
        import time

        clock, speed = RealClock(), self._speed
        began = clock.monotonic()

        def pace(now: float) -> None:
            ahead = now / speed - (clock.monotonic() - began)
            if ahead > 0:
                time.sleep(ahead)

        return pace


def as_scenario(given: Given) -> Scenario:
    """Whatever was given, as a scenario. Raises ScenarioError, OSError."""
    if isinstance(given, Scenario):
        return given
    if isinstance(given, Mapping):
        return Scenario.of(given)
    return Scenario.load(Path(given))


def _scorers(given: Path | str | Scorer | Callable[..., Any]) -> tuple[Scorer, ...]:
    if isinstance(given, Scorer):
        return (given,)
    if isinstance(given, Path | str):
        return plugins.load(Path(given))
    return (plugins.of(given),)
