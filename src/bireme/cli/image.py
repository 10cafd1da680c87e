"""`bireme image import x.tar`, `bireme image list`."""

import json
import subprocess
from pathlib import Path

import click

from bireme.cli.clusters import find, name_option, need_root, root_option
from bireme.cli.errors import CliError
from bireme.config import Config


def ctr(config: Config, *arguments: str) -> str:
    """Run containerd's own tool on our containerd. Raises CliError with what it said."""
    if not config.containerd_socket.exists():
        raise CliError("BIR-060", f'the cluster "{config.cluster}" does not run', remedy="bireme up")
    command = ["ctr", "--address", str(config.containerd_socket), "--namespace", "k8s.io", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        raise CliError("BIR-060", f"containerd refused: {reason}", remedy="bireme status")
    return done.stdout


@click.group()
def image() -> None:
    """Import and list container images."""


@image.command("import")
@click.argument("archives", type=click.Path(exists=True, dir_okay=False, path_type=Path), nargs=-1, required=True)
@name_option
@root_option
def import_(archives: tuple[Path, ...], name: str, root: Path) -> None:
    """Import OCI or docker archives, such as `docker save` writes."""
    from bireme.runtime.containerd import look_at_machine

    need_root("importing images")
    config = find(name, root)
    for archive in archives:
        snapshotter = look_at_machine(config.containerd_root).snapshotter
        output = ctr(config, "images", "import", "--snapshotter", snapshotter, str(archive.absolute()))
        for line in output.splitlines():
            click.echo(line)


@image.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array of names.")
@name_option
@root_option
def list_(as_json: bool, name: str, root: Path) -> None:
    """List the images that containers can be made from."""
    need_root("listing images")
    names = ctr(find(name, root), "images", "list", "--quiet").split()
    shown = [image for image in names if not image.startswith("sha256:")]
    click.echo(json.dumps(shown) if as_json else "\n".join(shown))
