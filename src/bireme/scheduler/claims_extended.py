"""Extended resources that device classes stand for: a container asks for `example.com/gpu: 2` and gets devices.

A class names such a resource in `extendedResourceName`; each also has `deviceclass.resource.kubernetes.io/NAME`. A
node that has the resource itself (by a device plugin) gives that; on others devices are allocated by one claim for
all of the pod's containers, which the scheduler makes when the pod is bound. Here stands what is asked of whom;
`claims_special.py` makes the claim. Source: the Kubernetes documentation on dynamic resource allocation (extended
resources), and the fields' descriptions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bireme.api.kinds import core, meta, resource
from bireme.api.resources import pod_requests
from bireme.client.informer import Informer
from bireme.ledger.columns import Amounts, Columns
from bireme.scheduler.interface import Lack, Mask

PREFIX = "deviceclass.resource.kubernetes.io/"
ANNOTATION = "resource.kubernetes.io/extended-resource-claim"

Rows = NDArray[np.bool_]


def containers_of(pod: core.Pod) -> Sequence[core.Container]:
    """All whose resources count, as the names of requests number them."""
    return (*pod.spec.init_containers, *pod.spec.containers)


def extended_of(pod: core.Pod) -> dict[str, int]:
    """How much the pod takes of each resource that has a domain."""
    if not any("/" in name for each in containers_of(pod) if each.resources for name in each.resources.requests):
        return {}
    return {name: amount for name, amount in pod_requests(pod.spec).items() if "/" in name}


def requests_for(pod: core.Pod, classes: Mapping[str, str]) -> list[resource.DeviceRequest]:
    """One request for each container and each of these resources that it asks for; `classes` stand for them."""
    found = [
        resource.DeviceRequest(
            name=name,
            exactly=resource.ExactDeviceRequest(
                device_class_name=classes[asked], allocation_mode="ExactCount", count=count
            ),
        )
        for name, _, asked, count in _asked(pod)
        if asked in classes
    ]
    return sorted(found, key=lambda request: request.name)


def mappings(pod: core.Pod, claim: resource.ResourceClaim) -> list[core.ContainerExtendedResourceRequest]:
    """Which request of the claim serves which resource of which container."""
    made = {request.name for request in (claim.spec.devices or resource.DeviceClaim()).requests}
    return [
        core.ContainerExtendedResourceRequest(container_name=container, resource_name=asked, request_name=name)
        for name, container, asked, _ in _asked(pod)
        if name in made
    ]


def _asked(pod: core.Pod) -> Iterator[tuple[str, str, str, int]]:
    """The request's name, container, resource and count, of all that might be devices."""
    for number, container in enumerate(containers_of(pod)):
        wanted = container.resources.requests if container.resources is not None else {}
        for place, name in enumerate(sorted(wanted)):
            amount = pod_requests(core.PodSpec(containers=[container])).get(name, 0) if "/" in name else 0
            if amount:
                yield f"container-{number}-request-{place}", container.name, name, amount


def claim_for(pod: core.Pod, requests: Sequence[resource.DeviceRequest]) -> resource.ResourceClaim:
    """The pod's special claim."""
    owner = meta.OwnerReference(
        api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid, controller=True
    )
    return resource.ResourceClaim(
        metadata=meta.ObjectMeta(
            generate_name=f"{pod.metadata.name}-extended-resources-",
            namespace=pod.metadata.namespace,
            annotations={ANNOTATION: "true"},
            owner_references=[owner],
        ),
        spec=resource.ResourceClaimSpec(devices=resource.DeviceClaim(requests=list(requests))),
    )


def owner_of_special(claim: resource.ResourceClaim) -> Iterable[str]:
    """The uid of the pod for whose extended resources the claim was made."""
    if claim.metadata.annotations.get(ANNOTATION) != "true":
        return ()
    return [owner.uid for owner in claim.metadata.owner_references if owner.controller]


def _insufficient(name: str, row: int) -> str:
    return f"Insufficient {name}"


@dataclass(frozen=True, slots=True)
class Variant:
    """Nodes on which the same of a pod's resources are devices, with the requests for these."""

    rows: Rows
    requests: tuple[resource.DeviceRequest, ...]


