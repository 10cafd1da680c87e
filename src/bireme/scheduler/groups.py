"""Pods that run together or not at all: none is bound before enough of its group have nodes.

The members are placed one after the other, as other pods are, and what each was given is held; `prepare` lets all of
them wait until there are enough. When one finds no node meanwhile, or time is up, the group lets go of everything and
its pods are tried again later. Two things keep groups from starving each other: before the first member is placed,
all are placed on trial and taken off again, so that a group begins only when there is room for it; and while one
group is being placed, the others wait.

A group that has had its minimum is like any other pods: further members come and go one by one. Sources: the
descriptions of `scheduling.k8s.io` PodGroups; coscheduling of the scheduler plugins of Kubernetes SIGs.
"""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any
from bireme.api.kinds import core
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.client.parts import METADATA, SPEC
from bireme.scheduler.groups_kinds import INDEX, LABEL, Gang, GroupKey, PodGroupCaches, follow_rank, group_of
from bireme.scheduler.groups_status import GroupStatus
from bireme.scheduler.groups_topology import Domains
from bireme.scheduler.interface import ANYTHING, NOTHING, Helps, Lack, Mask, Move, NotReady, Stop, anybody
from bireme.scheduler.node_sets import NodeSets
from bireme.scheduler.ranks import Ranks

ENDED = ("Succeeded", "Failed")
AT_ONCE_S = 10.0
"""How long a group may keep others waiting while its members come up."""

Trial = Callable[[Sequence[core.Pod], int, Mask | None], bool]
"""Whether so many of these pods could be placed now beside what is there, on these nodes; nothing stays placed."""
MakeRoom = Callable[[Sequence[core.Pod], int, Mask | None], tuple[Move, ...] | None]
"""Who would have to leave so that they could be; None while those are leaving who were to."""


@dataclass(slots=True)
class Round:
    """One attempt of a group to get nodes for enough members. `ready` are those that only wait for others, by uid."""

    group: GroupKey
    began: float
    ready: set[str] = field(default_factory=set)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    failure: str = ""

    @property
    def open(self) -> bool:
        """Neither complete nor given up."""
        return not self.over.is_set()


@dataclass(frozen=True, slots=True)
class Members:
    """A group's pods: those on nodes, and those that wait for one, in the order in which they came; `uids` are those
    of the latter."""

    bound: frozenset[str]
    waiting: tuple[core.Pod, ...]
    uids: frozenset[str]


def sort_members(pods: Iterable[core.Pod]) -> Members:
    """The pods of a group that count: not those that have ended, are going, or are held back by a gate."""
    alive = [pod for pod in pods if pod.status.phase not in ENDED and not pod.metadata.deletion_timestamp]
    waiting = [pod for pod in alive if not pod.spec.node_name and not pod.spec.scheduling_gates]
    waiting.sort(key=lambda pod: (-(pod.spec.priority or 0), pod.metadata.creation_timestamp, pod.metadata.name))
    bound = frozenset(pod.metadata.uid for pod in alive if pod.spec.node_name)
    return Members(bound, tuple(waiting), frozenset(pod.metadata.uid for pod in waiting))


