"""Changes that may give a pod a place: to the pod, to a node, or to what else is there. Each can be tried in thought.

A change says itself in words, and where one command makes it, which. `bother` orders them: less is asked of whoever
makes it. Some have parts; `without` gives what is left when one part is not needed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from bireme.api import quantity, resources
from bireme.api.kinds import core
from bireme.scheduler.nodes import NodeFacts

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Degree:
    """How little might be done and how much is, and the change by so much."""

    least: int
    most: int
    by: "Callable[[int], Change]"


@dataclass(frozen=True, slots=True)
class Change(ABC):
    """One change. As it stands, it changes nothing."""

    @property
    def bother(self) -> float:
        """How much is asked of whoever makes it."""
        return 5.0

    @property
    @abstractmethod
    def text(self) -> str:
        """What to do."""

    @property
    def command(self) -> str:
        """The command that does it, if there is one."""
        return ""

    def to_pod(self, pod: core.Pod) -> core.Pod:
        """The pod as it would be."""
        return pod

    def to_node(self, facts: NodeFacts) -> NodeFacts:
        """The node as it would be."""
        return facts

    def without(self) -> "Iterable[Change]":
        """The change with one part less, for each of its parts if there are several."""
        return ()

    def degree(self, part: int) -> "Degree | None":
        """How much is done of one part; None when there is no such part, or no more and less of it."""
        return None


def spelled(name: str, amount: int) -> str:
    """An exact amount of a resource, as the API writes it."""
    if name == resources.CPU:
        return quantity.from_milli(amount)
    if name in ("memory", "ephemeral-storage") or name.startswith("hugepages-"):
        return quantity.text_of(amount * quantity.NANOS, "binary")
    return str(amount)


def tainted(taint: core.Taint) -> str:
    """The taint, as kubectl writes it."""
    return f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}"


def with_one_less(parts: tuple[T, ...]) -> list[tuple[T, ...]]:
    """The parts but one, for each of them; nothing where there is only one."""
    return [parts[:i] + parts[i + 1 :] for i in range(len(parts))] if len(parts) > 1 else []


def joined(parts: list[str]) -> str:
    """The parts as a list in a sentence."""
    return " and ".join(parts) if len(parts) < 3 else ", ".join(parts[:-1]) + " and " + parts[-1]
