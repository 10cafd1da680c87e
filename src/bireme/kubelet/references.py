"""Whose content pods show in their volumes, and hearing of it when that changes.

Each config map and secret that a volume of a pod here names is watched by itself, so that this node sees no
others. A watch costs a connection, so there are at most `WATCHED`; what is beyond that, or changes while a watch
is down, is found when the pod is looked at next. Source: Kubernetes, "ConfigMaps: mounted ConfigMaps are updated
automatically" (the `Watch` strategy).
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from bireme.aio.clock import Clock
from bireme.aio.supervise import supervise
from bireme.api.kinds import core
from bireme.api.kinds.meta import Object
from bireme.client.client import Client
from bireme.client.informer import Informer

WATCHED = 64
ROOT_CA = "kube-root-ca.crt"
"""In every pod, and never changed while a cluster lives."""


class Reference(NamedTuple):
    """An object that pods refer to."""

    kind: type[Object]
    namespace: str
    name: str


def references(pod: core.Pod) -> set[Reference]:
    """The objects whose content the volumes of `pod` show."""
    return {
        Reference(kind, pod.metadata.namespace, name)
        for volume in pod.spec.volumes
        for kind, name in _named(volume)
        if name and name != ROOT_CA
    }


def _named(volume: core.Volume) -> Iterator[tuple[type[Object], str]]:
    if volume.config_map is not None:
        yield core.ConfigMap, volume.config_map.name
    if volume.secret is not None:
        yield core.Secret, volume.secret.secret_name
    for source in volume.projected.sources if volume.projected is not None else ():
        if source.config_map is not None:
            yield core.ConfigMap, source.config_map.name
        if source.secret is not None:
            yield core.Secret, source.secret.name


class References:
    """Watches what is held; `changed` gets the object and the uids of the pods that show it."""

    def __init__(self, client: Client, *, clock: Clock, changed: Callable[[Reference, frozenset[str]], None]) -> None:
        self._client, self._clock, self._changed = client, clock, changed
        self._holders: dict[Reference, set[str]] = {}
        self._watches: dict[Reference, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def watched(self) -> list[Reference]:
        """What is watched now."""
        return list(self._watches)

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._watch_more()
                await asyncio.Event().wait()
        finally:
            self._tasks = None
            self._watches.clear()

    def hold(self, pod_uid: str, wanted: Iterable[Reference]) -> None:
        """Tell of changes of `wanted` for this pod, until `release`."""
        for reference in wanted:
            self._holders.setdefault(reference, set()).add(pod_uid)
        self._watch_more()

    def release(self, pod_uid: str) -> None:
        """The pod is gone."""
        for reference in [held for held, uids in self._holders.items() if pod_uid in uids]:
            self._holders[reference].discard(pod_uid)
            if not self._holders[reference]:
                del self._holders[reference]
                watch = self._watches.pop(reference, None)
                if watch is not None:
                    watch.cancel()
        self._watch_more()

    def _watch_more(self) -> None:
        for reference in self._holders:
            if self._tasks is None or len(self._watches) >= WATCHED:
                return
            if reference not in self._watches:
                self._watches[reference] = self._tasks.create_task(
                    supervise(f"watch of {reference.name}", self._informer(reference).run, self._clock)
                )

    def _informer(self, reference: Reference) -> Informer[Object]:
        kind, namespace, name = reference
        informer: Informer[Object] = Informer(
            self._client, kind, clock=self._clock, namespace=namespace, fields=f"metadata.name={name}"
        )

        def heard(old: Object | None, new: Object | None) -> None:
            if informer.synced:  # the first list only says what the pod has just been given
                self._changed(reference, frozenset(self._holders.get(reference, ())))

        informer.on_change(heard)
        return informer
