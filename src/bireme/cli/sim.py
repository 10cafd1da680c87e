"""`bireme sim`: play scenarios, make traces, and put hollow nodes on any cluster."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bireme.cli.access import find_access
from bireme.cli.errors import CliError
from bireme.cli.simulated import check_amounts

if TYPE_CHECKING:
    from bireme.client.kubeconfig import Access
    from bireme.simulation.foreign import Fleet
    from bireme.simulation.nodes import NodeStatistics

HASH_SEED = "PYTHONHASHSEED"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _speed(context: click.Context, parameter: click.Parameter, value: str) -> float | None:
    """None for max."""
    if value == "max":
        return None
    try:
        speed = float(value)
    except ValueError:
        speed = 0.0
    if speed <= 0:
        raise click.BadParameter("max, or how many seconds pass in one")
    return speed


@click.group()
def sim() -> None:
    """Simulate: play scenarios, make traces, put hollow nodes on any cluster."""


@sim.command()
@click.argument("scenario", type=FILE)
@click.option("--nodes", type=click.IntRange(1), help="So many in all, each pool its part.")
@click.option("--speed", default="max", callback=_speed, show_default=True, help="Seconds that pass in one, or max.")
@click.option("--seed", type=int, help="Of everything that is drawn.  [default: the scenario's]")
@click.option("--full/--lean", default=None, help="The whole control plane, or the decisions alone.")
@click.option("--plugin", "plugins", multiple=True, type=FILE, help="A Python file of scores and filters.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="The folder for report and tables.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json in place of a line.")
def run(
    scenario: Path,
    nodes: int | None,
    speed: float | None,
    seed: int | None,
    full: bool | None,
    plugins: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Play SCENARIO; exit code 1 if what it expects does not hold."""
    from bireme.aio.clock import RealClock
    from bireme.assembly.process import set_up_logs
    from bireme.simulation.reading import ScenarioError
    from bireme.simulation.simulation import Simulation

    set_up_logs("sim", level="error")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # what can't be written is better known before the play
    _settle_hashes(scenario, full=full)
    began = RealClock().monotonic()
    try:
        report = Simulation(nodes=nodes, seed=seed, full=full, plugins=plugins, speed=speed).run(scenario)
    except ScenarioError as error:
        raise CliError("BIR-100", str(error), remedy="docs/simulation.md lists every field") from error
    if out is not None:
        report.write(out)
    if as_json:
        click.echo(report.json(), nl=False)
    else:
        click.echo(f" {report.line(seconds=RealClock().monotonic() - began)}")
        for each in report.summary["expect"]:
            mark = click.style("✓", fg="green") if each["holds"] else click.style("✗", fg="red")
            click.echo(f" {mark} {each['name']} {each['wanted']:g}: {each['got']:g}")
    sys.exit(0 if report.ok else 1)


def _settle_hashes(scenario: Path, *, full: bool | None) -> None:
    """Start anew with the hashes of texts fixed: in a control plane, the order of sets makes a difference."""
    from bireme.simulation.scenario import Scenario

    if full is None:
        with suppress(ValueError, OSError):
            full = Scenario.load(scenario).fidelity == "full"
    if full and os.environ.get(HASH_SEED) != "0":
        sys.stdout.flush()
        command = [sys.executable, "-m", "bireme.cli.main", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, HASH_SEED: "0"})


@sim.command()
@click.argument("scenario", type=FILE)
def check(scenario: Path) -> None:
    """Say whether SCENARIO can be read, and all that it names."""
    from bireme.simulation.reading import ScenarioError
    from bireme.simulation.scenario import Scenario
    from bireme.simulation.simulation import Simulation

    try:
        found = Scenario.load(scenario)
        Simulation().check(found)
    except ScenarioError as error:
        raise CliError("BIR-100", str(error), remedy="docs/simulation.md lists every field") from error
    nodes, loads = sum(pool.count for pool in found.nodes), len(found.workloads)
    click.echo(f"{scenario}: {nodes} nodes, {loads} workloads, {len(found.events)} events")


