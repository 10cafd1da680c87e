"""The core process of a cluster whose nodes are hollow: `bireme up --sim N`.

Everything a core has, durable store included, and the hollow nodes beside it in the same process. They take up what
an earlier life of the process left: nodes, leases, pods that ran.
"""

import asyncio
from dataclasses import asdict
from pathlib import Path

from bireme.aio.clock import Clock, RealClock
from bireme.aio.supervise import supervise
from bireme.apiserver.resources import Tunnels
from bireme.assembly import core
from bireme.assembly.api import MASTERS, Api
from bireme.assembly.process import run_until_stopped, set_up_logs
from bireme.config import Config
from bireme.simulation.nodes import HollowNodes, NodeStatistics
from bireme.simulation.pods import HollowPods
from bireme.simulation.scripts import DEFAULT_RULES, Rules
from bireme.simulation.shapes import Shape
from bireme.simulation.tunnels import HollowTunnels

PREFIX = "sim"


def run(settings: Path) -> None:
    """Run the core of the simulated cluster whose settings are in this file, until a signal."""
    config = Config.load(settings)
    set_up_logs("core", level=config.log_level)
    clock = RealClock()
    run_until_stopped(core.main(config, clock=clock, stand_in=Hollow(config, clock=clock)))


class Hollow:
    """The hollow nodes of one cluster. See `assembly.core.StandIn`."""

    def __init__(self, config: Config, *, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._nodes: HollowNodes | None = None

    def tunnels(self, others: Tunnels) -> Tunnels:
        """See `StandIn`."""
        return HollowTunnels(others, clock=self._clock)

    async def run(self, api: Api) -> None:
        """See `StandIn`."""
        config, clock = self._config, self._clock
        client = api.client("bireme-simulation", groups=(MASTERS,))
        nodes = self._nodes = HollowNodes(client, clock=clock)
        rules = Rules.load(config.stages) if config.stages else DEFAULT_RULES
        pods = HollowPods(client, nodes, clock=clock, rules=rules)
        shape = Shape(config.simulated_cpu, config.simulated_memory, config.simulated_pods)
        async with asyncio.TaskGroup() as tasks:
            for name, part in (("nodes", nodes.run), ("pods", pods.run)):
                tasks.create_task(supervise(f"hollow {name}", part, clock), name=f"hollow {name}")
            await nodes.add(config.simulated_nodes, shape, prefix=PREFIX)
            await nodes.prune()

    def statistics(self) -> dict[str, int]:
        """See `StandIn`."""
        nodes = self._nodes
        return asdict(nodes.statistics() if nodes else NodeStatistics(self._config.simulated_nodes, 0, 0))
