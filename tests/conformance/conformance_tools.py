"""What tests here share beside the fixtures."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

CLIENTS = Path(__file__).resolve().parents[2] / ".build" / "clients"


def program_named(name: str) -> str:
    """Where kubectl or helm is: the one of today that tools/setup-kubectl.sh has put here, or the machine's own."""
    found = shutil.which(name, path=str(CLIENTS)) or shutil.which(name)
    assert found, f"{name} is missing: tools/setup-kubectl.sh installs it"
    return found


def wait_until(ready: Callable[[], Any], *, what: str = "", seconds: float = 15.0) -> Any:
    """The first true answer of `ready`; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := ready():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g}s: {what or ready}")
        time.sleep(0.05)


def manifest(*trees: Any) -> str:
    """The YAML of objects, for kubectl's input."""
    return yaml.safe_dump_all(trees)
