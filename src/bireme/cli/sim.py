"""`bireme sim`: play scenarios, make traces, and put hollow nodes on any cluster."""

import sys
from pathlib import Path

import click

from bireme.cli.errors import CliError

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
@click.option("--plugin", "plugins", multiple=True, type=FILE, help="A Python file of scores and filters.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="The folder for report and tables.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json in place of a line.")
def run(
    scenario: Path,
    nodes: int | None,
    speed: float | None,
    seed: int | None,
    plugins: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Play SCENARIO; exit code 1 if what it expects does not hold."""
    from bireme.aio.clock import RealClock
    from bireme.simulation.reading import ScenarioError
    from bireme.simulation.simulation import Simulation

    began = RealClock().monotonic()
    try:
        report = Simulation(nodes=nodes, seed=seed, plugins=plugins, speed=speed).run(scenario)
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


@sim.command()
@click.argument("scenario", type=FILE)
def check(scenario: Path) -> None:
    """Say whether SCENARIO can be read."""
    from bireme.simulation.reading import ScenarioError
    from bireme.simulation.scenario import Scenario

    try:
        found = Scenario.load(scenario)
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
