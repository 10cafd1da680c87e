"""Admission: what is filled in and refused beyond what a kind's own rules say.

The plugins run in the order of the original; one that has nothing to say to an operation on a kind is left out
of its chain, once for all. Plugins see objects through `Objects`, never the store. Webhooks and policies
stand at the end of the chain. Source: the Kubernetes documentation on admission.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from bireme.registry.access import Authorizer
from bireme.registry.kinds import Kind
from bireme.registry.options import Call

Tree = dict[str, Any]
Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


class Objects(Protocol):
    """The objects that plugins may look up, as they are now."""

    def find(self, group: str, version: str, plural: str, namespace: str, name: str) -> Tree | None:
        """The object of that name."""
        ...

    def every(self, group: str, version: str, plural: str, namespace: str = "") -> list[Tree]:
        """All objects of a kind, in one namespace or in all."""
        ...


class Judges(Protocol):
    """Who answers what a user may do."""

    @property
    def authorizer(self) -> Authorizer:
        """The cluster's authorizer."""
        ...


@dataclass(slots=True)
class Attributes:
    """What is asked: `tree` is the object to be (None for DELETE), `old` the one that is.

    `changed` is set by who changed the object after others had filled it in: they are then asked once more.
    """

    operation: Operation
    kind: Kind
    namespace: str
    name: str
    tree: Tree | None
    old: Tree | None
    call: Call
    subresource: str = ""
    settle: list["Settle"] = field(default_factory=list)
    changed: bool = False

    async def settled(self, *, stands: bool) -> None:
        """Tell those who asked for it whether the write stands."""
        for step in self.settle:
            await step(stands=stands)


class Settle(Protocol):
    """Hears whether the write that was admitted stands, or failed after all."""

    def __call__(self, *, stands: bool) -> Awaitable[None]: ...


class Plugin(ABC):
    """One plugin: which operations it handles, what it fills in (`admit`), what it refuses (`validate`)."""

    name: ClassVar[str]
    asked_again: ClassVar[bool] = True

    @abstractmethod
    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        """Whether it has anything to say to `operation` on `kind`."""

    async def admit(self, attributes: Attributes) -> None:  # noqa: B027 - a plugin does one or the other
        """Change the tree in place. Raises ApiError to refuse."""

    async def validate(self, attributes: Attributes) -> None:  # noqa: B027
        """Raise ApiError to refuse; change nothing."""


Step = Callable[[Attributes], Awaitable[None]]


Steps = tuple[tuple[Step, ...], tuple[Step, ...], tuple[Step, ...]]
"""What fills in, what refuses, and what fills in once more."""


class Chain:
    """The plugins in their order."""

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self._plugins = tuple(plugins)
        self._steps: dict[tuple[Operation, Kind, str], Steps] = {}

    async def admit(self, attributes: Attributes) -> None:
        """Let every plugin fill in what it has to."""
        steps, _, again = self._of(attributes)
        for step in steps:
            await step(attributes)
        if attributes.changed:
            for step in again:
                await step(attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Let every plugin refuse."""
        for step in self._of(attributes)[1]:
            await step(attributes)

    def _of(self, attributes: Attributes) -> Steps:
        place = (attributes.operation, attributes.kind, attributes.subresource)
        steps = self._steps.get(place)
        if steps is None:
            chosen = [plugin for plugin in self._plugins if plugin.handles(*place)]
            admitting = [plugin for plugin in chosen if type(plugin).admit is not Plugin.admit]
            steps = self._steps[place] = (
                tuple(plugin.admit for plugin in admitting),
                tuple(plugin.validate for plugin in chosen if type(plugin).validate is not Plugin.validate),
                tuple(plugin.admit for plugin in admitting if plugin.asked_again),
            )
        return steps
