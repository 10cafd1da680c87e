"""Lists of pods read for the scheduler's eyes: what matters for places, and the spec once for all that ask the same.

A whole pod is ten times as dear to read, and a cluster has many of few kinds.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from bireme.api.codec.json import decode
from bireme.api.kinds import core, meta
from bireme.client.client import Client

PAGE = 1000
NULL = msgspec.Raw(b"null")
ENDED = ("Succeeded", "Failed")
VOLUMES = ((b',"volumes":', "volumes"), (b',"resourceClaims":', "resource_claims"))
GROUPS = (
    (b',"schedulingGroup":', "scheduling_group"),
    (b',"schedulingGates":', "scheduling_gates"),
    (b',"schedulerName":', "scheduler_name"),
)


class _Meta(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int | None = None
    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class _Container(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    image: msgspec.Raw = NULL
    resources: msgspec.Raw = NULL
    ports: msgspec.Raw = NULL
    restart_policy: msgspec.Raw = NULL


class _Wishes(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    containers: list[_Container] = []
    init_containers: list[_Container] | None = None
    node_selector: msgspec.Raw = NULL
    affinity: msgspec.Raw = NULL
    tolerations: msgspec.Raw = NULL
    topology_spread_constraints: msgspec.Raw = NULL
    overhead: msgspec.Raw = NULL
    resources: msgspec.Raw = NULL
    priority: int | None = None


class _Spec(_Wishes, rename="camel", gc=False):
    node_name: str = ""
    volumes: msgspec.Raw = NULL
    resource_claims: msgspec.Raw = NULL
    scheduling_group: msgspec.Raw = NULL
    scheduling_gates: msgspec.Raw = NULL
    scheduler_name: str = ""


class _Status(msgspec.Struct, rename="camel", gc=False):
    phase: str = ""
    start_time: str | None = None
    nominated_node_name: str = ""


class _Pod(msgspec.Struct, gc=False):
    metadata: _Meta
    spec: _Spec
    status: _Status = msgspec.field(default_factory=_Status)


class _ListMeta(msgspec.Struct):
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[_Pod] | None = None


_pages = msgspec.json.Decoder(_Page)
_encode = msgspec.json.Encoder().encode


class PodReader:
    """Pods from pages of a list. Their specs are shared and have no node; `with_volumes` keeps volumes and claims,
    `with_groups` which group a pod is of and what holds it back."""

    def __init__(self, *, with_volumes: bool = False, with_groups: bool = False) -> None:
        self._more = (*(VOLUMES if with_volumes else ()), *(GROUPS if with_groups else ()))
        self._specs: dict[bytes, core.PodSpec] = {}

    def read(self, body: bytes) -> tuple[list[tuple[core.Pod, str]], str]:
        """The pods that are not at their end, each with its node or ""; and how the list goes on."""
        page = _pages.decode(body)
        return [
            self._pod(each) for each in page.items or () if each.status.phase not in ENDED
        ], page.metadata.continue_

    def _pod(self, each: _Pod) -> tuple[core.Pod, str]:
        about, spec, status = each.metadata, each.spec, each.status
        pod = core.Pod(
            metadata=meta.ObjectMeta(
                name=about.name,
                namespace=about.namespace,
                uid=about.uid,
                generation=about.generation,
                labels=about.labels or {},
                deletion_timestamp=about.deletion_timestamp or "",
            ),
            spec=self._spec(spec),
            status=core.PodStatus(
                phase=status.phase,
                start_time=status.start_time or "",
                nominated_node_name=status.nominated_node_name,
            ),
        )
        return pod, spec.node_name

    def _spec(self, spec: _Spec) -> core.PodSpec:
        wishes: dict[str, Any] = {name: getattr(spec, name) for name in _Wishes.__struct_fields__}
        key = _encode(_Wishes(**wishes))
        for name, field in self._more:
            if (value := getattr(spec, field)) not in ("", NULL):
                key = key[:-1] + name + (bytes(value) if isinstance(value, msgspec.Raw) else _encode(value)) + b"}"
        known = self._specs.get(key)
        if known is None:
            known = self._specs[key] = decode(core.Pod, b'{"spec":' + key + b"}").spec
        return known


async def pod_pages(client: Client, reader: PodReader) -> AsyncIterator[Iterable[tuple[core.Pod, str]]]:
    """All pods of the cluster, some at a time, each with its node. Raises ApiError."""
    more = ""
    while True:
        query = [("limit", str(PAGE)), ("fieldSelector", ",".join(f"status.phase!={phase}" for phase in ENDED))]
        reply = await client.request("GET", "/api/v1/pods", query=[*query, ("continue", more)] if more else query)
        pods, more = reader.read(reply.body)
        yield pods
        if not more:
            return
