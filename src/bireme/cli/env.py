"""`eval $(bireme env)`: ready-made URLs for curl, kubectl, pymesos and marathon clients."""

import shlex
from pathlib import Path

import click

from bireme.cli.clusters import admin_login, find, name_option, root_option
from bireme.config import Config


def variables(config: Config) -> dict[str, str]:
    """Names and values to export. The URLs hold the admin's password: treat them as secrets."""
    user, password = admin_login(config)
    kubeconfig = config.data / "admin.kubeconfig"
    return {
        "KUBECONFIG": str(kubeconfig),
        "MARATHON_URL": f"http://{user}:{password}@{config.host}:{config.marathon_port}",
        "MESOS_URL": f"http://{user}:{password}@{config.host}:{config.mesos_port}",
        "MESOS_MASTER": f"{config.host}:{config.mesos_port}",
        "MESOS_PRINCIPAL": user,
        "MESOS_SECRET": password,
        "BIREME_DNS": config.dns_address,
    }


@click.command()
@name_option
@root_option
def env(name: str, root: Path) -> None:
    """Print the URLs and credentials of every API, to be evaluated by a shell."""
    config = find(name, root)
    for key, value in variables(config).items():
        click.echo(f"export {key}={shlex.quote(value)}")
