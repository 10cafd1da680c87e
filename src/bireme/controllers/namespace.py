"""Empty a namespace that is being deleted, kind by kind, and let it go when nothing is left in it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from bireme.api.errors import ApiError, MethodNotAllowed, NotFound
from bireme.api.kinds import core, meta
from bireme.api.scheme import Resource
from bireme.api.times import rfc3339
from bireme.client.client import object_path
from bireme.client.informer import Key
from bireme.client.parts import EXISTENCE
from bireme.controllers.changes import Update
from bireme.controllers.controller import Controller, Watch
from bireme.controllers.discovery import discover
from bireme.controllers.informers import Informers

KUBERNETES = "kubernetes"
_BACKGROUND = b'{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}'


class _Object(msgspec.Struct):
    metadata: meta.ObjectMeta


class _Objects(msgspec.Struct):
    items: list[_Object] = []


_objects = msgspec.json.Decoder(_Objects)


@dataclass(slots=True)
class Emptying:
    """How far the emptying got: objects left by `plural.group`, finalizers that hold them, errors met.

    `undiscovered`: group versions whose server did not say what it serves; something may be left there.
    """

    left: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    undiscovered: list[str] = field(default_factory=list)


def conditions(
    before: Sequence[core.NamespaceCondition], emptying: Emptying, *, now: datetime
) -> list[core.NamespaceCondition]:
    """What the status says of the emptying; times are kept where a condition's status stays."""
    stamp = rfc3339(now)
    known = {item.type: item for item in before}
    made = []
    for type, status, reason, message in _said(emptying):
        old = known.pop(type, None)
        since = old.last_transition_time if old is not None and old.status == status else stamp
        made.append(
            core.NamespaceCondition(
                type=type, status=status, reason=reason, message=message, last_transition_time=since
            )
        )
    return [*known.values(), *made]


def _said(emptying: Emptying) -> Iterable[tuple[str, str, str, str]]:
    if emptying.undiscovered:
        stale = ", ".join(f"{name}: stale GroupVersion discovery: {name}" for name in emptying.undiscovered)
        text = (
            f"Discovery failed for some groups, {len(emptying.undiscovered)} failing: "
            f"unable to retrieve the complete list of server APIs: {stale}"
        )
        yield "NamespaceDeletionDiscoveryFailure", "True", "DiscoveryFailed", text
    else:
        text = "All resources successfully discovered"
        yield "NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", text
    yield (
        "NamespaceDeletionGroupVersionParsingFailure",
        "False",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    )
    if emptying.errors:
        text = f"Failed to delete all resource types, {len(emptying.errors)} remaining: {', '.join(emptying.errors)}"
        yield "NamespaceDeletionContentFailure", "True", "ContentDeletionFailed", text
    else:
        text = "All content successfully deleted, may be waiting on finalization"
        yield "NamespaceDeletionContentFailure", "False", "ContentDeleted", text
    if emptying.left:
        items = ", ".join(f"{name} has {number} resource instances" for name, number in sorted(emptying.left.items()))
        yield "NamespaceContentRemaining", "True", "SomeResourcesRemain", f"Some resources are remaining: {items}"
    else:
        yield "NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"
    if emptying.held:
        items = ", ".join(f"{name} in {number} resource instances" for name, number in sorted(emptying.held.items()))
        text = f"Some content in the namespace has finalizers remaining: {items}"
        yield "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", text
    else:
        text = "All content-preserving finalizers finished"
        yield "NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", text


def emptied_of_pod(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """The namespace that is being deleted, of which a pod is now gone."""
    if old is None or new is not None:
        return ()
    key = Key("", old.metadata.namespace)
    namespace = cache.get(core.Namespace, key)
    return (key,) if namespace is not None and namespace.metadata.deletion_timestamp else ()


class NamespaceController(Controller):
    """Empty each namespace that is being deleted, then finalize it.

    Lists and deletes objects of every namespaced kind, pods first and alone; writes Namespace status.
    """

    name = "namespace-controller"
    workers = 10
    watches = Watch(core.Namespace), Watch(core.Pod, keys=emptied_of_pod, reads=EXISTENCE)

    async def reconcile(self, key: Key) -> timedelta | None:
        namespace = self.cache.get(core.Namespace, key)
        if namespace is None or not namespace.metadata.deletion_timestamp:
            return None
        if not namespace.spec.finalizers:
            return None  # ours is off; the server waits for those in the metadata
        emptying = await self._empty(key.name)
        if not (emptying.left or emptying.errors or emptying.undiscovered):
            await self._finalize(namespace)
            return None
        status = core.NamespaceStatus(
            phase="Terminating",
            conditions=conditions(namespace.status.conditions, emptying, now=self.clock.now()),
        )
        if status != namespace.status:
            await self.carry_out((Update(msgspec.structs.replace(namespace, status=status), subresource="status"),))
        return timedelta(seconds=self.settings.namespace_poll_s)

    async def _empty(self, name: str) -> Emptying:
        served = await discover(self.client, verbs=("list", "delete"))
        emptying = Emptying(undiscovered=served.failed)
        namespaced = [item for item in served.resources if item.namespaced]
        pods = [item for item in namespaced if (item.group, item.plural) == ("", "pods")]
        for resource in pods:  # while they end, they may need their secrets and claims
            await self._empty_of(resource, name, emptying)
        if emptying.left or emptying.errors:
            return emptying
        for resource in namespaced:
            if resource not in pods:
                await self._empty_of(resource, name, emptying)
        return emptying

    async def _empty_of(self, resource: Resource, namespace: str, emptying: Emptying) -> None:
        try:
            there = await self._list(resource, namespace)
            if any(not item.deletion_timestamp for item in there):
                await self._delete_all(resource, namespace, there)
                there = await self._list(resource, namespace)
        except NotFound:
            return  # the kind is served no more
        except ApiError as error:
            emptying.errors.append(f"{resource.title}: {error}")
            return
        if there:
            emptying.left[resource.title if resource.group else f"{resource.plural}."] += len(there)
        for item in there:
            emptying.held.update(item.finalizers)

    async def _list(self, resource: Resource, namespace: str) -> list[meta.ObjectMeta]:
        reply = await self.client.request("GET", object_path(resource, namespace))
        return [item.metadata for item in _objects.decode(reply.body).items]

    async def _delete_all(self, resource: Resource, namespace: str, there: Sequence[meta.ObjectMeta]) -> None:
        if "deletecollection" in resource.verbs:
            try:
                await self.client.request("DELETE", object_path(resource, namespace), body=_BACKGROUND)
            except MethodNotAllowed:
                pass
            else:
                return
        for item in there:
            try:
                await self.client.request("DELETE", object_path(resource, namespace, item.name), body=_BACKGROUND)
            except NotFound:
                continue

    async def _finalize(self, namespace: core.Namespace) -> None:
        rest = [item for item in namespace.spec.finalizers if item != KUBERNETES]
        spec = msgspec.structs.replace(namespace.spec, finalizers=rest)
        try:
            await self.carry_out((Update(msgspec.structs.replace(namespace, spec=spec), subresource="finalize"),))
        except NotFound:
            pass
