"""What the server serves at this moment, custom kinds and those of other servers too, as aggregated discovery says.

For controllers that deal with every kind there is. Source: apidiscovery.k8s.io/v2.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bireme.api.scheme import Resource
from bireme.client.client import Client

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(slots=True)
class Served:
    """The resources, each in the version that its group prefers; group versions that could not be asked."""

    resources: list[Resource] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class _Kind(msgspec.Struct):
    kind: str = ""


class _Resource(msgspec.Struct, rename="camel"):
    resource: str
    response_kind: _Kind | None = None
    scope: str = ""
    verbs: list[str] = []


class _Version(msgspec.Struct):
    version: str
    freshness: str = "Current"
    resources: list[_Resource] = []


class _Name(msgspec.Struct):
    name: str = ""


class _Group(msgspec.Struct):
    metadata: _Name = msgspec.field(default_factory=_Name)
    versions: list[_Version] = []


class _Groups(msgspec.Struct):
    items: list[_Group] = []


_groups = msgspec.json.Decoder(_Groups)


async def discover(client: Client, *, verbs: Collection[str] = ()) -> Served:
    """The resources that have all these verbs."""
    served = Served()
    for path in ("/api", "/apis"):
        reply = await client.request("GET", path, headers={"accept": AGGREGATED})
        for group in _groups.decode(reply.body).items:
            _take(group, frozenset(verbs), served)
    return served


def _take(group: _Group, verbs: frozenset[str], served: Served) -> None:
    name = group.metadata.name
    seen: set[str] = set()
    for version in group.versions:
        if version.freshness == "Stale":
            served.failed.append(f"{name}/{version.version}" if name else version.version)
        for said in version.resources:
            if said.resource in seen or not verbs.issubset(said.verbs):
                continue
            seen.add(said.resource)
            served.resources.append(_resource(name, version.version, said))


def _resource(group: str, version: str, said: _Resource) -> Resource:
    kind = said.response_kind.kind if said.response_kind is not None else ""
    namespaced = said.scope == "Namespaced"
    more: dict[str, Any] = {"verbs": frozenset(said.verbs)}
    return Resource(group, version, kind, said.resource, "", namespaced, **more)
