"""The `bireme` command. Each verb stands in a file of its own and is imported only when it is used."""

import importlib
import sys

import click

from bireme.cli.errors import CliError, of_machine, show

VERBS = {
    "up": "Bring the cluster on this machine up, or find it running.",
    "down": "Stop the cluster; --purge removes every trace, --check proves it.",
    "status": "Show how the cluster is: parts, store, nodes, pods, apps, frameworks.",
    "why": "Say why a pod is where it is, or nowhere, and what would help.",
    "env": "Print the URLs and credentials of every API, to be evaluated by a shell.",
    "kubeconfig": "Print, merge or remove the cluster's kubeconfig.",
    "image": "Import and list container images.",
    "test-server": "Serve the API for tests, from memory, until the caller ends.",
    "sim": "Simulate: play scenarios, make traces, put hollow nodes on any cluster.",
    "explain": "Say what an error code means and what helps.",
}
HIDDEN = {
    "supervise": "processes",
    "run-core": "processes",
    "run-node": "processes",
    "run-simulated": "processes",
    "stop-containers": "processes",
}


class Verbs(click.Group):
    """Loads `cli/<verb>.py` and takes the command of that name from it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS and cmd_name not in HIDDEN:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"bireme.cli.{HIDDEN.get(cmd_name, name)}")
        command = getattr(module, name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bireme", prog_name="bireme")
def cli() -> None:
    """Bireme: one pool of machines that speaks the Kubernetes API and the Mesos + Marathon APIs."""


def main() -> None:
    try:
        cli()
    except CliError as error:
        show(error)
        sys.exit(error.exit_code)
    except OSError as error:
        failure = of_machine(error)
        show(failure)
        sys.exit(failure.exit_code)


if __name__ == "__main__":
    main()
