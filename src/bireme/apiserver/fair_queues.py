"""One priority level: its seats, who waits for them, and in which turn they come.

Requests of one flow go to one of the few queues that its name deals it (shuffle sharding: two flows hardly ever have
the same hand), into the shortest. The next to be served is the head of the queue that has had least: each request
gets a start tag, the greater of the level's time and the tag at which the queue's last one ends, and the least tag
goes first (start-time fair queueing: Goyal, Vin and Cheng, SIGCOMM 1996). Beyond its own seats a level may take what
others lend and do not use. Nothing here waits or reads a clock: a waiting request is given a callable to be called.
Source: the Kubernetes documentation on API priority and fairness.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

Tree = Mapping[str, Any]
KEPT_QUEUES = 4096


@dataclass(frozen=True, slots=True)
class LevelSpec:
    """What a priority level is configured to: without queues who finds no seat is refused."""

    name: str
    uid: str = ""
    exempt: bool = False
    shares: int = 0
    lendable_percent: int = 0
    borrowing_percent: float = inf
    queues: int = 0
    hand: int = 0
    length: int = 0


def level_spec(tree: Tree) -> LevelSpec:
    """A PriorityLevelConfiguration as it was written."""
    spec, metadata = tree["spec"], tree["metadata"]
    exempt = spec.get("type") == "Exempt"
    said = spec.get("exempt" if exempt else "limited") or {}
    queuing = (said.get("limitResponse") or {}).get("queuing") or {}
    borrowing = said.get("borrowingLimitPercent")
    shares = said.get("nominalConcurrencyShares")
    return LevelSpec(
        metadata["name"],
        metadata.get("uid", ""),
        exempt,
        (0 if exempt else 30) if shares is None else shares,
        said.get("lendablePercent") or 0,
        inf if borrowing is None else borrowing,
        queuing.get("queues", 0),
        queuing.get("handSize", 0),
        queuing.get("queueLengthLimit", 0),
    )


class Waiting:
    """A request in a queue; `call` is called when its turn comes."""

    __slots__ = ("call", "queue", "seats", "start")

    def __init__(self, seats: int, start: float, queue: "Queue", call: Callable[[], None]) -> None:
        self.seats = seats
        self.start = start
        self.queue = queue
        self.call = call


class Queue:
    """Requests of some flows in the order they came, and the tag at which the last of them ends."""

    __slots__ = ("finish", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Waiting] = deque()
        self.finish = 0.0


class Level:
    """Seats of a priority level and its queues; `others` are all levels of the server, itself too."""

    def __init__(self, spec: LevelSpec, others: Iterable["Level"] = ()) -> None:
        self.spec = spec
        self.others = others
        self.exempt = spec.exempt
        self.nominal = 0
        self.in_use = 0
        self.waiting = 0
        self._now = 0.0
        self._queues: dict[int, Queue] = {}

    @property
    def lendable(self) -> int:
        """Seats that others may have while they are not used here."""
        return round(self.nominal * self.spec.lendable_percent / 100)

    @property
    def limit(self) -> int:
        """Seats that it may use now."""
        return self.in_use if self.exempt else self.nominal + self._borrowable()

    def configure(self, spec: LevelSpec) -> None:
        """Go on under another configuration; who waits keeps its place in line."""
        self.spec = spec
        self.exempt = spec.exempt

    def take(self, seats: int) -> bool:
        """Take seats at once, if nobody waits and there are enough."""
        if self.exempt or (not self.waiting and self.in_use + seats <= self.nominal):
            self.in_use += seats
            return True
        if self.waiting or not self._fits(seats):
            return False
        self.in_use += seats
        return True

    def join(self, flow: str, seats: int, call: Callable[[], None]) -> Waiting | None:
        """Wait in a queue of the flow's hand; None where that is full, or there are none."""
        hand = deal(flow, self.spec.queues, min(self.spec.hand, self.spec.queues))
        if len(self._queues) > KEPT_QUEUES:
            self._queues = {number: queue for number, queue in self._queues.items() if queue.waiting}
        dealt = (self._queues.setdefault(number, Queue()) for number in hand)
        queue = min(dealt, key=lambda one: len(one.waiting), default=None)
        if queue is None or len(queue.waiting) >= self.spec.length:
            return None
        start = max(self._now, queue.finish)
        queue.finish = start + seats
        waiting = Waiting(seats, start, queue, call)
        queue.waiting.append(waiting)
        self.waiting += 1
        return waiting

    def leave(self, waiting: Waiting) -> bool:
        """Wait no more; whether it still did."""
        try:
            waiting.queue.waiting.remove(waiting)
        except ValueError:
            return False
        self.waiting -= 1
        return True

    def give_back(self, seats: int) -> None:
        """Free seats, and let who waits have them: here first, then where they may be lent."""
        self.in_use -= seats
        if self.waiting:
            self.dispatch()
        for level in self.others:
            if level.waiting and level is not self:
                level.dispatch()

    def dispatch(self) -> None:
        """Serve who waits while there are seats."""
        while self.waiting:
            heads = (queue.waiting[0] for queue in self._queues.values() if queue.waiting)
            first = min(heads, key=lambda one: one.start)
            if not self.exempt and not self._fits(first.seats):
                return
            first.queue.waiting.popleft()
            self.waiting -= 1
            self._now = first.start
            self.in_use += first.seats
            first.call()

    def _fits(self, seats: int) -> bool:
        """Whether that many seats are free, or a request that is too wide may have all of them."""
        wanted = min(seats, max(self.nominal, 1))
        if self.in_use + wanted <= self.nominal:
            return True
        return self.in_use + wanted <= self.nominal + self._borrowable()

    def _borrowable(self) -> int:
        """Seats that this level may use beyond its own: what others lend and nobody has taken."""
        spare = 0
        for level in self.others:
            if level.exempt:
                continue
            spare -= max(0, level.in_use - level.nominal) if level is not self else 0
            if level is not self:
                spare += max(0, min(level.lendable, level.nominal - level.in_use))
        return max(0, min(spare, int(min(self.nominal * self.spec.borrowing_percent / 100, 1 << 30))))


def deal(flow: str, cards: int, hand: int) -> list[int]:
    """The hand of queues that a flow is dealt: `hand` of `cards` numbers, each hand as likely as any other."""
    entropy = int.from_bytes(hashlib.blake2b(flow.encode(), digest_size=8).digest())
    dealt: list[int] = []
    for taken in range(hand):
        entropy, card = divmod(entropy, cards - taken)
        for known in sorted(dealt):
            card += card >= known
        dealt.append(card)
    return dealt


def share_out(levels: Iterable[Level], total: int) -> None:
    """Give each limited level its part of all seats, by its shares."""
    limited = [level for level in levels if not level.exempt]
    shares = sum(level.spec.shares for level in limited)
    for level in limited:
        level.nominal = ceil(total * level.spec.shares / shares) if shares else 0
