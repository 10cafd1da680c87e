"""The long-running processes of a cluster, started by the supervisor; not for typing by hand."""

from pathlib import Path

import click

settings_argument = click.argument("settings", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.command(hidden=True)
@settings_argument
def supervise(settings: Path) -> None:
    """Keep containerd, the core and the node running."""
    from bireme.assembly.supervisor import run

    run(settings)


@click.command(hidden=True)
@settings_argument
def run_core(settings: Path) -> None:
    """Run the store, the APIs, the controllers, the scheduler, the Mesos master and Marathon."""
    from bireme.assembly.core import run

    run(settings)


@click.command(hidden=True)
@settings_argument
def run_simulated(settings: Path) -> None:
    """Run the core with hollow nodes in it."""
    from bireme.simulation.core import run

    run(settings)


@click.command(hidden=True)
@settings_argument
def run_node(settings: Path) -> None:
    """Run the kubelet, the network and DNS."""
    from bireme.assembly.node import run

    run(settings)


@click.command(hidden=True)
@settings_argument
def stop_containers(settings: Path) -> None:
    """Stop every pod on this machine's own containerd."""
    from bireme.assembly.stopping import stop_containers as stop

    stop(settings)
