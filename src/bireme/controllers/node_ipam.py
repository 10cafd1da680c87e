"""Give each node its range of pod addresses, once."""

from datetime import timedelta
from ipaddress import ip_network

from bireme.api.errors import NotFound
from bireme.api.kinds import core
from bireme.client.informer import Key
from bireme.controllers.changes import Merge
from bireme.controllers.controller import Context, Controller, Watch


class Ranges:
    """The networks of one prefix within a larger one; each is given to one at a time, in turn."""

    def __init__(self, whole: str, prefix: int) -> None:
        self._whole = ip_network(whole)
        self._prefix = max(prefix, self._whole.prefixlen)
        self._shift = self._whole.max_prefixlen - self._prefix
        self._number = 1 << (self._prefix - self._whole.prefixlen)
        self._taken: dict[int, int] = {}
        self._next = 0

    def take(self, network: str) -> None:
        """Somebody has `network`; one that lies elsewhere is no matter."""
        for place in self._places(network):
            self._taken[place] = self._taken.get(place, 0) + 1

    def give_back(self, network: str) -> None:
        """One who had `network` has it no longer."""
        for place in self._places(network):
            left = self._taken.get(place, 0) - 1
            if left > 0:
                self._taken[place] = left
            else:
                self._taken.pop(place, None)

    def free(self) -> str | None:
        """The next network that nobody has; None when all are taken."""
        if len(self._taken) >= self._number:
            return None
        while self._next in self._taken:
            self._next = (self._next + 1) % self._number
        address = self._whole.network_address + (self._next << self._shift)
        return f"{address}/{self._prefix}"

    def _places(self, network: str) -> range:
        there = ip_network(network, strict=False)
        if there.version != self._whole.version or not there.overlaps(self._whole):
            return range(0)
        base = int(self._whole.network_address)
        first = max(0, int(there.network_address) - base) >> self._shift
        last = min(int(there.broadcast_address) - base, (self._number << self._shift) - 1) >> self._shift
        return range(first, last + 1)


def ranges_of(node: core.Node) -> set[str]:
    """The ranges that a node has."""
    return {*node.spec.pod_cidrs, node.spec.pod_cidr} - {""}


class NodeIpamController(Controller):
    """Give each node its range of pod addresses, once.

    Reads Nodes; writes `spec.podCIDR` of those that have none. A range is chosen and noted as taken without a wait
    between, so that workers who write at the same time never give one twice.
    """

    name = "node-ipam-controller"
    workers = 16
    watches = (Watch(core.Node),)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._ranges = Ranges(self.settings.pod_range, self.settings.node_prefix)
        self._given: dict[str, str] = {}  # by uid of node: what a late cache may not show yet
        self.cache.of(core.Node).on_change(self._note)

    async def reconcile(self, key: Key) -> timedelta | None:
        node = self.cache.get(core.Node, key)
        if node is None or ranges_of(node):
            return None
        range_ = self._given.get(node.metadata.uid) or self._ranges.free()
        if range_ is None:
            text = f"Node {key.name} status is now: CIDRNotAvailable"
            self.events.event(node, "Warning", "CIDRNotAvailable", text)
            return timedelta(minutes=1)
        if node.metadata.uid not in self._given:  # again, if the first attempt's answer was lost: the same range
            self._given[node.metadata.uid] = range_
            self._ranges.take(range_)
        try:
            await self.carry_out((Merge(node, {"spec": {"podCIDR": range_, "podCIDRs": [range_]}}, exact=True),))
        except NotFound:
            self._take_back(node)
        return None

    def _take_back(self, node: core.Node) -> None:
        range_ = self._given.pop(node.metadata.uid, None)
        if range_ is not None:
            self._ranges.give_back(range_)

    def _note(self, old: core.Node | None, new: core.Node | None) -> None:
        """Keep the ranges as the nodes have them; what we gave ourselves counts until the node shows it."""
        for network in ranges_of(new) if new is not None else ():
            self._ranges.take(network)
        for network in ranges_of(old) if old is not None else ():
            self._ranges.give_back(network)
        if new is None and old is not None:
            self._take_back(old)
        elif new is not None and new.spec.pod_cidr:
            self._take_back(new)
