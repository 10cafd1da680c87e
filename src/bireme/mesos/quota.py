"""Quotas of roles: what a role is guaranteed, and what it may hold at most, together with all roles below it.

Guarantees are kept in two stages. First, agents go to roles whose guarantees are not met: of each resource what is
lacking, and more only as far as limits and the headroom allow. Then all go by fair share, each role as far as its
limit, and nobody so far that less would be free in the whole cluster than all guarantees lack: the headroom. What
has no quantity (ports) goes with whatever is given. Only roles at the top have quotas, which are counted in what
tasks hold and offers promise. Guarantees hold among roles: what the cluster runs besides frameworks may take what
is free.
Source: Mesos 1.11's HTTP API.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bireme.mesos.amounts import NOTHING, Amounts
from bireme.mesos.drf import FairOrder, Vector


@dataclass(frozen=True, slots=True)
class Quota:
    """Amounts by resource name; a resource that is not named is not guaranteed, and not limited."""

    guarantees: Vector = field(default_factory=dict)
    limits: Vector = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.guarantees or self.limits)


class Share(NamedTuple):
    """What some seats may be offered of an agent."""

    seats: int
    amounts: Amounts


class Standing:
    """How quotas stand at one moment, by what roles hold and what is free in the whole cluster.

    `lacking` is what the guarantees of each role lack, of roles that lack something.
    """

    def __init__(self, quotas: Mapping[str, Quota], held: Mapping[str, Vector], free: Vector) -> None:
        self.lacking = {
            role: lacking for role, quota in quotas.items() if (lacking := _less(quota.guarantees, held[role]))
        }
        self._left = {role: _left(quota.limits, held[role]) for role, quota in quotas.items()}
        required: dict[str, int] = {}
        for lacking in self.lacking.values():
            for name, amount in lacking.items():
                required[name] = required.get(name, 0) + amount
        self._headroom = {name: max(0, free.get(name, 0) - amount) for name, amount in required.items()}

    def lacked(self, role: str, free: Amounts) -> Amounts:
        """What a role that lacks something may have of it in the first stage."""
        lacking, left = self.lacking[role], self._left[role]
        if not any(name in lacking for name in free.scalars):
            return NOTHING
        given: dict[str, int] = {}
        for name, amount in free.scalars.items():
            due = min(amount, lacking.get(name, 0))
            given[name] = due + min(amount - due, left.get(name, amount) - due, self._headroom.get(name, amount))
        return _cut(free, given)

    def shared(self, role: str, free: Amounts) -> Amounts:
        """What a role may have of it by fair share; "" stands for roles without a quota."""
        left = self._left.get(role, {})
        given = {
            name: min(amount, left.get(name, amount), self._headroom.get(name, amount))
            for name, amount in free.scalars.items()
        }
        return _cut(free, given)


class Quotas:
    """The quotas of all roles, with the seats that they are for, and what is free of all agents.

    `active` tells whether any role has a quota, `disturbed` whether agents may go to somebody now that could not when
    they were last looked at.
    """

    def __init__(self, order: FairOrder) -> None:
        self._order = order
        self._quotas: dict[str, Quota] = {}
        self._seats: dict[str, int] = {}
        self._free: dict[str, int] = {}
        self._held: dict[str, Vector] = {}
        self._standing: Standing | None = None
        self.active = self.disturbed = False

    def set(self, role: str, quota: Quota, *, free: Iterable[Amounts]) -> None:
        """A role's quota from now on, none if it is empty. `free` is what all agents have free."""
        self._quotas.pop(role, None)
        self._held.pop(role, None)
        if quota:
            self._quotas[role] = quota
        self.active = bool(self._quotas)
        self._free = {}
        for each in free:
            self._count(each, 1)
        self._disturb()

    def enter(self, number: int, role: str) -> None:
        """A seat in a role."""
        top = role.partition("/")[0]
        self._seats[top] = self._seats.get(top, 0) | 1 << number

    def leave(self, number: int) -> None:
        """The seat is no more."""
        self._seats = {top: left for top, seats in self._seats.items() if (left := seats & ~(1 << number))}
        self._held.clear()
        self._disturb()

    def changed(self, role: str) -> None:
        """A role holds more or less than before."""
        top = role.partition("/")[0]
        if top in self._quotas:
            self._held.pop(top, None)
            self._disturb()

    def freed(self, old: Amounts, new: Amounts) -> None:
        """An agent has something else free."""
        if self.active and old != new:
            self._count(old, -1)
            self._count(new, 1)
            self._disturb()

    @property
    def lack(self) -> bool:
        """Whether any role lacks something of its guarantees."""
        return self.active and bool(self._now().lacking)

    def lacked(self, free: Amounts) -> Iterator[Share]:
        """Who may have what of it in the first stage."""
        standing = self._now()
        for role in standing.lacking:
            yield Share(self._seats.get(role, 0), standing.lacked(role, free))

    def shared(self, free: Amounts) -> Iterator[Share]:
        """Who may have what of it by fair share; nobody is in two of them."""
        standing, others = self._now(), -1
        most = standing.shared("", free)
        for role in self._quotas:
            amounts = standing.shared(role, free)
            if amounts != most:
                seats = self._seats.get(role, 0)
                others &= ~seats
                yield Share(seats, amounts)
        yield Share(others, most)

    def _now(self) -> Standing:
        if self._standing is None:
            for role in self._quotas:
                if role not in self._held:
                    self._held[role] = self._order.held(role)
            self._standing = Standing(self._quotas, self._held, self._free)
        return self._standing

    def _disturb(self) -> None:
        self._standing, self.disturbed = None, self.active

    def _count(self, amounts: Amounts, sign: int) -> None:
        for name, amount in amounts.scalars.items():
            self._free[name] = self._free.get(name, 0) + sign * amount


def _less(wanted: Vector, held: Vector) -> dict[str, int]:
    """What is wanted beyond what is held."""
    return {name: amount - held.get(name, 0) for name, amount in wanted.items() if amount > held.get(name, 0)}


def _left(limits: Vector, held: Vector) -> dict[str, int]:
    return {name: max(0, limit - held.get(name, 0)) for name, limit in limits.items()}


def _cut(free: Amounts, given: Mapping[str, int]) -> Amounts:
    """So much of it; nothing without any quantity."""
    if given == free.scalars:
        return free
    scalars = {name: amount for name, amount in given.items() if amount > 0}
    return Amounts(scalars, free.ranges) if scalars else NOTHING
