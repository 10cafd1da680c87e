"""What the command line says when it cannot go on: what failed, why, and the one thing that helps."""

import errno

import click

CODES = {
    "BIR-010": "A port that the cluster needs is held by another process.",
    "BIR-011": "A cluster of that name is not there, or another one runs.",
    "BIR-012": "The folder of the cluster cannot be used: no room, or no right to write.",
    "BIR-020": "Starting containers and networks needs root.",
    "BIR-021": "A program that the cluster needs is missing, and could not be installed.",
    "BIR-030": "The address ranges of pods or services overlap a route of this machine.",
    "BIR-040": "A part of the cluster did not come up in time.",
    "BIR-050": "The settings of the cluster are damaged or not allowed.",
    "BIR-060": "An image archive could not be imported.",
    "BIR-070": "The kubeconfig holds an entry of that name that belongs to another cluster.",
    "BIR-080": "Something was left behind on this machine.",
    "BIR-090": "This machine refused a step.",
    "BIR-100": "A scenario, a trace, a file of stages or a plug-in cannot be used.",
    "BIR-110": "No cluster could be asked: no usable kubeconfig, or no answer from its server.",
    "BIR-111": "What was asked about is not there.",
    "BIR-112": "The cluster does not let this user see what the answer needs.",
}
UNUSABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


class CliError(Exception):
    """A failure to be shown: `code` is one of CODES, `remedy` the command or step that helps."""

    def __init__(self, code: str, message: str, *, remedy: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        assert code in CODES, code
        self.code = code
        self.message = message
        self.remedy = remedy
        self.exit_code = exit_code


def of_machine(error: OSError) -> CliError:
    """What to say of a step that the machine refused."""
    about = f"{error.filename}: " if error.filename else ""
    message = f"{about}{error.strerror or error}"
    if isinstance(error, PermissionError):
        return CliError("BIR-020", message, remedy="run it as root")
    if error.errno in UNUSABLE:
        return CliError("BIR-012", message, remedy="make room, or use --root /another/folder")
    return CliError("BIR-090", message)


def show(error: CliError) -> None:
    """Print the failure to standard error, in two lines at most."""
    click.secho(f"error: {error.message}", fg="red", err=True, nl=False)
    click.echo(f"   ({error.code})", err=True)
    if error.remedy:
        click.echo(f"  fix: {error.remedy}", err=True)
