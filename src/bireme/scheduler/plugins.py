"""Scores and filters of users: found by the entry point group `bireme.scheduler`, or in a Python file.

An entry point is a `Scorer`, or a function `(pod, nodes) -> scores`, by its own name. A file is a module that holds
Scorers. They run in the scheduler, over all nodes at once, so they must be quick and must not block.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from bireme.scheduler.profile import Scorer

GROUP = "bireme.scheduler"


class PluginError(ValueError):
    """A plug-in that can't be used."""


def installed() -> list[Scorer]:
    """The scorers of installed packages. Raises PluginError."""
    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            given = point.load()
        except Exception as error:
            raise PluginError(f"plug-in {point.name} cannot be loaded: {error}") from error
        if isinstance(given, Scorer):
            found.append(replace(given, name=point.name))
        elif callable(given):
            found.append(Scorer(point.name, score=given))
        else:
            raise PluginError(f"plug-in {point.name} is neither a Scorer nor a function")
    return found


def in_file(path: Path) -> list[Scorer]:
    """The scorers that a Python file defines, in their order. Raises PluginError."""
    spec = importlib.util.spec_from_file_location(f"bireme_scheduler_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PluginError(f"{path}: {type(error).__name__}: {error}") from error
    found = [value for value in vars(module).values() if isinstance(value, Scorer)]
    if not found:
        raise PluginError(f"{path} defines no Scorer")
    return found


def scorers(files: Iterable[Path] = ()) -> Sequence[Scorer]:
    """All of them, each name once. Raises PluginError."""
    found = [*installed(), *(scorer for path in files for scorer in in_file(path))]
    names = [scorer.name for scorer in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise PluginError(f"two plug-ins are called {twice[0]}")
    return found