class PodGroups:
    """The rule. See the module, and `interface.Rule`.

    `trial` and `make_room` are set by who can place pods; without them, groups find out by trying. While `state` is
    as it was, a trial that failed would fail again.
    """

    plugin = "GangScheduling"

    def __init__(
        self,
        client: Client,
        *,
        pods: Informer[core.Pod],
        clock: Clock,
        nodes: NodeSets,
        state: Callable[[], Hashable] = lambda: None,
        told: Callable[[Lack, Helps], None] = lambda lack, helps: None,
    ) -> None:
        self._pods, self._clock, self._nodes, self._state, self._told = pods, clock, nodes, state, told
        self._no_room: dict[GroupKey, tuple[Hashable, bool]] = {}
        self._sorted: dict[GroupKey, Members] = {}
        self.caches = PodGroupCaches(client, clock=clock, told=lambda: told(Lack.GROUP, anybody))
        self.trial: Trial | None = None
        self.make_room: MakeRoom | None = None
        self.status = GroupStatus(client, self.caches.builtin, clock)
        self._domains = Domains(nodes)
        self._rounds: dict[GroupKey, Round] = {}
        self._of_pod: dict[str, Round] = {}
        pods.add_index(INDEX, _group_index, reads=METADATA | SPEC)
        pods.on_change(self._pod_changed)

    def rank_in(self, ranks: Ranks) -> None:
        """Groups of the built-in kind have a priority of their own, and say how they are disrupted."""
        self.caches.builtin.on_change(lambda old, new: follow_rank(ranks, old, new))

    def concerns(self, pod: core.Pod) -> bool:
        """Whether the pod is of a group."""
        return pod.spec.scheduling_group is not None or LABEL in pod.metadata.labels

    def look(self, pod: core.Pod) -> Sequence[Mask] | Stop:
        """Whether it is the group's turn, and there is room for enough of it."""
        key = group_of(pod)
        if key is None:
            return ()
        if not self.caches.is_there(key):
            return self._stop(f'pod group "{key.name}" not found')
        gang = self.caches.gang(key)
        members = self._members(key)
        lacking = gang.minimum - self._placed(key, members) if gang is not None else 0
        if gang is None:
            return ()
        if lacking <= 0:
            return self._domains.left(key, gang, self._places(key))
        free = members.uids - self._of_pod.keys()
        if len(free) < lacking:
            have = gang.minimum - lacking + len(free)
            return self._stop(f'pod group "{key.name}" has {have} of {gang.minimum} pods', gives_up=True)
        other = self._in_the_way(key)
        if other is not None:
            return self._stop(f'pod group "{other.name}" is being placed')
        if key in self._rounds:
            return self._domains.left(key, gang, self._places(key))
        wanting = [each for each in members.waiting if each.metadata.uid in free]
        return self._room(key, gang, wanting, lacking) or self._domains.left(key, gang, self._places(key))

    def reserve(self, pod: core.Pod, node: str) -> bool:
        """The member has a node; it counts as soon as other rules have agreed, which is when it is prepared."""
        key = group_of(pod)
        gang = self.caches.gang(key) if key is not None else None
        if key is None or gang is None:
            return True
        round = self._rounds.get(key)
        if round is None:
            if self._placed(key, self._members(key)) >= gang.minimum:
                return True
            round = self._rounds[key] = Round(key, self._clock.monotonic())
            self._told(Lack.GROUP, _is_of(key))  # the others are to come now
        self._of_pod[pod.metadata.uid] = round
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        """Wait for the others. Raises NotReady when the group has given up, TimeoutError when time is up."""
        round = self._of_pod.get(pod.metadata.uid)
        gang = self.caches.gang(round.group) if round is not None else None
        if round is None or gang is None:
            return
        round.ready.add(pod.metadata.uid)
        bound = self._members(round.group).bound
        if round.open and len(bound | round.ready) >= gang.minimum:
            self._end(round)
        left = round.began + gang.timeout_s - self._clock.monotonic()
        if round.open and left > 0:
            await wait_any(round.over.wait(), self._clock.sleep(left))
        if round.open:
            self._end(round, f'pod group "{round.group.name}" was not complete in {gang.timeout_s:g} s')
            raise TimeoutError(round.failure)
        if round.failure:
            raise NotReady(round.failure)

    def release(self, pod: core.Pod) -> None:
        """The member lost its node; a group that was not complete yet gives up with it."""
        round = self._of_pod.pop(pod.metadata.uid, None)
        if round is None:
            return
        round.ready.discard(pod.metadata.uid)
        if round.open:
            self._end(round, f'pod group "{round.group.name}" could not be placed together')
        elif round.failure:
            self._told(Lack.GROUP, _is_of(round.group))

    def refused(self, pod: core.Pod) -> Lack:
        """No node was found for the pod: if others of its group hold theirs in vain, they let go."""
        key = group_of(pod)
        if key is None:
            return NOTHING
        round = self._rounds.get(key)
        if round is not None and round.open:
            self._end(round, f'pod group "{round.group.name}" could not be placed together')
        return Lack.GROUP

    def _stop(self, reason: str, *, gives_up: bool = False) -> Stop:
        return Stop(f"0/{len(self._nodes.everyone())} nodes are available: {reason}.", Lack.GROUP, gives_up=gives_up)

    def _places(self, key: GroupKey) -> Iterable[str]:
        """The nodes of members."""
        bound = self._members(key).bound
        return (pod.spec.node_name for pod in self._pods.by_index(INDEX, str(key)) if pod.metadata.uid in bound)

    def _members(self, key: GroupKey) -> Members:
        members = self._sorted.get(key)
        if members is None:
            members = sort_members(self._pods.by_index(INDEX, str(key)))
            if members.bound or members.uids:
                self._sorted[key] = members
        return members

    def _placed(self, key: GroupKey, members: Members) -> int:
        """The members that are on nodes, or on their way."""
        held = members.uids & self._of_pod.keys()
        return len(members.bound) + sum(not self._of_pod[uid].failure for uid in held)

    def _in_the_way(self, key: GroupKey) -> GroupKey | None:
        """Another group that has places for some of its members only, and has not been at it for too long."""
        late = self._clock.monotonic() - AT_ONCE_S
        for other, round in self._rounds.items():
            gang = self.caches.gang(other)
            if other == key or round.began <= late or gang is None:
                continue
            if self._placed(other, self._members(other)) < gang.minimum:
                return other
        return None

    def _room(self, key: GroupKey, gang: Gang, waiting: Sequence[core.Pod], wanted: int) -> Stop | None:
        """Why there is no room for so many of these, and how it could be made; None when there is."""
        if self.trial is None:
            return None
        state = (self._state(), len(waiting), wanted)
        reason = f'no room for {wanted} pods of pod group "{key.name}" together'
        if gang.topology:
            reason += f" in one {gang.topology}"
        message = f"0/{len(self._nodes.everyone())} nodes are available: {reason}."
        known, gives_up = self._no_room.pop(key, (None, True))
        if known == state and state[0] is not None:
            self._no_room[key] = (state, gives_up)
            return Stop(message, ANYTHING, gives_up=gives_up)
        domains = self._domains.open(key, gang, self._places(key))
        for domain, within in domains:
            if self.trial(waiting, wanted, within):
                self._domains.choose(key, domain)
                return None
        moves: tuple[Move, ...] | None = ()
        for _, within in domains if self.make_room is not None else ():
            assert self.make_room is not None
            if (moves := self.make_room(waiting, wanted, within)) != ():
                break
        gives_up = moves is not None
        self._no_room[key] = ((self._state(), len(waiting), wanted), gives_up)
        self.status.say(key, message)
        return Stop(message, ANYTHING, moves or (), gives_up=gives_up)

    def _end(self, round: Round, failure: str = "") -> None:
        round.failure = failure
        round.over.set()
        if not failure:
            self.status.say(round.group)
        if self._rounds.get(round.group) is round:
            del self._rounds[round.group]
        self._told(Lack.GROUP, anybody)

    def _pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self.release(old)
            if (left := group_of(old)) is not None:
                self._no_room.pop(left, None)
        if new is not None:
            self.status.watch(new)
        for pod in (old, new):
            if pod is not None and (changed := group_of(pod)) is not None:
                self._sorted.pop(changed, None)
        if new is None:
            return
        if new.spec.node_name:
            self._of_pod.pop(new.metadata.uid, None)
        elif old is None and (key := group_of(new)) is not None:
            self._told(Lack.GROUP, _is_of(key))


def _is_of(key: GroupKey) -> Helps:
    return lambda pod: group_of(pod) == key


def _group_index(pod: core.Pod) -> Iterable[str]:
    key = group_of(pod)
    return (str(key),) if key is not None else ()
