"""The scheduler's settings come from the cluster's, and its figures stand beside those of the API server."""

from pathlib import Path

import pytest
from tests.scheduler.scheduling import node, pod, scheduling_alone

from bireme.api.kinds import core
from bireme.assembly.scheduling import figures, scheduler_settings
from bireme.config import Config
from bireme.scheduler.configuration import ConfigurationError

PLUGIN = """
import numpy as np
from bireme.scheduler.profile import Scorer

last = Scorer("Last", weight=1, score=lambda pod, nodes: np.arange(nodes.capacity) * 1.0)
"""
CONFIGURATION = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: last
  plugins:
    score:
      disabled: [{name: "*"}]
      enabled: [{name: Last}]
"""


def config(folder: Path, text: str) -> Config:
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "scheduler.yaml").write_text(text)
    made = Config(
        data=folder,
        scheduler_config_file=folder / "scheduler.yaml",
        scheduler_plugin_files=(folder / "plugin.py",),
    )
    made.save()
    return Config.load(folder / "config.json")


async def test_a_score_of_ones_own_in_a_profile_of_ones_own(tmp_path: Path) -> None:
    async with scheduling_alone(settings=scheduler_settings(config(tmp_path, CONFIGURATION))) as s:
        await s.register(node("a", cpu="8"), node("b"), node("c"))
        await s.create(pod("p", scheduler="last"), pod("q"))
        columns = s.ledger.columns
        assert columns.rows[await s.placed("p")] == max(columns.rows.values())
        assert await s.placed("q") == "a"


def test_a_faulty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'Lost' does not exist"):
        scheduler_settings(config(tmp_path, CONFIGURATION.replace("{name: Last}", "{name: Lost}")))


async def test_the_figures_that_dashboards_chart() -> None:
    async with scheduling_alone() as s:
        await s.register(node("n", cpu="1"))
        gated = pod("gated")
        gated.spec.scheduling_gates = [core.PodSchedulingGate(name="g")]
        await s.create(pod("p"), gated)
        await s.placed("p")
        await s.create(pod("q"))
        await s.refused("q")
        page = figures(s.scheduler)
    profile = '{profile="default-scheduler",result="'
    for line in (
        'scheduler_pending_pods{queue="unschedulable"} 1',
        'scheduler_pending_pods{queue="gated"} 1',
        f'scheduler_schedule_attempts_total{profile}scheduled"}} 1',
        f'scheduler_schedule_attempts_total{profile}unschedulable"}} 1',
        f'scheduler_scheduling_attempt_duration_seconds_count{profile}scheduled"}} 1',
        "scheduler_preemption_attempts_total 0",
    ):
        assert line in page.splitlines()
