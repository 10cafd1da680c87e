"""From the endpoints that a service should have to changes of its EndpointSlices, moving as few as possible.

Every reader of a slice gets all of it with each change, so an endpoint stays in the slice it is in, changed
slices are filled up first, and a slice is made only where no room is left. Plain functions; shared by the
controllers of services with and without a selector.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from bireme.api.kinds import discovery, meta
from bireme.api.kinds.meta import Object
from bireme.controllers import ownership
from bireme.controllers.changes import Change, Create, Delete, Update
from bireme.controllers.hashing import short_hash
from bireme.controllers.service_endpoints import LAST_CHANGE, PodPort

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"

Group = tuple[str, tuple[PodPort, ...]]
"""Address type and ports: what all endpoints of one slice have in common."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The slices' owner, labels, the time of the last change, and endpoints by group."""

    owner: Object
    labels: Mapping[str, str]
    changed: str
    groups: Mapping[Group, Sequence[discovery.Endpoint]]
    most: int = 100
    address_types: Sequence[str] = ("IPv4",)


@dataclass(slots=True)
class _Draft:
    """A slice as it is to be; `there` is the one that exists, `gone` if it is not to be."""

    endpoints: list[discovery.Endpoint]
    there: discovery.EndpointSlice | None = None
    changed: bool = False
    gone: bool = False


@dataclass(slots=True)
class _Names:
    """Names for new slices: computed, so that a late cache cannot make one twice."""

    owner: Object
    taken: set[str]
    _number: int = field(default=0)

    def next(self) -> str:
        while True:
            name = f"{self.owner.metadata.name}-{short_hash(self.owner.metadata.uid, collisions=self._number)[:5]}"
            self._number += 1
            if name not in self.taken:
                self.taken.add(name)
                return name


def plan(wanted: Wanted, there: Sequence[discovery.EndpointSlice]) -> list[Change]:
    """The changes that make the slices hold the wanted endpoints; at least one slice for each address type."""
    by_group: dict[Group, list[discovery.EndpointSlice]] = defaultdict(list)
    for item in there:
        by_group[group_of(item)].append(item)
    groups = dict(wanted.groups)
    for address_type in wanted.address_types:
        if not any(group[0] == address_type for group in groups):
            groups[address_type, ()] = ()
    names = _Names(wanted.owner, {item.metadata.name for item in there})
    creates: list[Change] = []
    others: list[Change] = []
    for group in [*groups, *(group for group in by_group if group not in groups)]:
        for draft in _fill(groups.get(group), by_group.get(group, ()), wanted.most):
            change = _change(wanted, group, draft, names)
            if change is not None:
                (creates if isinstance(change, Create) else others).append(change)
    return [*creates, *others]  # an endpoint that moves is in two slices for a moment, never in none


def group_of(item: discovery.EndpointSlice) -> Group:
    """Address type and ports of a slice."""
    ports = ((p.name, p.protocol or "TCP", p.port or 0, p.app_protocol) for p in item.ports)
    return item.address_type, tuple(sorted(ports))


def _identity(endpoint: discovery.Endpoint) -> tuple[str, str]:
    address = endpoint.addresses[0] if endpoint.addresses else ""
    return address, endpoint.target_ref.uid if endpoint.target_ref else ""


def _fill(
    endpoints: Sequence[discovery.Endpoint] | None, there: Sequence[discovery.EndpointSlice], most: int
) -> list[_Draft]:
    left = {_identity(item): item for item in endpoints or ()}
    drafts = []
    for item in there:
        kept = [fresh for old in item.endpoints if (fresh := left.pop(_identity(old), None)) is not None]
        drafts.append(_Draft(kept, item, changed=kept != item.endpoints))
    rest = list(left.values())
    for draft in sorted(drafts, key=lambda draft: (not draft.changed, -len(draft.endpoints))):
        room = most - len(draft.endpoints)
        if rest and room > 0:
            draft.endpoints.extend(rest[:room])
            draft.changed = True
            del rest[:room]
    drafts += [_Draft(rest[start : start + most]) for start in range(0, len(rest), most)]
    if endpoints is not None and not drafts:
        drafts.append(_Draft([]))  # the placeholder
    empty = [draft for draft in drafts if not draft.endpoints]
    for draft in empty[1 if endpoints is not None and not endpoints else 0 :]:
        draft.gone = True
    return drafts


def _change(wanted: Wanted, group: Group, draft: _Draft, names: _Names) -> Change | None:
    there = draft.there
    if there is not None and draft.gone:
        return Delete(there)
    labels = dict(wanted.labels)
    if there is not None:
        if not draft.changed and there.metadata.labels == labels:
            return None
        annotations = {**there.metadata.annotations, LAST_CHANGE: wanted.changed}
        metadata = msgspec.structs.replace(there.metadata, labels=labels, annotations=annotations)
        return Update(msgspec.structs.replace(there, metadata=metadata, endpoints=draft.endpoints))
    address_type, ports = group
    return Create(
        discovery.EndpointSlice(
            metadata=meta.ObjectMeta(
                name=names.next(),
                generate_name=f"{wanted.owner.metadata.name}-",
                namespace=wanted.owner.metadata.namespace,
                labels=labels,
                annotations={LAST_CHANGE: wanted.changed},
                owner_references=[ownership.reference_to(wanted.owner)],
            ),
            address_type=address_type,
            ports=[
                discovery.EndpointPort(name=name, protocol=protocol, port=number, app_protocol=application)
                for name, protocol, number, application in ports
            ],
            endpoints=draft.endpoints,
        )
    )
