"""Offers that are out: what each holds, whose it is, when it was made.

Every offer is held in the ledger from the moment it is made until it is answered, times out or is taken back,
so nothing else is promised the same resources; of ports it holds both protocols.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from bireme.ledger.ports import NO_PORTS, PortSet
from bireme.mesos.amounts import NOTHING, Amounts, to_node


class Ledger(Protocol):
    """What the master needs of the account of free resources (`ledger/ledger.py`)."""

    def try_offer(self, offer: str, node: str, amounts: Mapping[str, int], *, ports: PortSet = NO_PORTS) -> bool: ...

    def release_offer(self, offer: str) -> None: ...

    def turn_offer_into_pods(
        self,
        offer: str,
        pods: Mapping[str, Mapping[str, int]],
        *,
        ports: Mapping[str, PortSet] | None = None,
    ) -> None: ...

    def free(self, node: str) -> Mapping[str, int]: ...

    def free_of(self, nodes: Sequence[str]) -> Sequence[Mapping[str, int]]: ...

    def changed_since(self, position: int) -> tuple[int, Sequence[str] | None]: ...

    def allocatable(self, node: str) -> Mapping[str, int]: ...

    def ports(self, node: str) -> PortSet: ...


class Account(Protocol):
    """Where it is counted what frameworks hold (`allocator.py`)."""

    def charge(
        self, framework_id: str, role: str, amounts: Mapping[str, int], *, times: int = 1, turns: int = 0
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Offer:
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
        self._booked: tuple[Amounts, dict[str, int], PortSet] = (NOTHING, {"pods": 1}, NO_PORTS)
        self._held: set[str] = set()  # out, or taken and not given back yet

    def __len__(self) -> int:
        return len(self._offers)

    def try_make(self, offer: Offer) -> bool:
        """Put an offer out, if the ledger still has what it promises."""
        amounts, ports = self._as_booked(offer.amounts)
        if not self._ledger.try_offer(offer.offer_id, offer.node, amounts, ports=ports):
            return False
        self._account.charge(offer.framework_id, offer.role, offer.amounts.scalars, turns=1)
        self._held.add(offer.offer_id)
        self._offers[offer.offer_id] = offer
        self._by_agent.setdefault(offer.agent_id, set()).add(offer.offer_id)
        self._by_framework.setdefault(offer.framework_id, set()).add(offer.offer_id)
        return True

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

    def _as_booked(self, amounts: Amounts) -> tuple[dict[str, int], PortSet]:
        """What the ledger holds for an offer of these amounts."""
        if self._booked[0] is not amounts:
            ports = PortSet.spanning(amounts.ranges.get("ports", ()))
            self._booked = (amounts, {**to_node(amounts), "pods": 1}, ports)
        return self._booked[1], self._booked[2]
