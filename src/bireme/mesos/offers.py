"""Offers that are out: what each holds, whose it is, when it was made.

Every offer is held in the ledger from the moment it is made until it is answered, times out or is taken back,
so nothing else is promised the same resources; of ports it holds both protocols.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple, Protocol

from bireme.ledger.columns import Load
from bireme.ledger.ports import NO_PORTS, PortSet
from bireme.mesos.amounts import NOTHING, Amounts, to_node


class Ledger(Protocol):
    """What the master needs of the account of free resources (`ledger/ledger.py`)."""

    def try_offers(self, offers: Mapping[str, str], load: Load, *, ports: PortSet = NO_PORTS) -> Sequence[str]: ...

    def release_offer(self, offer: str) -> None: ...

    def turn_offer_into_pods(
        self,
        offer: str,
        pods: Mapping[str, Mapping[str, int]],
        *,
        ports: Mapping[str, PortSet] | None = None,
    ) -> None: ...

    def free_of(self, nodes: Sequence[str]) -> tuple[tuple[str, ...], Sequence[Sequence[int]]]: ...

    def changed_since(self, position: int) -> tuple[int, Sequence[str] | None]: ...

    def allocatable(self, node: str) -> Mapping[str, int]: ...

    def ports(self, node: str) -> PortSet: ...


class Account(Protocol):
    """Where it is counted what frameworks hold (`allocator.py`)."""

    def charge(
        self, framework_id: str, role: str, amounts: Mapping[str, int], *, times: int = 1, turns: int = 0
    ) -> None: ...


class Offer(NamedTuple):
    """One agent's resources, promised to one framework in one role."""

    offer_id: str
    framework_id: str
    agent_id: str
    node: str
    role: str
    amounts: Amounts
    made_s: float


class Offers:
    """The offers that are out, each backed by a hold in the ledger, and counted as held by its framework."""

    def __init__(self, ledger: Ledger, account: Account) -> None:
        self._ledger, self._account = ledger, account
        self._offers: dict[str, Offer] = {}
        self._by_agent: dict[str, set[str]] = {}
        self._by_framework: dict[str, set[str]] = {}
        self._booked: tuple[Amounts, Load, PortSet] = (NOTHING, Load({"pods": 1}), NO_PORTS)
        self._held: set[str] = set()  # out, or taken and not given back yet

    def __len__(self) -> int:
        return len(self._offers)

    def make(self, offers: Iterable[Offer]) -> list[Offer]:
        """Put out those offers of which the ledger still has what they promise. No two are of one agent."""
        alike: dict[int, list[Offer]] = {}
        for offer in offers:
            alike.setdefault(id(offer.amounts), []).append(offer)
        return [offer for group in alike.values() for offer in self._make_alike(group)]

    def _make_alike(self, offers: Sequence[Offer]) -> list[Offer]:
        """The same where all promise the same amounts."""
        amounts = offers[0].amounts
        load, ports = self._as_booked(amounts)
        booked = set(self._ledger.try_offers({offer.node: offer.offer_id for offer in offers}, load, ports=ports))
        made = [offer for offer in offers if offer.offer_id in booked]
        for offer in made:
            self._held.add(offer.offer_id)
            self._offers[offer.offer_id] = offer
            self._by_agent.setdefault(offer.agent_id, set()).add(offer.offer_id)
            self._by_framework.setdefault(offer.framework_id, set()).add(offer.offer_id)
        for (framework_id, role), turns in Counter((offer.framework_id, offer.role) for offer in made).items():
            self._account.charge(framework_id, role, amounts.scalars, times=turns, turns=turns)
        return made

    def get(self, offer_id: str) -> Offer | None:
        return self._offers.get(offer_id)

    def take(self, offer_id: str) -> Offer:
        """The offer is answered: it is out no more, but the ledger still holds it. KeyError if it is not out."""
        offer = self._offers.pop(offer_id)
        self._by_agent[offer.agent_id].discard(offer_id)
        self._by_framework[offer.framework_id].discard(offer_id)
        self._account.charge(offer.framework_id, offer.role, offer.amounts.scalars, times=-1)
        return offer

    def release(self, offers: Iterable[Offer]) -> None:
        """Give back what taken offers held."""
        for offer in offers:
            self._held.discard(offer.offer_id)
            self._ledger.release_offer(offer.offer_id)

    def release_all(self) -> None:
        """Give back whatever any offer still holds."""
        for offer_id in self._held:
            self._ledger.release_offer(offer_id)
        self._held.clear()

    def turn_into_pods(
        self,
        offers: Iterable[Offer],
        pods: Mapping[str, Mapping[str, int]],
        *,
        ports: Mapping[str, PortSet],
    ) -> None:
        """Give taken offers back and, in the same step, promise the pods that were launched on them."""
        first, *others = offers
        self.release(others)
        self._held.discard(first.offer_id)
        try:
            self._ledger.turn_offer_into_pods(first.offer_id, pods, ports=ports)
        except KeyError:  # the node left meanwhile, and its offers with it
            self.release([first])

    def of_agent(self, agent_id: str) -> list[Offer]:
        return [self._offers[offer_id] for offer_id in sorted(self._by_agent.get(agent_id, ()))]

    def of_framework(self, framework_id: str) -> list[Offer]:
        return [self._offers[offer_id] for offer_id in sorted(self._by_framework.get(framework_id, ()))]

    def out(self) -> list[Offer]:
        """All of them, the oldest first."""
        return list(self._offers.values())

    def older_than(self, moment_s: float) -> list[Offer]:
        """Offers made before `moment_s`; those were made first."""
        return list(takewhile(lambda offer: offer.made_s < moment_s, self._offers.values()))

    def _as_booked(self, amounts: Amounts) -> tuple[Load, PortSet]:
        """What the ledger holds for an offer of these amounts."""
        if self._booked[0] is not amounts:
            ports = PortSet.spanning(amounts.ranges.get("ports", ()))
            self._booked = (amounts, Load({**to_node(amounts), "pods": 1}), ports)
        return self._booked[1], self._booked[2]
