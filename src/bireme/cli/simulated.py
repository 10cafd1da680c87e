"""What `bireme up` does otherwise for simulated nodes: its options, who may, and when they are up."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from bireme.cli.clusters import Door, is_simulated, need_root
from bireme.cli.errors import CliError
from bireme.config import DEFAULT_ROOT, Config, user_root

Command = Callable[..., Any]
_OPTIONS = (
    click.option(
        "--sim",
        "simulated_nodes",
        type=click.IntRange(1, 100_000),
        is_eager=True,
        help="So many simulated nodes in place of this machine: no containers, no root.",
    ),
    click.option("--sim-cpu", "simulated_cpu", help="What each of them has.  [default: 16]"),
    click.option("--sim-memory", "simulated_memory", help="[default: 64Gi]"),
    click.option("--sim-pods", "simulated_pods", type=click.IntRange(1), help="[default: 110]"),
    click.option(
        "--stages",
        type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
        help="How their pods behave: a file of rules.",
    ),
)


def sim_options(command: Command) -> Command:
    """Give `command` the options."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


def check_may(name: str, root: Path, *, simulated: bool) -> None:
    """Raises CliError unless this user may bring that cluster up; `simulated` says that it is asked to be."""
    if simulated:
        if root.absolute() == user_root() and (DEFAULT_ROOT / name / "config.json").exists():
            raise CliError("BIR-011", f'this machine has a cluster "{name}" of its own', remedy="--name another")
    elif not ((root / name / "config.json").exists() and is_simulated(name, root)):
        need_root("starting containers", otherwise="bireme up --sim 5 for simulated nodes")


def check_hollow(config: Config) -> None:
    """Raises ValueError unless what simulated nodes are to have, and how pods are to behave, can be read."""
    check_amounts(("--sim-cpu", config.simulated_cpu), ("--sim-memory", config.simulated_memory))
    if config.stages:
        from bireme.simulation.scripts import Rules

        Rules.load(config.stages)


def check_amounts(*told: tuple[str, str]) -> None:
    """Raises ValueError unless each option's amount is one that a node can have."""
    from bireme.api.quantity import milli

    for option, text in told:
        try:
            enough = milli(text) > 0
        except ValueError:
            enough = False
        if not enough:
            raise ValueError(f"{option} {text}: a quantity above 0 is needed, as 16, 500m or 64Gi")


def nodes_detail(api: Door) -> str | None:
    """ "5 of 5 Ready" once all hollow nodes are, in this life of the core."""
    said = api.json("/bireme/v1/status")["hollow"]
    done = said["wanted"] == said["registered"] == said["ready"]
    return f"{said['ready']} of {said['wanted']} Ready (simulated)" if done else None
