"""Delete what has lost all its owners, and carry out deletions in the foreground and those that leave orphans."""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import structlog

from bireme.api.errors import NotFound
from bireme.api.kinds import meta
from bireme.api.kinds.meta import Object, OwnerReference
from bireme.api.scheme import Resource, gvk_of, split_api_version
from bireme.client.client import Patch
from bireme.client.informer import Key
from bireme.client.parts import METADATA
from bireme.controllers import owner_graph
from bireme.controllers.acting import carry_out
from bireme.controllers.changes import Delete
from bireme.controllers.controller import Context, Controller, Watch
from bireme.controllers.metadata_kinds import metadata_kind, stored_resources
from bireme.controllers.owner_graph import FOREGROUND, ORPHAN, Act, Graph, Node, State
from bireme.controllers.ownership import reference_tree

log = structlog.get_logger(__name__)

IGNORED = frozenset((("", "events"), ("events.k8s.io", "events")))
ABSENT_REMEMBERED = 500
UNKNOWN_KIND_LOOK_AGAIN = timedelta(seconds=30)


class GarbageCollector(Controller):
    """Delete what has lost all its owners.

    Reads the metadata of every kind; deletes objects, takes owner references and its two finalizers off them. Keys
    are uids.
    """

    name = "garbage-collector-controller"
    workers = 20
    watches = ()

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.graph = Graph()
        self._absent: OrderedDict[tuple[str, ...], None] = OrderedDict()
        followed = {gvk_of(kind): kind for kind in self.cache.kinds()}
        resources = [
            item
            for item in stored_resources(self.scheme, "list", "watch")
            if (item.group, item.plural) not in IGNORED
        ]
        for item in resources:  # the whole objects where another controller follows them anyway
            kind = followed.get(item.gvk) or metadata_kind(*item.gvk)
            self.watch(Watch(kind, keys=self._changed, reads=METADATA))
        context.custom.on_change(self._follow)

    def _follow(self, old: Resource | None, new: Resource | None) -> None:
        """A custom kind came or went."""
        if old is not None:
            self.unwatch(metadata_kind(*old.gvk))
        if new is not None:
            self.watch(Watch(metadata_kind(*new.gvk), keys=self._changed))

    def _changed(self, _: object, old: Object | None, new: Object | None) -> Iterable[Key]:
        if old is not None and new is not None and (_shares(old, new) or _tells(old) == _tells(new)):
            return ()
        before = owner_graph.node_of(old) if old is not None else None
        after = owner_graph.node_of(new) if new is not None else None
        return [Key("", uid) for uid in self.graph.change(before, after)]

    async def reconcile(self, key: Key) -> timedelta | None:
        node = self.graph.nodes.get(key.name)
        if node is None:
            return None
        if node.orphans_dependents:
            await self._let_go_dependents(node)
            return None
        if node.waits_for_dependents:
            await self._finish_foreground(node)
            return None
        if node.is_going or not node.owners or self._held_by_cache(node):
            return None
        return await self._judge(node)

    def _held_by_cache(self, node: Node) -> bool:
        """Every owner is seen alive: no need to ask the server."""
        for owner in node.owners:
            above = self.graph.nodes.get(owner.uid)
            if above is None or above.waits_for_dependents or not owner_graph.refers_to(owner, node, above):
                return False
        return True

    async def _judge(self, node: Node) -> timedelta | None:
        kind = metadata_kind(node.group, node.version, node.kind)
        try:
            fresh = await self.client.get(kind, node.name, namespace=node.namespace)
        except NotFound:
            return None  # its deletion is on the way to us
        if fresh.metadata.uid != node.uid or fresh.metadata.deletion_timestamp:
            return None
        live = owner_graph.node_of(fresh)
        states: dict[str, State] = {}
        for reference in live.owners:
            state = await self._state(live, reference)
            if state is None:
                return UNKNOWN_KIND_LOOK_AGAIN  # of a kind that we don't know: nothing is certain
            states[reference.uid] = state
        has_dependents = bool(self.graph.dependents(node.uid))
        verdict = owner_graph.judge(live.owners, lambda item: states[item.uid], has_dependents=has_dependents)
        await self._carry_out_verdict(fresh, live, verdict)
        return None

    async def _carry_out_verdict(self, fresh: Object, live: Node, verdict: owner_graph.Verdict) -> None:
        match verdict.act:
            case Act.DETACH:
                await self._patch(fresh, {"ownerReferences": [reference_tree(item) for item in verdict.keep]})
            case Act.DELETE:
                log.info("garbage deleted", kind=live.kind, namespace=live.namespace, name=live.name)
                await carry_out(self.client, Delete(fresh, owner_graph.propagation(live), exact=True))
            case Act.DELETE_FOREGROUND:
                await carry_out(self.client, Delete(fresh, "Foreground", exact=True))
            case Act.KEEP:
                pass

    async def _state(self, node: Node, reference: OwnerReference) -> State | None:
        """How an owner stands; asks the server where it is not seen. None: its kind is not known here."""
        above = self.graph.nodes.get(reference.uid)
        if above is None or not owner_graph.refers_to(reference, node, above):
            resource = self._resource(reference)
            if resource is None:
                return None
            if above is not None and above.namespace and above.namespace != node.namespace:
                self._tell_of_namespaces(node, reference)
            if not node.namespace and resource.namespaced:
                return None  # what belongs to no namespace cannot be owned from within one
            return await self._ask(resource, reference, node.namespace if resource.namespaced else "")
        return State.WAITING if above.waits_for_dependents else State.SOLID

    async def _ask(self, resource: Resource, reference: OwnerReference, namespace: str) -> State:
        coordinates = (reference.uid, resource.group, resource.kind, namespace, reference.name)
        if coordinates in self._absent:
            self._absent.move_to_end(coordinates)
            return State.GONE
        try:
            found = await self.client.get(metadata_kind(*resource.gvk), reference.name, namespace=namespace)
        except NotFound:
            found = None
        if found is not None and found.metadata.uid == reference.uid:
            waiting = owner_graph.node_of(found).waits_for_dependents
            return State.WAITING if waiting else State.SOLID
        self._absent[coordinates] = None  # uids are never used again
        if len(self._absent) > ABSENT_REMEMBERED:
            self._absent.popitem(last=False)
        return State.GONE

    def _resource(self, reference: OwnerReference) -> Resource | None:
        group, version = split_api_version(reference.api_version)
        return self.scheme.of_kind(group, version, reference.kind)

    def _tell_of_namespaces(self, node: Node, reference: OwnerReference) -> None:
        about = metadata_kind(node.group, node.version, node.kind)(
            metadata=meta.ObjectMeta(name=node.name, namespace=node.namespace, uid=node.uid)
        )
        text = (
            f"ownerRef [{reference.api_version}/{reference.kind}, namespace: {node.namespace}, "
            f"name: {reference.name}, uid: {reference.uid}] does not exist in namespace {node.namespace!r}"
        )
        self.events.event(about, "Warning", "OwnerRefInvalidNamespace", text)

    async def _finish_foreground(self, node: Node) -> None:
        """Take the finalizer off when no dependent blocks any more; else have those looked at."""
        blocking = self.graph.blocking(node.uid)
        if not blocking:
            await self._take_off(node, FOREGROUND)
        for item in blocking:
            if not item.waits_for_dependents:
                self.wake(Key("", item.uid))

    async def _let_go_dependents(self, node: Node) -> None:
        for item in self.graph.dependents(node.uid):
            kind = metadata_kind(item.group, item.version, item.kind)
            try:
                fresh = await self.client.get(kind, item.name, namespace=item.namespace)
            except NotFound:
                continue
            if fresh.metadata.uid != item.uid:
                continue
            kept = [owner for owner in fresh.metadata.owner_references if owner.uid != node.uid]
            if len(kept) < len(fresh.metadata.owner_references):
                await self._patch(fresh, {"ownerReferences": [reference_tree(owner) for owner in kept] or None})
        await self._take_off(node, ORPHAN)

    async def _take_off(self, node: Node, finalizer: str) -> None:
        kind = metadata_kind(node.group, node.version, node.kind)
        try:
            fresh = await self.client.get(kind, node.name, namespace=node.namespace)
        except NotFound:
            return
        if fresh.metadata.uid == node.uid and finalizer in fresh.metadata.finalizers:
            await self._patch(fresh, {"finalizers": [i for i in fresh.metadata.finalizers if i != finalizer] or None})

    async def _patch(self, fresh: Object, fields: dict[str, Any]) -> Object:
        """Change metadata of the object as it was read just now; Conflict if it changed since."""
        metadata = fresh.metadata
        sure = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
        try:
            return await self.client.patch(
                type(fresh),
                metadata.name,
                {"metadata": {**fields, **sure}},
                namespace=metadata.namespace,
                how=Patch.MERGE,
            )
        except NotFound:
            return fresh


def _shares(old: Object, new: Object) -> bool:
    """The same, told at a glance: pods in caches share their owners (`api/codec/shared.py`), and few are going."""
    before, after = old.metadata, new.metadata
    return (
        before.owner_references is after.owner_references
        and before.finalizers is after.finalizers
        and before.deletion_timestamp == after.deletion_timestamp
        and before.uid == after.uid
    )


def _tells(obj: Object) -> tuple[object, ...]:
    """Everything of an object that the graph holds."""
    metadata = obj.metadata
    return metadata.uid, metadata.owner_references, metadata.finalizers, bool(metadata.deletion_timestamp)
