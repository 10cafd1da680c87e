"""What else may have a say about a pod's node: rules about things that a template knows nothing of.

Volumes, devices and groups of pods are such things: they depend on the single pod and on objects of their own. Each
is a `Rule`: it looks, reserves, prepares, or lets go, at the points of the scheduling cycle that the Kubernetes
documentation names PreFilter and Filter, Reserve, PreBind and Unreserve.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Flag, auto
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bireme.api.errors import ApiError
from bireme.api.kinds import core
from bireme.scheduler.placed import Placed
from bireme.scheduler.profile import Score
from bireme.scheduler.ranks import Ranks


class Lack(Flag):
    """What a pod that found no node was short of, and so what kind of change may help it."""

    AMOUNTS = auto()
    PORTS = auto()
    NODE = auto()
    PODS = auto()
    VOLUMES = auto()
    DEVICES = auto()
    GROUP = auto()


Helps = Callable[[core.Pod], bool]
"""Whether a change may help a pod."""


def anybody(pod: core.Pod) -> bool:
    """A change that may help any pod."""
    return True


NOTHING = Lack(0)
ROOM = Lack.AMOUNTS | Lack.PORTS | Lack.PODS
"""What a pod that leaves its node gives back."""
ANYTHING = ~Lack(0)


@dataclass(frozen=True, slots=True)
class Mask:
    """The nodes that a rule leaves for one pod.

    `allowed` is true for rows (of the ledger's columns) that will do; `reason(row)` says why another won't, in the
    words that a `FailedScheduling` event counts. `curable` tells whether evicting pods from such a node could help.
    `score` is added to what the profile thinks of the rows: weighted already, or where it is the `preference` of a
    built-in plugin made comparable first, and weighted by the profile. `last`: the rule was asked only about rows
    that all others leave, which are told of first.
    """

    allowed: NDArray[np.bool_]
    reason: Callable[[int], str]
    lack: Lack
    curable: bool = False
    score: NDArray[np.float64] | None = None
    last: bool = False
    preference: Score | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A node for a pod, and who has to leave it first."""

    pod: core.Pod
    node: str
    victims: tuple[Placed, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """No node is worth a look before something changes: the whole message of the event, and what would help.

    `moves`: for these pods together room can be made. `gives_up`: room that was being made for the pod is of no use.
    """

    message: str
    lack: Lack
    moves: tuple[Move, ...] = ()
    gives_up: bool = False


class NotReady(ApiError):
    """What had to be made true before a pod is bound could not be: let go, and try the pod again later."""


class Cold(Exception):
    """There is much to be read before this can be answered: run through `steps`, with breaks, and ask again."""

    def __init__(self, steps: Iterable[None]) -> None:
        super().__init__("not read yet")
        self.steps = steps


class Unheard(Exception):
    """Others must be heard about the pod first: ask them, and look again."""


class Rule(Protocol):
    """See the module. All but `prepare` are plain and must be quick; a rule keeps its own caches."""

    def concerns(self, pod: core.Pod) -> bool:
        """Whether the rule has anything to say about the pod."""

    def look(self, pod: core.Pod) -> Sequence[Mask] | Stop:
        """Which nodes are left for the pod. May raise Cold or Unheard."""

    def reserve(self, pod: core.Pod, node: str) -> bool:
        """The pod goes to the node unless something fails: hold what it needs there. False when it can't be had."""

    async def prepare(self, pod: core.Pod, node: str) -> None:
        """Before the binding is written: make true of other objects what must be. Raises NotReady or TimeoutError."""

    def release(self, pod: core.Pod) -> None:
        """The pod does not go there after all: let go what was reserved. Twice is once."""


@runtime_checkable
class Yielding(Protocol):
    """A rule whose `curable` masks may be overcome by evicting pods: it can tell what would be without them.

    Where a rule can't, a node that its mask leaves out stays left out.
    """

    def would_allow(self, pod: core.Pod, node: str, gone: Collection[str]) -> bool:
        """Whether the node would do for the pod, as far as this rule goes, once the pods with these uids left it."""


@runtime_checkable
class Hearing(Protocol):
    """A rule that wants to hear of pods for which no node was found, whatever the reason."""

    def refused(self, pod: core.Pod) -> Lack:
        """No node was found for the pod, this time; gives what more may help it, as far as this rule goes."""


@runtime_checkable
class Binding(Protocol):
    """A rule that may bind pods itself."""

    async def bind(self, pod: core.Pod, node: str) -> bool:
        """Give the pod its node, if that is the rule's to do; whether it was. Raises ApiError."""


@runtime_checkable
class Choosing(Protocol):
    """A rule that has a say about who is evicted, on which node."""

    def chooses(self, pod: core.Pod) -> bool:
        """Whether it has, for this pod."""


@runtime_checkable
class Ranking(Protocol):
    """A rule that says of groups of pods how important they are."""

    def rank_in(self, ranks: Ranks) -> None:
        """Keep what is said of groups up to date there."""


def plugin_of(rule: Rule) -> str:
    """The plugin of the original whose part the rule does: its class bears the name, unless it says another."""
    name: str = getattr(rule, "plugin", type(rule).__name__)
    return name


def looked(rule: Rule, pod: core.Pod) -> Sequence[Mask] | Stop:
    """What the rule's `look` says, however long it takes: for those whom nobody waits for. Who must be heard first
    is not."""
    while True:
        try:
            return rule.look(pod)
        except Cold as cold:
            for _ in cold.steps:
                continue
        except Unheard:
            return ()