@sim.command()
@click.option("--jobs", type=click.IntRange(1), default=10_000, show_default=True, help="About so many.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=24.0, show_default=True)
@click.option("--users", type=click.IntRange(1), default=20, show_default=True, help="Namespaces that they are of.")
@click.option("--seed", type=int, default=0, show_default=True)
def trace(jobs: int, hours: float, users: int, seed: int) -> None:
    """Print a trace made by chance, as CSV."""
    import csv
    from random import Random

    from bireme.simulation.traces import make_trace

    rows = make_trace(jobs=jobs, hours=hours, random=Random(f"{seed}/trace"), users=users)
    csv.writer(sys.stdout, lineterminator="\n").writerows(rows)


@sim.command()
@click.option("--kubeconfig", type=FILE, help="Of the cluster.  [default: $KUBECONFIG, ~/.kube/config]")
@click.option("--context", default="", help="Of the kubeconfig.  [default: its current one]")
@click.option("--nodes", "count", type=click.IntRange(1, 100_000), default=10, show_default=True)
@click.option("--prefix", default="hollow", show_default=True, help="Their names are PREFIX-NUMBER.")
@click.option("--cpu", default="16", show_default=True, help="What each has.")
@click.option("--memory", default="64Gi", show_default=True)
@click.option("--pods", type=click.IntRange(1), default=110, show_default=True)
@click.option("--stages", type=FILE, help="How pods behave: a file of rules.")
@click.option("--remove", "do_remove", is_flag=True, help="Delete these nodes, and end.")
def nodes(
    kubeconfig: Path | None,
    context: str,
    count: int,
    prefix: str,
    cpu: str,
    memory: str,
    pods: int,
    stages: Path | None,
    do_remove: bool,
) -> None:
    """Hollow nodes on any Kubernetes API server, until a signal. They stay registered: --remove deletes them."""
    import asyncio

    from bireme.api.errors import ApiError
    from bireme.assembly.process import run_until_stopped, set_up_logs
    from bireme.simulation.foreign import Fleet, remove
    from bireme.simulation.reading import ScenarioError
    from bireme.simulation.scripts import DEFAULT_RULES, Rules
    from bireme.simulation.shapes import Shape

    set_up_logs("hollow", level="warning")
    try:
        check_amounts(("--cpu", cpu), ("--memory", memory))
        fleet = Fleet(count, Shape(cpu, memory, pods), prefix, Rules.load(stages) if stages else DEFAULT_RULES)
        access = find_access(kubeconfig, context, may_run=False)
        if do_remove:
            click.echo(f" {asyncio.run(remove(access, fleet))} nodes deleted")
        else:
            run_until_stopped(_serve(access, fleet))
    except ScenarioError as error:
        raise CliError("BIR-100", str(error), remedy="docs/simulation.md lists every field") from error
    except ValueError as error:
        raise CliError("BIR-050", str(error), remedy="bireme sim nodes --help") from error
    except (ApiError, ExceptionGroup) as error:
        first: Exception = error
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        if not isinstance(first, ApiError):
            raise
        raise CliError("BIR-100", f"the server says: {first}") from error


async def _serve(access: "Access", fleet: "Fleet") -> None:
    import asyncio

    from bireme.aio.clock import RealClock
    from bireme.assembly.process import settle_memory
    from bireme.simulation.foreign import hollow_nodes

    clock = RealClock()
    began = clock.monotonic()

    def told(statistics: "NodeStatistics") -> None:
        if sys.stdout.isatty() and statistics.registered < statistics.wanted:
            click.echo(f"\r · {statistics.registered} of {statistics.wanted} registered", nl=False)

    async with hollow_nodes(access, fleet, clock=clock, told=told):
        clear = "\r" if sys.stdout.isatty() else ""
        click.echo(f"{clear} {fleet.count} nodes registered in {clock.monotonic() - began:.1f}s at {access.server}")
        settle_memory()
        await asyncio.Event().wait()
