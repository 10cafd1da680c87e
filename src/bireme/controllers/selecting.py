"""Who selects a pod, found by the pod's own labels: nobody asks thousands of selectors at each change.

Each selector is filed under one pair of a key and a value that it asks for; a pod can only be meant by what is filed
under one of its pairs, or under none. Those are then asked in full.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from bireme.api import selectors
from bireme.api.kinds import apps, core
from bireme.api.kinds.meta import LabelSelector, Object
from bireme.client.informer import Key, key_of
from bireme.controllers import ownership
from bireme.controllers.informers import Informers

K = TypeVar("K", bound=Object)
S = TypeVar("S", apps.DaemonSet, apps.ReplicaSet, apps.StatefulSet)

SELECTS = "controllers/selects"
TEMPLATE = "pod-template-hash"


def filed(namespace: str, labels: Mapping[str, str]) -> Iterable[str]:
    """Index values: where something is filed that asks for all of these labels. A template's hash is its own."""
    if not labels:
        return (f"{namespace}/",)
    key = TEMPLATE if TEMPLATE in labels else min(labels)
    return (f"{namespace}/{key}={labels[key]}",)


def filed_selector(namespace: str, selector: LabelSelector | None) -> Iterable[str]:
    """The same for a selector as a structure; none selects nothing, and is not filed."""
    return filed(namespace, selector.match_labels) if selector is not None else ()


def may_select(cache: Informers, kind: type[K], *pods: core.Pod | None) -> list[K]:
    """The objects of `kind`, which has the index SELECTS, that may mean one of the pods; each once."""
    if not cache.of(kind).is_filed(SELECTS):
        return []
    values: dict[str, None] = {}
    for pod in pods:
        if pod is not None:
            namespace = pod.metadata.namespace
            values[f"{namespace}/"] = None
            for key, value in pod.metadata.labels.items():
                values[f"{namespace}/{key}={value}"] = None
    return [obj for value in values for obj in cache.find(kind, SELECTS, value)]


def adopters(cache: Informers, kind: type[S], pod: core.Pod | None) -> set[Key]:
    """Those of `kind` whose selector means the pod, as long as nobody has it."""
    if pod is None or ownership.controller_of(pod) is not None:
        return set()
    return {
        key_of(owner)
        for owner in may_select(cache, kind, pod)
        if selectors.LabelSelector.from_struct(owner.spec.selector).matches(pod.metadata.labels)
    }
