"""What tests here share beside the fixtures."""

import time
from collections.abc import Callable
from typing import Any

import yaml


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
