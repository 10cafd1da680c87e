"""Who may have an agent at all, whoever's turn it is: what frameworks are able to use and want to hold.

Frameworks in roles are sets of seats (`seats.py`). Which of them find an amount too small is remembered by the
amounts, and which are not content with an agent by what their constraints read of it: a thousand agents of one
rack, and a thousand frameworks that look at the rack, cost a thousand tests and not a million. Agents of which all
constraints read the same are of one kind, and those of a kind suit the same seats.
Source: Mesos 1.11's HTTP API; MESOS-7975, MESOS-10171.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bireme.mesos.amounts import NOTHING, Amounts, thousandths
from bireme.mesos.messages import Message

Minimum = tuple[Mapping[str, int], ...]
Subject = tuple[str, ...]
_Key = tuple[tuple[tuple[str, int], ...], ...]

MINIMUM: Minimum = ({"cpus": thousandths(0.01)}, {"mem": thousandths(32)})
_KNOWN = 4096  # amounts of which is remembered for whom they are too small
_GPUS, _REGIONS = "GPU_RESOURCES", "REGION_AWARE"


@dataclass(slots=True, eq=False)
class _Verdicts:
    """Of the seats whose constraints read the same: those asked about some values, those not content with them."""

    asked: int = 0
    barred: int = 0


@dataclass(slots=True, eq=False)
class Kind:
    """Agents of which constraints read the same, while constraints look at the same things: while `layout` holds.

    `content` are seats of which it is known that they are content with these agents.
    """

    layout: object
    remote: bool
    verdicts: Mapping[Subject, _Verdicts]
    content: int = 0


_NO_KIND = Kind(None, remote=False, verdicts={})


@dataclass(slots=True, eq=False)
class AgentView:
    """An agent that may be offered: what of it is free, what constraints look at, and its kind as last found."""

    agent_id: str
    free: Amounts = NOTHING
    hostname: str = ""
    attributes: Sequence[Message] = ()
    remote: bool = False
    kind: Kind = _NO_KIND


class Holds(Protocol):
    """A test of agents. It looks at nothing but what `reads` returns; `subject` says what that is."""

    @property
    def subject(self) -> Subject: ...

    def reads(self, agent: AgentView) -> tuple[object, ...]: ...

    def __call__(self, agent: AgentView) -> bool: ...


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a framework in a role can use, and what it wants to hold of an agent and of an offer's size."""

    capabilities: frozenset[str] = frozenset()
    minimum: Minimum = MINIMUM
    holds: Holds | None = None


