"""One line a phase: a tick and seconds for people, plain or JSON lines when piped."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click


class Progress:
    """Prints phases as they end. `style` is "tty", "plain", "json" or "quiet"."""

    def __init__(self, style: str) -> None:
        self.style = style

    @contextmanager
    def phase(self, name: str) -> Iterator["Phase"]:
        """Time what is done inside, then print its line; a failure is marked and goes on up."""
        phase = Phase(name)
        if self.style == "tty":
            click.echo(f" · {name}", nl=False)
        try:
            yield phase
        except BaseException:
            self._print(phase, ok=False)
            raise
        self._print(phase, ok=True)

    def _print(self, phase: "Phase", *, ok: bool) -> None:
        seconds = time.monotonic() - phase.began
        match self.style:
            case "tty":
                mark = click.style("✓", fg="green") if ok else click.style("✗", fg="red")
                click.echo(f"\r {mark} {phase.name:<24}{seconds:5.1f}s   {phase.detail}")
            case "plain":
                click.echo(f"phase={phase.slug} {'ok' if ok else 'failed'} {seconds:.1f}s {phase.detail}".rstrip())
            case "json":
                line = {"phase": phase.slug, "ok": ok, "seconds": round(seconds, 2), "detail": phase.detail}
                click.echo(json.dumps(line))


class Phase:
    """A phase under way; set `detail` to what its line should say."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.detail = ""
        self.began = time.monotonic()

    @property
    def slug(self) -> str:
        return self.name.lower().replace(",", "").replace(" ", "-")


def style_for(*, quiet: bool, as_json: bool) -> str:
    """How to print: as asked, else for people on a terminal and plainly when piped or under CI."""
    if quiet:
        return "quiet"
    if as_json:
        return "json"
    return "tty" if sys.stdout.isatty() and "CI" not in os.environ else "plain"
