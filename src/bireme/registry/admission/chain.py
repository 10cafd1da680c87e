"""Admission: what is filled in and refused beyond what a kind's own rules say.

The plugins run in the order of the original; one that has nothing to say to an operation on a kind is left out
of its chain, once for all. Plugins see objects through `Objects`, never the store. Policies and webhooks stand
at the end of the chain. Source: the Kubernetes documentation on admission.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from bireme.registry.access import Authorizer
from bireme.registry.admission.step_figures import StepFigures
from bireme.registry.kinds import Kind
from bireme.registry.options import Call

Tree = dict[str, Any]
Place = tuple[str, str, str]
"""Group, version and plural of a kind, as `Objects.find` takes them."""
Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


class Objects(Protocol):
    """The objects that plugins may look up, as they are now."""

    def find(self, group: str, version: str, plural: str, namespace: str, name: str) -> Tree | None:
        """The object of that name."""
        ...

    def labels(self, group: str, version: str, plural: str, namespace: str, name: str) -> Mapping[str, str] | None:
        """The labels of the object of that name."""
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
    """What is asked: `tree` is the object to be (None for DELETE), `old` the one that is, at `revision`.

    `options` are those of a delete, as clients say them. For CONNECT, `tree` is what the client asks of the tunnel.
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
    revision: int = 0
    options: Tree | None = None
    again: "Again | None" = None

    async def settled(self, *, stands: bool | None) -> None:
        """Tell those who asked for it whether the write stands; None: that is not known."""
        for step in self.settle:
            await step(stands=stands)

    async def failed(self, error: BaseException) -> None:
        """Tell them that it ended with `error`. A write whose caller went away may happen all the same."""
        await self.settled(stands=None if isinstance(error, asyncio.CancelledError) else False)


@dataclass(slots=True)
class Again:
    """What webhooks need to know to be asked a second time: who wants to be (`ran`), and who is (`due`)."""

    wanted: bool = False
    under_way: bool = False
    ran: list[str] = field(default_factory=list)
    due: set[str] = field(default_factory=set)
    left: bytes = b""

    def changed(self) -> None:
        """Ask those again who have been asked, since the object is not what they saw."""
        self.wanted = True
        self.due.update(self.ran)
        self.ran.clear()


class Settle(Protocol):
    """Hears whether the write that was admitted stands, or failed after all."""

    def __call__(self, *, stands: bool | None) -> Awaitable[None]: ...


class Plugin(ABC):
    """One plugin: which operations it handles, what it fills in (`admit`), what it refuses (`validate`)."""

    name: ClassVar[str]

    @abstractmethod
    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        """Whether it has anything to say to `operation` on `kind`."""

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        """The kinds whose objects decide, with body and user alone, what it says of a new object, whatever its name.

        None where more does: it is to be asked each time.
        """
        return None

    def passes(self, attributes: Attributes) -> bool:
        """Whether it lets every such new object stand, as things are now; asked of one that is asked each time."""
        return False

    async def admit(self, attributes: Attributes) -> None:  # noqa: B027 - a plugin does one or the other
        """Change the tree in place. Raises ApiError to refuse."""

    async def validate(self, attributes: Attributes) -> None:  # noqa: B027
        """Raise ApiError to refuse; change nothing."""

    def is_quiet(self, attributes: Attributes) -> bool:
        """Whether it surely lets an update stand that leaves the metadata as they are.

        Of the object it is shown no more than its node, its status and the owners of its fields, or nothing at all.
        """
        return False


Step = Callable[[Attributes], Awaitable[None]]


Steps = tuple[tuple[Step, ...], tuple[Step, ...]]
"""What fills in, and what refuses."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What admission of a new object came from: the kinds that were looked at, and who is to be asked each time."""

    places: tuple[Place, ...]
    each_time: tuple[Plugin, ...]


class Chain:
    """The plugins in their order."""

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self._plugins = tuple(plugins)
        self.figures: StepFigures | None = None
        self._steps: dict[tuple[Operation, Kind, str], Steps] = {}
        self._concerned: dict[tuple[Operation, Kind, str], tuple[Plugin, ...]] = {}

    async def admit(self, attributes: Attributes) -> None:
        """Let every plugin fill in what it has to; once more where a webhook has changed the object."""
        steps = self._of(attributes)[0]
        await self._take("admit", steps, attributes)
        again = attributes.again
        if again is not None and again.wanted:
            again.under_way = True
            await self._take("admit", steps, attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Let every plugin refuse."""
        await self._take("validate", self._of(attributes)[1], attributes)

    async def _take(self, name: str, steps: tuple[Step, ...], attributes: Attributes) -> None:
        figures = self.figures
        if figures is None:
            for step in steps:
                await step(attributes)
            return
        began, rejected = figures.monotonic(), True
        try:
            for step in steps:
                await step(attributes)
            rejected = False
        finally:
            figures.took(name, attributes.operation, figures.monotonic() - began, rejected=rejected)

    def alike(self, attributes: Attributes) -> Looked | None:
        """What has to stay as it is for the next object with this body; None where that can't be told."""
        places: list[Place] = []
        each_time: list[Plugin] = []
        for plugin in self._plugins:
            if not plugin.handles(attributes.operation, attributes.kind, attributes.subresource):
                continue
            seen = plugin.looks_at(attributes)
            if seen is not None:
                places += seen
            elif type(plugin).admit is not Plugin.admit:
                return None  # it may fill in something else
            else:
                each_time.append(plugin)
        return Looked(tuple(places), tuple(each_time))

    def asks_each_time(self, attributes: Attributes) -> bool:
        """Whether somebody is to be asked of every new object such as this one, and may take time to answer."""
        looked = self.alike(attributes)
        return looked is None or not all(plugin.passes(attributes) for plugin in looked.each_time)

    def is_quiet(self, attributes: Attributes) -> bool:
        """Whether every plugin is; see there."""
        place = (attributes.operation, attributes.kind, attributes.subresource)
        plugins = self._concerned.get(place)
        if plugins is None:
            plugins = tuple(plugin for plugin in self._plugins if plugin.handles(*place))
            self._concerned[place] = plugins
        return all(plugin.is_quiet(attributes) for plugin in plugins)

    def _of(self, attributes: Attributes) -> Steps:
        place = (attributes.operation, attributes.kind, attributes.subresource)
        steps = self._steps.get(place)
        if steps is None:
            chosen = [plugin for plugin in self._plugins if plugin.handles(*place)]
            admitting = [plugin for plugin in chosen if type(plugin).admit is not Plugin.admit]
            steps = self._steps[place] = (
                tuple(plugin.admit for plugin in admitting),
                tuple(plugin.validate for plugin in chosen if type(plugin).validate is not Plugin.validate),
            )
        return steps