class ExtendedResources:
    """Which resources device classes stand for, and what that means for a pod and nodes.

    The resources are entered in `columns.delegated`, which the account of nodes passes over. `told` is called when
    they become others.
    """

    def __init__(self, classes: Informer[resource.DeviceClass], columns: Columns, told: Callable[[], None]) -> None:
        self._classes, self._columns, self._told = classes, columns, told
        self._class_of: dict[str, str] = {}
        classes.on_change(lambda old, new: self._read())

    def asked(self, pod: core.Pod) -> dict[str, int]:
        """How much the pod asks for in all of each resource that a class stands for."""
        if not self._class_of or not any(self._names(pod)):
            return {}
        return {name: amount for name, amount in pod_requests(pod.spec).items() if amount and name in self._class_of}

    def asks(self, pod: core.Pod) -> bool:
        """Whether the pod asks for any."""
        return bool(self._class_of) and any(self._names(pod))

    def _names(self, pod: core.Pod) -> Iterator[bool]:
        for container in containers_of(pod):
            if container.resources is not None:
                yield from (name in self._class_of for name in container.resources.requests)

    def variants(self, pod: core.Pod, asked: Iterable[str]) -> list[Variant]:
        """The nodes by which of these resources they have none of themselves."""
        names = sorted(asked)
        lacking = np.zeros(self._columns.capacity, dtype=np.int64)
        for bit, name in enumerate(names):
            have, _ = self._account(name)
            lacking |= (have == 0).astype(np.int64) << bit
        codes = np.unique(lacking[self._columns.live]).tolist()
        return [
            Variant(
                (lacking == code) & self._columns.live,
                tuple(requests_for(pod, {n: self._class_of[n] for bit, n in enumerate(names) if code >> bit & 1})),
            )
            for code in codes
        ]

    def requests_on(self, pod: core.Pod, node: str) -> tuple[resource.DeviceRequest, ...]:
        """The requests for those of the pod's resources of which the node has none itself."""
        row = self._columns.rows[node]
        lacking = [name for name in self.asked(pod) if not self._account(name)[0][row]]
        return tuple(requests_for(pod, {name: self._class_of[name] for name in lacking})) if lacking else ()

    def short(self, name: str, amount: int) -> Rows:
        """The nodes that have some of the resource themselves, but not so much that is free."""
        have, promised = self._account(name)
        rows: Rows = (have > 0) & (have - promised < amount)
        return rows

    def enough(self, asked: Mapping[str, int]) -> Iterator[Mask]:
        """The nodes that are not short of what they have themselves."""
        for name, amount in asked.items():
            short = self.short(name, amount)
            if short.any():
                yield Mask(~short, partial(_insufficient, name), Lack.AMOUNTS | Lack.NODE, curable=True)

    def is_short(self, pod: core.Pod, node: str, gone: Iterable[Mapping[str, int]] = ()) -> bool:
        """Whether a node has too little free of a resource that it has itself, once those are gone who took this."""
        row, left = self._columns.rows[node], list(gone)
        for name, amount in self.asked(pod).items():
            have, promised = self._account(name)
            freed = sum(each.get(name, 0) for each in left)
            if have[row] and int(have[row] - promised[row]) + freed < amount:
                return True
        return False

    def _account(self, name: str) -> tuple[Amounts, Amounts]:
        """What every node has itself of the resource, and what of it is promised."""
        index = self._columns.index(name)  # first of all: it may add a column
        return self._columns.allocatable[:, index], self._columns.promised[:, index]

    def _read(self) -> None:
        """Of classes that name one resource the newest counts, and of those made at once the first by name."""
        classes = sorted(self._classes.items(), key=lambda each: each.metadata.name, reverse=True)
        classes.sort(key=lambda each: each.metadata.creation_timestamp)
        found = {PREFIX + each.metadata.name: each.metadata.name for each in classes}
        found |= {each.spec.extended_resource_name: each.metadata.name for each in classes}
        found.pop("", None)
        if found != self._class_of:
            self._class_of = found
            self._columns.delegate(found)
            self._told()
