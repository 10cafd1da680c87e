"""Which devices for which requests: a search that takes the first that fits, and goes back where that leads nowhere.

A pure function of what is wanted, what there is on one node and what of it is taken. Requests are served in their
order, and devices tried in the order in which they are published; of `firstAvailable` the first alternative that
works out with all the rest. The search is bounded in steps, since the question is as hard as they come: on a node
where it runs out, nothing was found.

Source: the Kubernetes documentation on dynamic resource allocation, and the fields' descriptions in
`resource.k8s.io/v1`.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bireme.api import quantity
from bireme.api.kinds import resource
from bireme.scheduler.claims_devices import Device, DeviceId, Pool, PoolId
from bireme.scheduler.claims_fit import agree, consumption, tolerated

STEPS = 20_000
MOST_ALTERNATIVES = 8


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to serve a request: so many devices (None: all there are) that `selects` takes."""

    name: str
    parent: str
    count: int | None
    selects: Callable[[Device], bool]
    admin: bool = False
    tolerations: tuple[resource.DeviceToleration, ...] = ()
    capacity: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the devices of some requests (none named: all) have in common in one attribute, or must not have."""

    attribute: str
    requests: frozenset[str]
    distinct: bool = False

    def covers(self, alternative: Alternative) -> bool:
        """Whether the request's devices are meant."""
        return not self.requests or alternative.name in self.requests or alternative.parent in self.requests


@dataclass(frozen=True, slots=True)
class Wanted:
    """A claim to be allocated: for each request its alternatives, the best first."""

    requests: tuple[tuple[Alternative, ...], ...]
    constraints: tuple[Constraint, ...] = ()


