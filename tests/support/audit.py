"""Audit events kept for the test."""

from typing import Any


class Kept:
    """A backend that puts events into a list."""

    dropped = 0

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events = events

    def write(self, event: dict[str, Any]) -> None:
        self.events.append(event)
