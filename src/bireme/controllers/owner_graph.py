"""The graph of owners and dependents, by uid, and what follows from it for one object.

An object with owners lives while one of them does. One whose owners are all gone is garbage; it goes in the
background, or as its own finalizers say. An owner that is deleted in the foreground waits for those dependents
that block it. The graph is what was seen on watches, which lag: it may say that an owner exists, and that is
believed (when the owner goes, the dependents are looked at again); it never says that one is gone, for that only
the server can. Plain data; talking to the server is left to `garbage_collector.py`.

Source: the Kubernetes documentation; the design proposal "Garbage Collection" of Kubernetes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from bireme.api.kinds.meta import Object, OwnerReference

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Node:
    """What the graph knows of an object."""

    uid: str
    group: str
    version: str
    kind: str
    namespace: str
    name: str
    owners: tuple[OwnerReference, ...] = ()
    is_going: bool = False
    finalizers: frozenset[str] = frozenset()

    @property
    def waits_for_dependents(self) -> bool:
        """It is being deleted in the foreground."""
        return self.is_going and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        """It is being deleted and leaves its dependents behind."""
        return self.is_going and ORPHAN in self.finalizers


def node_of(obj: Object) -> Node:
    """The graph's view of an object."""
    group, version, kind = obj.__gvk__  # type: ignore[attr-defined]
    metadata = obj.metadata
    return Node(
        metadata.uid,
        group,
        version,
        kind,
        metadata.namespace,
        metadata.name,
        tuple(metadata.owner_references),
        bool(metadata.deletion_timestamp),
        frozenset(metadata.finalizers) if metadata.finalizers else frozenset(),
    )


class Graph:
    """Nodes by uid, with their dependents; `change` says who is to be looked at."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = defaultdict(set)

    def dependents(self, uid: str) -> list[Node]:
        """The objects seen that name this one as an owner."""
        return [self.nodes[item] for item in self._dependents.get(uid, ())]

    def blocking(self, uid: str) -> list[Node]:
        """The dependents that a deletion in the foreground waits for; not those that in turn wait for it."""
        return [item for item in self._blockers(uid) if item.uid != uid and not self._waits_for(item, uid)]

    def _blockers(self, uid: str) -> list[Node]:
        return [
            item
            for item in self.dependents(uid)
            if any(owner.uid == uid and owner.block_owner_deletion for owner in item.owners)
        ]

    def _waits_for(self, node: Node, uid: str) -> bool:
        """Whether `node` waits, over however many others, for `uid`: a circle, which would wait for ever."""
        ahead, seen = [node], {node.uid}
        while ahead:
            item = ahead.pop()
            if not item.waits_for_dependents:
                continue
            for below in self._blockers(item.uid):
                if below.uid == uid:
                    return True
                if below.uid not in seen:
                    seen.add(below.uid)
                    ahead.append(below)
        return False

    def change(self, old: Node | None, new: Node | None) -> set[str]:
        """Note that an object came, changed or went; gives back the uids to look at."""
        look: set[str] = set()
        if old is not None and (new is None or new.uid != old.uid):
            look |= self._remove(old)
        if new is not None:
            look |= self._put(new)
        return look

    def _put(self, node: Node) -> set[str]:
        before = self.nodes.get(node.uid)
        self.nodes[node.uid] = node
        now = {owner.uid for owner in node.owners}
        was = {owner.uid for owner in before.owners} if before else set()
        for uid in was - now:
            self._forget(uid, node.uid)
        for uid in now - was:
            self._dependents[uid].add(node.uid)
        look: set[str] = set()
        if any(self._needs_a_look(node, owner) for owner in node.owners):
            look.add(node.uid)
        if before is not None and before.owners != node.owners:
            look |= {uid for uid in was | now if uid in self.nodes and self.nodes[uid].waits_for_dependents}
        started = before is None or not before.is_going or before.finalizers != node.finalizers
        if started and (node.waits_for_dependents or node.orphans_dependents):
            look.add(node.uid)
            if node.waits_for_dependents:
                look |= self._dependents.get(node.uid, set())
        return look

    def _needs_a_look(self, node: Node, owner: OwnerReference) -> bool:
        above = self.nodes.get(owner.uid)
        return above is None or above.waits_for_dependents or not refers_to(owner, node, above)

    def _remove(self, node: Node) -> set[str]:
        self.nodes.pop(node.uid, None)
        look = set(self._dependents.get(node.uid, ()))
        for owner in node.owners:
            self._forget(owner.uid, node.uid)
            above = self.nodes.get(owner.uid)
            if above is not None and above.waits_for_dependents:
                look.add(owner.uid)
        return look

    def _forget(self, owner: str, dependent: str) -> None:
        members = self._dependents.get(owner)
        if members is not None:
            members.discard(dependent)
            if not members:
                del self._dependents[owner]


def refers_to(reference: OwnerReference, dependent: Node, owner: Node) -> bool:
    """The reference's kind, name and reach are those of the owner that has its uid."""
    within = not owner.namespace or owner.namespace == dependent.namespace
    group = reference.api_version.rpartition("/")[0]
    return within and (group, reference.kind, reference.name) == (owner.group, owner.kind, owner.name)


class State(Enum):
    """How an owner stands."""

    SOLID = "it lives"
    WAITING = "it goes, and waits for its dependents to go first"
    GONE = "there is no such object any more"


class Act(Enum):
    """What to do with a dependent."""

    KEEP = "leave it"
    DETACH = "take off the references that hold it no longer"
    DELETE = "delete it, as its finalizers say"
    DELETE_FOREGROUND = "delete it, its dependents first"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with an object; `keep` are the references that stay on one that is detached."""

    act: Act
    keep: tuple[OwnerReference, ...] = ()


def judge(
    references: Iterable[OwnerReference], state: Callable[[OwnerReference], State], *, has_dependents: bool
) -> Verdict:
    """What follows for an object with these references from the state of its owners."""
    by_state: dict[State, list[OwnerReference]] = {item: [] for item in State}
    for reference in references:
        by_state[state(reference)].append(reference)
    solid, waiting, gone = by_state[State.SOLID], by_state[State.WAITING], by_state[State.GONE]
    if solid:
        return Verdict(Act.DETACH, tuple(solid)) if waiting or gone else Verdict(Act.KEEP)
    if not waiting and not gone:
        return Verdict(Act.KEEP)
    return Verdict(Act.DELETE_FOREGROUND if waiting and has_dependents else Act.DELETE)


def propagation(node: Node) -> str:
    """How a garbage object is to be deleted: as it was asked for before, else in the background."""
    if ORPHAN in node.finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in node.finalizers else "Background"
