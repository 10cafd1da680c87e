"""Which claims are used on which nodes: by pods that are there, by pods on their way, by volumes still attached."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from bireme.api import volumes as words
from bireme.api.kinds import core
from bireme.client.informer import Informer, Key

ENDED = ("Succeeded", "Failed")


def uses_claims(pod: core.Pod) -> bool:
    """Whether the pod has volumes that are claims. Asked of every pod, so a plain loop."""
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None or volume.ephemeral is not None:
            return True
    return False


def claim_keys(pod: core.Pod) -> tuple[Key, ...]:
    """The keys of the claims that the pod uses, each once."""
    return tuple({Key(pod.metadata.namespace, claim.name): None for claim in words.claims_of(pod)})


class ClaimUsers:
    """Holders (by uid) and their claims, counted by claim and by node.

    `told(claim, node, sign)` is called when a claim comes to a node (1), or leaves it with its last user (-1).
    """

    def __init__(self, pods: Informer[core.Pod], told: Callable[[Key, str, int], None] = lambda *_: None) -> None:
        self._told = told
        self._holders: dict[str, tuple[str, tuple[Key, ...]]] = {}
        self._nodes: dict[Key, Counter[str]] = {}
        pods.on_change(self._pod_changed)

    def nodes_of(self, claim: Key) -> Mapping[str, int]:
        """The nodes where the claim is used, with the number of its users."""
        return self._nodes.get(claim, {})

    def left(self, claim: Key, node: str, gone: Collection[str]) -> int:
        """How many users the claim would have on the node without these holders."""
        mine = sum(1 for uid in gone if (held := self._holders.get(uid)) and held[0] == node and claim in held[1])
        return self.nodes_of(claim).get(node, 0) - mine

    def claims_of(self, holders: Collection[str], node: str) -> set[Key]:
        """The claims of those of these holders that are on the node."""
        held = [self._holders[uid] for uid in holders if uid in self._holders]
        return {claim for where, claims in held if where == node for claim in claims}

    def place(self, uid: str, node: str, claims: Iterable[Key]) -> None:
        """The holder is on the node, or will be, and nowhere else."""
        entry = (node, tuple(claims))
        if self._holders.get(uid) == entry:
            return
        self.remove(uid)
        if not entry[1]:
            return
        self._holders[uid] = entry
        for claim in entry[1]:
            users = self._nodes.setdefault(claim, Counter())
            users[node] += 1
            if users[node] == 1:
                self._told(claim, node, 1)

    def remove(self, uid: str) -> None:
        """The holder is gone. Twice is once."""
        node, claims = self._holders.pop(uid, ("", ()))
        for claim in claims:
            users = self._nodes[claim]
            users[node] -= 1
            if not users[node]:
                del users[node]
                self._told(claim, node, -1)
            if not users:
                del self._nodes[claim]

    def _pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self.remove(old.metadata.uid)
        if new is None:
            return
        if new.status.phase in ENDED:
            self.remove(new.metadata.uid)
        elif new.spec.node_name and new.spec.volumes:
            self.place(new.metadata.uid, new.spec.node_name, claim_keys(new))