@dataclass(frozen=True, slots=True)
class Pick:
    """A device for a request. `consumed` is the part of a shared device that it takes, in nanos."""

    alternative: Alternative
    device: Device
    consumed: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Taken:
    """What is allocated already: whole devices, parts of shared ones, and amounts of pools' shared counters."""

    whole: set[DeviceId] = field(default_factory=set)
    parts: defaultdict[DeviceId, defaultdict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    drawn: defaultdict[tuple[PoolId, str], defaultdict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    holders: defaultdict[DeviceId, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, pick: Pick, sign: int = 1) -> None:
        """Count what a pick takes, or with sign -1 what it gave back. Access of an administrator takes nothing."""
        device = pick.device
        if pick.alternative.admin:
            return
        before = self.holders[device.id]
        self.holders[device.id] += sign
        if device.shared:
            for name, amount in pick.consumed.items():
                self.parts[device.id][name] += sign * amount
        elif self.holders[device.id] > 0:
            self.whole.add(device.id)
        else:
            self.whole.discard(device.id)
        if (before > 0) != (self.holders[device.id] > 0):  # a shared device draws on its pool once
            for draw in device.draws:
                place = PoolId(device.id.driver, device.id.pool), draw.counter_set
                drawn = self.drawn[place]
                for name, amount in draw.counters.items():
                    drawn[name] += sign * amount
                if not any(drawn.values()):
                    del self.drawn[place]
        if not self.holders[device.id]:
            del self.holders[device.id]
            self.parts.pop(device.id, None)


def allocate(
    wanted: Sequence[Wanted],
    devices: Sequence[Device],
    taken: Taken,
    pools: Mapping[PoolId, Pool],
    *,
    steps: int = STEPS,
) -> list[list[Pick]] | None:
    """The picks of each claim, or None when there are none; `taken` is as before when this returns.

    Raises CelError where an expression can't be evaluated for a device.
    """
    return _Search(wanted, devices, taken, pools, steps).run()


def preference(wanted: Sequence[Wanted], picks: Sequence[Sequence[Pick]]) -> int:
    """How much the picks are to a claim's liking: of each `firstAvailable` the earlier alternative counts more."""
    points = 0
    for claim, several in zip(wanted, picks, strict=True):
        served = {pick.alternative.name for pick in several}
        points += sum(
            MOST_ALTERNATIVES - place
            for alternatives in claim.requests
            for place, alternative in enumerate(alternatives)
            if alternative.name != alternative.parent and alternative.name in served
        )
    return points


class OutOfSteps(Exception):
    """The search was given up."""


def suits(alternative: Alternative, device: Device) -> bool:
    """Whether the request may have the device, taken or not. Raises CelError."""
    return tolerated(device, alternative.tolerations) and alternative.selects(device)


class _Search:
    def __init__(
        self,
        wanted: Sequence[Wanted],
        devices: Sequence[Device],
        taken: Taken,
        pools: Mapping[PoolId, Pool],
        steps: int,
    ) -> None:
        self._wanted, self._devices, self._taken, self._pools = wanted, devices, taken, pools
        self._steps = steps
        self._picks: list[list[Pick]] = [[] for _ in wanted]
        self._places = [(number, request) for number, claim in enumerate(wanted) for request in claim.requests]

    def run(self) -> list[list[Pick]] | None:
        try:
            found = self._serve(0)
            return [list(picks) for picks in self._picks] if found else None
        except OutOfSteps:
            return None
        finally:
            for picks in self._picks:
                for pick in picks:
                    self._taken.add(pick, -1)

    def _serve(self, place: int) -> bool:
        """Serve the requests from `place` on."""
        if place == len(self._places):
            return True
        claim, alternatives = self._places[place]
        return any(self._fill(claim, alternative, place) for alternative in alternatives)

    def _fill(self, claim: int, alternative: Alternative, place: int) -> bool:
        if alternative.count is None:
            return self._take_all(claim, alternative, place)
        return self._take(claim, alternative, 0, alternative.count, place)

    def _take_all(self, claim: int, alternative: Alternative, place: int) -> bool:
        before = len(self._picks[claim])
        chosen = [device for device in self._devices if suits(alternative, device)]
        good = bool(chosen)
        for device in chosen:
            good = good and self._try(claim, alternative, device)
        if good and self._serve(place + 1):
            return True
        while len(self._picks[claim]) > before:
            self._give_back(claim)
        return False

    def _take(self, claim: int, alternative: Alternative, start: int, left: int, place: int) -> bool:
        """`left` more devices, from `start` on: the same devices in another order are the same."""
        if not left:
            return self._serve(place + 1)
        for index in range(start, len(self._devices) - left + 1):
            if self._try(claim, alternative, self._devices[index]):
                if self._take(claim, alternative, index + 1, left - 1, place):
                    return True
                self._give_back(claim)
        return False

    def _try(self, claim: int, alternative: Alternative, device: Device) -> bool:
        self._steps -= 1
        if self._steps < 0:
            raise OutOfSteps
        consumed = self._fits(alternative, device)
        if consumed is None or not suits(alternative, device) or not self._agrees(claim, alternative, device):
            return False
        pick = Pick(alternative, device, consumed)
        self._taken.add(pick)
        self._picks[claim].append(pick)
        return True

    def _give_back(self, claim: int) -> None:
        self._taken.add(self._picks[claim].pop(), -1)

    def _fits(self, alternative: Alternative, device: Device) -> Mapping[str, int] | None:
        """What of the device the request takes; None where that is not to be had."""
        if alternative.admin:
            return {}
        consumed = consumption(device.said, alternative.capacity, shared=device.shared)
        if consumed is None:
            return None
        if device.shared:
            parts: Mapping[str, int] = self._taken.parts.get(device.id, {})
            for name, amount in consumed.items():
                if parts.get(name, 0) + amount > quantity.nanos(device.said.capacity[name].value):
                    return None
        elif device.id in self._taken.whole:
            return None
        if device.draws and not self._taken.holders.get(device.id) and not self._can_draw(device):
            return None
        return consumed

    def _can_draw(self, device: Device) -> bool:
        pool = PoolId(device.id.driver, device.id.pool)
        for draw in device.draws:
            have = self._pools[pool].counters.get(draw.counter_set, {})
            drawn: Mapping[str, int] = self._taken.drawn.get((pool, draw.counter_set), {})
            if any(drawn.get(name, 0) + amount > have.get(name, 0) for name, amount in draw.counters.items()):
                return False
        return True

    def _agrees(self, claim: int, alternative: Alternative, device: Device) -> bool:
        """Whether the claim's constraints hold with this device too."""
        for constraint in self._wanted[claim].constraints:
            if not constraint.covers(alternative):
                continue
            others = [pick.device for pick in self._picks[claim] if constraint.covers(pick.alternative)]
            if not agree([*others, device], constraint.attribute, distinct=constraint.distinct):
                return False
        return True
