"""`bireme explain BIR-010`"""

import click

from bireme.cli.errors import CODES


@click.command()
@click.argument("code", type=click.Choice(sorted(CODES), case_sensitive=False))
def explain(code: str) -> None:
    """Say what an error code means."""
    click.echo(f"{code}: {CODES[code.upper()]}")
