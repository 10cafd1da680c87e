"""What is free on each node, promised once: to a bound pod or to an offer that is out.

The scheduler and the Mesos master read and write this one account in one process, and every change is a plain
call that cannot be interrupted, so the two decks cannot promise the same thing twice. A pod that is already
bound is a fact: it is booked even where that takes a node below zero; an offer or a placement is not.

Host ports are booked beside the amounts, as sets of (protocol, port) pairs.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bireme.api.resources import Resources, fits
from bireme.ledger.columns import Columns, Load, total
from bireme.ledger.ports import NO_PORTS, PortSet


@dataclass(slots=True)
class Promise:
    """What one holder was promised on one node."""

    node: str
    load: Load
    ports: PortSet = NO_PORTS
    counted: bool = field(default=False)


@dataclass(frozen=True, slots=True)
class LedgerStatistics:
    """How many nodes, pods and offers are booked."""

    nodes: int
    pods: int
    offers: int


class Ledger:
    """The account. Amounts are vectors by resource name; `pods` holds one slot for each pod."""

    def __init__(self) -> None:
        self.columns = Columns()
        self._pods: dict[str, Promise] = {}
        self._offers: dict[str, Promise] = {}
        self._held: dict[str, dict[str, Promise]] = {}
        self._ports: dict[str, PortSet] = {}
        self._on_release: list[Callable[[], None]] = []

    def on_release(self, told: Callable[[], None]) -> None:
        """Call `told` whenever a pod or an offer gave something back; it must not block."""
        self._on_release.append(told)

    def set_node(self, name: str, allocatable: Resources) -> None:
        """Have the node in the account, with this much in all. Pods booked on it before it came are counted now."""
        row = self.columns.add_node(name)
        self.columns.set_allocatable(row, allocatable)
        for promise in self._held.get(name, {}).values():
            self._count(promise)

    def remove_node(self, name: str) -> None:
        """The node left. Its pods stay booked, to be counted should it come back; its offers are void."""
        for holder, promise in list(self._held.get(name, {}).items()):
            promise.counted = False
            if holder in self._offers:
                self._drop(self._offers, holder)
        self.columns.remove_node(name)

    def nodes(self) -> Collection[str]:
        return self.columns.rows.keys()

    def promise_pod(self, uid: str, node: str, amounts: Resources, *, ports: PortSet = NO_PORTS) -> None:
        """Book a pod that is bound to the node, in place of what it was booked before."""
        self.book_pod(uid, node, Load({"pods": 1, **amounts}), ports=ports)

    def book_pod(self, uid: str, node: str, load: Load, *, ports: PortSet = NO_PORTS) -> bool:
        """As `promise_pod`, with a load that pods of one kind share and that counts the pod's own slot.

        Whether that changed anything.
        """
        old = self._pods.get(uid)
        if old is not None:
            same = old.load is load or old.load.amounts == load.amounts
            if same and old.node == node and old.ports == ports:
                return False
            self._drop(self._pods, uid)
        self._book(self._pods, uid, Promise(node, load, ports))
        return True

    def release_pod(self, uid: str) -> None:
        """The pod has ended or gone; twice is once."""
        if uid in self._pods:
            self._drop(self._pods, uid)
            self._tell_release()

    def has_pod(self, uid: str) -> bool:
        return uid in self._pods

    def pods(self) -> frozenset[str]:
        """The uids of all pods that are booked."""
        return frozenset(self._pods)

    def try_offer(self, offer: str, node: str, amounts: Resources, *, ports: PortSet = NO_PORTS) -> bool:
        """Book the offer if all of it is free; whether it was."""
        return bool(self.try_offers({node: offer}, Load(dict(amounts)), ports=ports))

    def try_offers(self, offers: Mapping[str, str], load: Load, *, ports: PortSet = NO_PORTS) -> list[str]:
        """Book an offer of the same amounts on each of these nodes where all of it is free; those offers."""
        rows = {
            node: row
            for node in offers
            if (row := self.columns.rows.get(node)) is not None
            and ((taken := self._ports.get(node)) is None or not ports.overlaps(taken))
        }
        fits = self.columns.fits([*rows.values()], load)
        free = [node for node, is_free in zip(rows, fits, strict=True) if is_free]
        self.columns.promise_each([rows[node] for node in free], load)
        for node in free:
            self._hold(self._offers, offers[node], Promise(node, load, ports, counted=True))
        return [offers[node] for node in free]

    def release_offer(self, offer: str) -> None:
        """The offer was declined, rescinded or used up; twice is once."""
        if offer in self._offers:
            self._drop(self._offers, offer)
            self._tell_release()

    def turn_offer_into_pods(
        self, offer: str, pods: Mapping[str, Resources], *, ports: Mapping[str, PortSet] | None = None
    ) -> None:
        """The offer ends and these pods take their part of it, with no moment between in which it is free."""
        promise = self._offers.get(offer)
        if promise is None:
            raise KeyError(offer)
        self._drop(self._offers, offer)
        for uid, amounts in pods.items():
            self.promise_pod(uid, promise.node, amounts, ports=(ports or {}).get(uid, NO_PORTS))
        self._tell_release()

    def would_fit_without_offers(self, amounts: Resources, *, ports: PortSet = NO_PORTS) -> list[str]:
        """The nodes that would have room for this if the offers that are out on them were taken back."""
        offered: dict[str, list[Promise]] = {}
        for promise in self._offers.values():
            offered.setdefault(promise.node, []).append(promise)
        return [
            node
            for node, promises in offered.items()
            if fits(amounts, total([self.free(node), *(each.load.amounts for each in promises)]))
            and not ports.overlaps(self.ports(node) - _joined(promises))
        ]

    def free(self, node: str) -> dict[str, int]:
        """What is neither bound nor offered; empty for a node that is not there."""
        row = self.columns.rows.get(node)
        return {} if row is None else self.columns.free(row)

    def free_of(self, nodes: Sequence[str]) -> tuple[tuple[str, ...], list[Sequence[int]]]:
        """What is free of each of these nodes at the price of one look: names, and amounts of these for each node.

        For a node that is not there, no amounts.
        """
        rows = [self.columns.rows.get(node) for node in nodes]
        found = iter(self.columns.free_of([row for row in rows if row is not None]))
        return tuple(self.columns.names), [() if row is None else next(found) for row in rows]

    def changed_since(self, position: int) -> tuple[int, list[str] | None]:
        """The nodes of which something changed since `position`, and the position now; None for who knows which."""
        rows = self.columns.changed_since(position)
        names = None if rows is None else [self.columns.nodes[row] for row in rows if self.columns.live[row]]
        return self.columns.position, names

    def allocatable(self, node: str) -> dict[str, int]:
        """What the node has in all; empty for a node that is not there."""
        row = self.columns.rows.get(node)
        if row is None:
            return {}
        return {
            name: int(amount) for name, amount in zip(self.columns.names, self.columns.allocatable[row], strict=True)
        }

    def ports(self, node: str) -> PortSet:
        """The host ports that are taken on the node."""
        return self._ports.get(node, NO_PORTS)

    def statistics(self) -> LedgerStatistics:
        return LedgerStatistics(len(self.columns), len(self._pods), len(self._offers))

    def _tell_release(self) -> None:
        for told in self._on_release:
            told()

    def _book(self, book: dict[str, Promise], holder: str, promise: Promise) -> None:
        self._hold(book, holder, promise)
        self._count(promise)

    def _hold(self, book: dict[str, Promise], holder: str, promise: Promise) -> None:
        book[holder] = promise
        self._held.setdefault(promise.node, {})[holder] = promise
        if promise.ports:
            taken = self._ports.get(promise.node)
            self._ports[promise.node] = promise.ports if taken is None else taken | promise.ports

    def _count(self, promise: Promise) -> None:
        row = self.columns.rows.get(promise.node)
        if row is not None and not promise.counted:
            self.columns.promise(row, promise.load)
            promise.counted = True

    def _drop(self, book: dict[str, Promise], holder: str) -> None:
        promise = book.pop(holder, None)
        if promise is None:
            return
        held = self._held[promise.node]
        del held[holder]
        if promise.ports:  # two bound pods may claim one port: it is free when both let go
            self._ports[promise.node] = _joined(held.values())
        if promise.counted and promise.node in self.columns.rows:
            self.columns.promise(self.columns.rows[promise.node], promise.load, sign=-1)
        if not held:
            del self._held[promise.node]
            self._ports.pop(promise.node, None)


def _joined(promises: Iterable[Promise]) -> PortSet:
    """Every port that any of them holds."""
    bits = 0
    for promise in promises:
        bits |= promise.ports.bits
    return PortSet(bits)