class Eligibility:
    """The wishes of all seats, and what follows from them for agents."""

    def __init__(self) -> None:
        self._wishes: dict[int, Wishes] = {}
        self._able = {_GPUS: 0, _REGIONS: 0}
        self._minimums: dict[_Key, int] = {}
        self._too_small: dict[int, tuple[Amounts, int]] = {}
        self._readers: dict[Subject, dict[int, Holds]] = {}
        self._verdicts: dict[Subject, dict[tuple[object, ...], _Verdicts]] = {}
        self._layout = object()
        self._kinds: dict[tuple[object, ...], Kind] = {}

    def set(self, number: int, wishes: Wishes | None) -> None:
        """The seat wishes this now; None for a seat that is no more."""
        old = self._wishes.pop(number, None)
        if wishes is not None:
            self._wishes[number] = wishes
        bit = 1 << number
        for name in self._able:
            able = wishes is not None and name in wishes.capabilities
            self._able[name] = self._able[name] | bit if able else self._able[name] & ~bit
        self._set_minimum(bit, old.minimum if old else None, wishes.minimum if wishes else None)
        self._set_holds(number, old.holds if old else None, wishes.holds if wishes else None)

    @property
    def differs(self) -> bool:
        """Whether it matters which of two agents with as much free is offered."""
        return len(self._kinds) > 1 or bool(self._readers)

    def kinds(self, agents: Iterable[AgentView]) -> list[Kind]:
        """The kind of each."""
        layout = self._layout
        return [agent.kind if agent.kind.layout is layout else self.kind(agent) for agent in agents]

    def kind(self, agent: AgentView) -> Kind:
        """What agents are alike in, if the same seats suit them whatever they have free."""
        if agent.kind.layout is not self._layout:
            values = tuple(next(iter(readers.values())).reads(agent) for readers in self._readers.values())
            found = self._kinds.get((agent.remote, *values))
            agent.kind = self._new_kind(agent, values) if found is None else found
        return agent.kind

    def barred(self, kind: Kind, free: Amounts) -> int:
        """The seats known not to suit agents of a kind that have so much free; others may still prove not content."""
        known = self._too_small.get(id(free))
        barred = known[1] if known is not None and known[0] is free else self._find_too_small(free)
        if "gpus" in free.scalars:
            barred |= ~self._able[_GPUS]
        if kind.remote:
            barred |= ~self._able[_REGIONS]
        for verdicts in kind.verdicts.values():
            barred |= verdicts.barred
        return barred

    def is_content(self, number: int, agent: AgentView) -> bool:
        """Whether the constraints of a seat hold."""
        holds, kind, bit = self._wishes[number].holds, self.kind(agent), 1 << number
        if holds is not None:
            verdicts = kind.verdicts[holds.subject]
            if not verdicts.asked & bit:
                verdicts.asked |= bit
                if not holds(agent):
                    verdicts.barred |= bit
            if verdicts.barred & bit:
                return False
        kind.content |= bit
        return True

    def forget_verdicts(self) -> None:
        """Agents left: what was found out about their names and racks may go."""
        self._verdicts.clear()
        self._forget_kinds()

    def _forget_kinds(self) -> None:
        self._kinds.clear()
        self._layout = object()

    def _new_kind(self, agent: AgentView, values: tuple[tuple[object, ...], ...]) -> Kind:
        verdicts = {
            subject: self._verdicts.setdefault(subject, {}).setdefault(read, _Verdicts())
            for subject, read in zip(self._readers, values, strict=True)
        }
        found = self._kinds[agent.remote, *values] = Kind(self._layout, agent.remote, verdicts)
        return found

    def _find_too_small(self, free: Amounts) -> int:
        seats = 0
        for minimum, wanting in self._minimums.items():
            if not is_large_enough(free, tuple(map(dict, minimum))):
                seats |= wanting
        if len(self._too_small) >= _KNOWN:
            self._too_small.clear()
        self._too_small[id(free)] = (free, seats)
        return seats

    def _set_minimum(self, bit: int, old: Minimum | None, new: Minimum | None) -> None:
        if old == new:
            return
        self._too_small.clear()
        if old is not None:
            key = _key(old)
            self._minimums[key] &= ~bit
            if not self._minimums[key]:
                del self._minimums[key]
        if new is not None:
            self._minimums[_key(new)] = self._minimums.get(_key(new), 0) | bit

    def _set_holds(self, number: int, old: Holds | None, new: Holds | None) -> None:
        if old is new:
            return
        for kind in self._kinds.values():
            kind.content &= ~(1 << number)
        if old is not None:
            readers = self._readers[old.subject]
            del readers[number]
            for verdicts in self._verdicts.get(old.subject, {}).values():
                verdicts.asked &= ~(1 << number)
                verdicts.barred &= ~(1 << number)
            if not readers:
                del self._readers[old.subject]
                self._verdicts.pop(old.subject, None)
                self._forget_kinds()
        if new is not None:
            if new.subject not in self._readers:
                self._forget_kinds()
            self._readers.setdefault(new.subject, {})[number] = new


def _key(minimum: Minimum) -> _Key:
    return tuple(tuple(sorted(quantities.items())) for quantities in minimum)


def is_large_enough(amounts: Amounts, minimum: Minimum) -> bool:
    """Whether one of the sets of smallest quantities is met; no sets at all ask for nothing."""
    return not minimum or any(
        all(amounts.scalar(name) >= least for name, least in quantities.items()) for quantities in minimum
    )


def minimum_of(framework_info: Message) -> dict[str, Minimum]:
    """The smallest offers by role that a framework asked for; roles without a wish are left out."""
    found: dict[str, Minimum] = {}
    for role, wish in framework_info.get("offer_filters", {}).items():
        if "min_allocatable_resources" in wish:
            sets = wish["min_allocatable_resources"].get("quantities", [])
            found[role] = tuple(
                {name: thousandths(scalar["value"]) for name, scalar in each.get("quantities", {}).items()}
                for each in sets
            )
    return found
