"""`bireme down`: containers stop and state stays; `--purge` takes everything away; `--check` proves it."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import click

from bireme.cli import kubeconfig as kubeconfigs
from bireme.cli import leftovers
from bireme.cli.clusters import check_name, find, is_simulated, lives, name_option, need_root, parts, root_option
from bireme.cli.errors import CliError
from bireme.cli.progress import Progress, style_for
from bireme.config import Config
from bireme.runtime.host_changes import Change, HostChanges, undo

STOP_S = 45.0


def stop(config: Config) -> str:
    """End the supervisor, and with it all parts and containers; says what was ended."""
    running = {name: part for name, part in parts(config).items() if part["alive"]}
    supervisor = running.get("supervisor")
    if supervisor:
        os.kill(supervisor["pid"], signal.SIGTERM)
        wait_gone(supervisor["pid"], supervisor["started"], STOP_S)
    elif running or leftovers.contained(config):
        _stop_orphans(config, running)
        return f"{len(running)} processes ended, and the containers they had left"
    return f"{len(running)} processes ended" if running else "nothing was running"


def _stop_orphans(config: Config, running: dict[str, dict[str, int | str]]) -> None:
    """The supervisor is gone but parts or containers live: stop them in its order."""
    for name in ("node", "core", "containerd"):
        part = running.get(name)
        if name == "containerd":
            from bireme.assembly.stopping import stop_containers

            stop_containers(config.data / "config.json")
        if part:
            with suppress(ProcessLookupError):
                os.kill(int(part["pid"]), signal.SIGTERM)
            wait_gone(int(part["pid"]), str(part["started"]), STOP_S)


def wait_gone(pid: int, started: str, seconds: float) -> None:
    """Return when that process has ended; after `seconds` it is killed."""
    deadline = time.monotonic() + seconds
    while lives(pid, started) and time.monotonic() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)
    if lives(pid, started):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def purge(config: Config) -> int:
    """Undo every recorded change and remove the kubeconfig entry; gives back how many there were."""
    changes = HostChanges(config.changes).entries()
    kubeconfigs.remove(config, kubeconfigs.default_path())
    leftovers.sweep(config)
    held = HostChanges(config.changes).undo()
    folders = [Change("directory", str(folder)) for folder in (config.data, config.run)]
    held += [folder for folder in folders if folder not in held and not undo(folder)]
    if held:
        names = ", ".join(f"{change.kind} {change.name}" for change in held)
        raise CliError(
            "BIR-080", f"could not undo: {names}", remedy=f"see {config.changes}, then bireme down --purge"
        )
    for folder in (config.data.parent, config.run.parent):
        with suppress(OSError):
            folder.rmdir()
    return len(changes)


@click.command()
@name_option
@root_option
@click.option(
    "--purge", "do_purge", is_flag=True, help="Remove every trace: state, images, network, kubeconfig entry."
)
@click.option("--check", is_flag=True, help="Say what is left on this machine; exit code 1 if anything is.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def down(name: str, root: Path, do_purge: bool, check: bool, quiet: bool) -> None:
    """Stop the cluster; --purge removes every trace, --check proves it."""
    check_name(name)
    if not is_simulated(name, root):
        need_root("stopping the cluster")
    progress = Progress(style_for(quiet=quiet, as_json=False))
    if check:
        _check(name, root)
        return
    try:
        config = find(name, root)
    except CliError:
        if not do_purge:
            raise
        if not leftovers.traces(name, root):
            if not quiet:
                click.echo(f'There is no cluster "{name}" here, nor any trace of one.')
            return
        config = leftovers.presumed(name, root)
    with progress.phase("Parts" if config.is_simulated else "Containers and parts") as phase:
        phase.detail = stop(config)
    if do_purge:
        with progress.phase("Host changes") as phase:
            phase.detail = f"{purge(config)} undone, 0 left"
    elif not quiet:
        click.echo("State stays: bireme up resumes.  Remove every trace: bireme down --purge")


def _check(name: str, root: Path) -> None:
    found = leftovers.traces(name, root)
    for trace in found:
        click.echo(f" ✗ {trace}")
    click.echo(f"{len(found)} left (links, routes, nft tables, netns, mounts, cgroups, processes, files, kubeconfig)")
    if found:
        raise CliError("BIR-080", f"{len(found)} traces are left", remedy="bireme down --purge")
