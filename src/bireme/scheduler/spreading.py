"""Which pods a pod is to be spread from when it does not say: those of its services and of its owner.

Services that select the pod are merged, and the selector of the controller that owns it is added. Source: the
Kubernetes documentation on topology spread constraints ("internal default constraints"); the helper of
kube-scheduler.
"""

from collections.abc import Callable
from typing import Any

from bireme.api.errors import BadRequest
from bireme.api.kinds import core, meta
from bireme.api.selectors import LabelSelector
from bireme.client.informer import Informer, Key
from bireme.scheduler.caches import Caches

LIMIT = 10_000


class Spreading:
    """Selectors of pods without constraints of their own, kept until a service or controller changes."""

    def __init__(self, caches: Caches) -> None:
        self._owners: dict[tuple[str, str], tuple[Informer[Any], Callable[[Any], LabelSelector]]] = {
            ("apps/v1", "ReplicaSet"): (caches.replica_sets, LabelSelector.from_struct),
            ("apps/v1", "StatefulSet"): (caches.stateful_sets, LabelSelector.from_struct),
            ("v1", "ReplicationController"): (caches.replication_controllers, LabelSelector.of),
        }
        self._by_namespace: dict[str, dict[Key, dict[str, str]]] = {}
        self._known: dict[tuple[str, tuple[str, str, str], tuple[tuple[str, str], ...]], LabelSelector | None] = {}
        caches.services.on_change(self._service_changed)
        for informer, _ in self._owners.values():
            informer.on_change(self._owner_changed)

    def selector(self, pod: core.Pod) -> LabelSelector | None:
        """The selector; None when nothing groups the pod with others."""
        metadata = pod.metadata
        owner = next((each for each in metadata.owner_references if each.controller), None)
        whose = (owner.api_version, owner.kind, owner.name) if owner is not None else ("", "", "")
        key = (metadata.namespace, whose, tuple(metadata.labels.items()))
        if key not in self._known:
            if len(self._known) >= LIMIT:
                self._known.clear()
            self._known[key] = self._selector(metadata, whose)
        return self._known[key]

    def _selector(self, pod: meta.ObjectMeta, whose: tuple[str, str, str]) -> LabelSelector | None:
        merged: dict[str, str] = {}
        for wanted in self._by_namespace.get(pod.namespace, {}).values():
            if all(pod.labels.get(key) == value for key, value in wanted.items()):
                merged |= wanted
        claims = LabelSelector.of(merged).requirements + self._owners_claims(pod.namespace, whose)
        return LabelSelector(tuple(dict.fromkeys(claims))) if claims else None

    def _owners_claims(self, namespace: str, whose: tuple[str, str, str]) -> tuple[Any, ...]:
        version, kind, name = whose
        known = self._owners.get((version, kind))
        owner = known[0].get(Key(namespace, name)) if known else None
        if known is None or owner is None:
            return ()
        try:
            return known[1](owner.spec.selector).requirements
        except BadRequest:
            return ()

    def _service_changed(self, old: core.Service | None, new: core.Service | None) -> None:
        service = new or old
        if service is None:
            return
        key = Key(service.metadata.namespace, service.metadata.name)
        selector = new.spec.selector if new is not None else {}
        here = self._by_namespace.get(key.namespace, {})
        if here.get(key, {}) == selector:
            return
        if selector:
            self._by_namespace.setdefault(key.namespace, here)[key] = selector
        else:
            del here[key]
            if not here:
                del self._by_namespace[key.namespace]
        self._known.clear()

    def _owner_changed(self, old: Any, new: Any) -> None:
        if old is None or new is None or old.spec.selector != new.spec.selector:
            self._known.clear()
