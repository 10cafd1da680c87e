"""Groups whose pods must all be in one domain, as one rack: which domain a group is in, or may choose.

Source: the description of `schedulingConstraints` in `scheduling.k8s.io`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from bireme.scheduler.groups_kinds import Gang, GroupKey
from bireme.scheduler.interface import Lack, Mask
from bireme.scheduler.node_sets import NodeSets

LIMIT = 4096
OUTSIDE = "node(s) were outside the pod group's domain"


class Domains:
    """See the module. What was chosen counts until a member has a node, which then says it."""

    def __init__(self, nodes: NodeSets) -> None:
        self._nodes = nodes
        self._chosen: dict[GroupKey, str] = {}

    def open(self, key: GroupKey, gang: Gang, places: Iterable[str]) -> Sequence[tuple[str, Mask | None]]:
        """The domains that the group may go to, each with its nodes; the largest first. `places` are the nodes that
        members have."""
        if not gang.topology:
            return (("", None),)
        self._chosen.pop(key, None)
        own = self._own(gang, places)
        if own is not None:
            return ((own, self._mask(gang.topology, own)),)
        sizes = Counter(self._nodes.labels(node)[gang.topology] for node in self._nodes.with_label(gang.topology))
        names = sorted(sizes, key=lambda name: (-sizes[name], name))
        return [(name, self._mask(gang.topology, name)) for name in names]

    def choose(self, key: GroupKey, domain: str) -> None:
        """The group goes to this domain."""
        if domain:
            if len(self._chosen) >= LIMIT:
                self._chosen.pop(next(iter(self._chosen)))
            self._chosen[key] = domain

    def left(self, key: GroupKey, gang: Gang, places: Iterable[str]) -> Sequence[Mask]:
        """The nodes that are left to a member."""
        if not gang.topology:
            return ()
        domain = self._own(gang, places)
        if domain is None:
            domain = self._chosen.get(key)
        return (self._mask(gang.topology, domain),) if domain is not None else ()

    def _own(self, gang: Gang, places: Iterable[str]) -> str | None:
        return next((self._nodes.labels(node).get(gang.topology, "") for node in places), None)

    def _mask(self, topology: str, domain: str) -> Mask:
        names = self._nodes.bearing(topology, (domain,))
        return Mask(self._nodes.mask(names), lambda row: OUTSIDE, Lack.NODE | Lack.GROUP)
