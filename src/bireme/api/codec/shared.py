"""Structs as caches hold them by the hundred thousand: what many have in common is held once.

Pods of a template have equal specs but for the node, equal labels and owners, and conditions that came about in
the same second. A pod as JSON is 3.5 KB; decoded by itself it takes 12 KB, of which some 2 KB are its own. So
parts are known by their bytes or by what they say, and pods share them: nobody may change in place what he got
from a cache (the rule for all that caches give out), `codec.json.copy` makes a copy of one's own.
"""

from collections.abc import Hashable
from copy import copy
from sys import intern
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import astuple, replace

from bireme.api.codec.json import decode
from bireme.api.errors import BadRequest
from bireme.api.kinds import core, meta
from bireme.api.kinds.meta import Object

K = TypeVar("K", bound=Object)
V = TypeVar("V")

MOST_PARTS = 65_536
NODE = b'"nodeName":"'
COMMA = ord(",")
STATUS = b',"status":{'
OWNERS, END_OF_OWNERS = b'"metadata":{"managedFields":[{', b'}],"'
LATEST = 128
"""Where the owners begin at the latest: behind a kind and a version."""


class _Pod(msgspec.Struct, rename="camel", gc=False):
    api_version: str = ""
    kind: str = ""
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: msgspec.Raw = msgspec.Raw(b"{}")


class Parts(dict[Hashable, Any]):
    """Parts that were met, by what tells them from others; all are forgotten when there are too many."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def keep(self, key: Hashable, value: V) -> V:
        """Know `value` by `key` from now on."""
        if len(self) >= self._limit:
            self.clear()
        self[key] = value
        return value


_specs = Parts(4096)
_placed = Parts(MOST_PARTS)
_parts = Parts(MOST_PARTS)
_known = _parts.get
_NONE: list[Any] = []
_pods = msgspec.json.Decoder(_Pod)
_pod_specs = msgspec.json.Decoder(core.PodSpec)
_pod_statuses = msgspec.json.Decoder(core.PodStatus)
_metas = msgspec.json.Decoder(meta.ObjectMeta)


def decode_shared(kind: type[K], data: bytes) -> K:
    """A struct from its JSON; a pod shares parts with others. Raises BadRequest."""
    if kind is core.Pod:
        try:
            return cast("K", _pod(data))
        except (msgspec.MsgspecError, BadRequest, RecursionError, UnicodeError):
            pass  # it holds nulls, or nothing sensible: `decode` tells which
    return decode(kind, data)


def decode_changed(old: core.Pod, before: bytes, after: bytes) -> core.Pod | None:
    """The pod of the bytes `after`, if little changed since it was `old`, of the bytes `before`; else None.

    For stored bytes, in which the owners of fields come first and the status last. What is beside these is the same
    where its bytes are; a name of a node at the end of the spec may have come to it. The resource version is `old`'s.
    """
    begin = after.rfind(STATUS)
    if begin < 0:
        return None
    rest, was = _rest(after[:begin]), _rest(before[: before.rfind(STATUS)])
    spec = old.spec
    if rest != was:
        common, node = _without_node(rest)
        if not node or common != was or spec.node_name:
            return None
        spec = _on_node(spec, node)
    try:
        # A status that is not the object's own is followed by more than one brace: that cannot be decoded.
        status = _pod_statuses.decode(memoryview(after)[begin + len(STATUS) - 1 : -1])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    _share_status(status)
    return core.Pod(api_version=old.api_version, kind=old.kind, metadata=copy(old.metadata), spec=spec, status=status)


def _rest(head: bytes) -> bytes:
    """What comes before the status, without what is surely of the owners; behind them, every object has a name."""
    begin = head.find(OWNERS, 0, LATEST)
    end = head.find(END_OF_OWNERS, begin) if begin >= 0 else -1
    return head if end < 0 else head[: begin + len(OWNERS)] + head[end:]


def _pod(data: bytes) -> core.Pod:
    parts = _pods.decode(data)
    metadata = _metas.decode(parts.metadata)
    _share_metadata(metadata)
    status = _pod_statuses.decode(parts.status)
    _share_status(status)
    return core.Pod(
        api_version=intern(parts.api_version),
        kind=intern(parts.kind),
        metadata=metadata,
        spec=_spec(bytes(parts.spec)),
        status=status,
    )


def _share_metadata(metadata: meta.ObjectMeta) -> None:
    metadata.namespace = intern(metadata.namespace)
    metadata.generate_name = intern(metadata.generate_name)
    metadata.creation_timestamp = intern(metadata.creation_timestamp)
    metadata.labels = _map(metadata.labels)
    metadata.annotations = _map(metadata.annotations)
    metadata.finalizers = metadata.finalizers or _NONE
    owners = metadata.owner_references
    metadata.owner_references = _list(("owners", *map(astuple, owners)), owners) if owners else _NONE


def _map(values: dict[str, V]) -> dict[str, V]:
    key = tuple(values.items())
    found = _known(key)
    return _parts.keep(key, values) if found is None else cast("dict[str, V]", found)


def _list(key: Hashable, values: list[V]) -> list[V]:
    found = _known(key)
    return _parts.keep(key, values) if found is None else cast("list[V]", found)


def _spec(raw: bytes) -> core.PodSpec:
    """The spec, known by its bytes without the name of the node, and by that name."""
    common, node = _without_node(raw)
    spec: core.PodSpec | None = _specs.get(common)
    if spec is None:
        spec = _specs.keep(common, _pod_specs.decode(common))
    return _on_node(spec, node) if node else spec


def _on_node(spec: core.PodSpec, node: str) -> core.PodSpec:
    """The spec with the name of a node, one for all that have it."""
    known: tuple[core.PodSpec, core.PodSpec] | None = _placed.get((id(spec), node))
    if known is None:
        # With the spec itself, so that its identity is nobody else's meanwhile.
        known = _placed.keep((id(spec), node), (spec, replace(spec, node_name=intern(node))))
    return known[1]


def _without_node(raw: bytes) -> tuple[bytes, str]:
    """The bytes without the node's name, which binding writes last, and that name."""
    begin = raw.rfind(NODE)
    if begin < 1 or raw[begin - 1] != COMMA:
        return raw, ""
    name = raw[begin + len(NODE) : -2]
    if raw[-2:] != b'"}' or b'"' in name or b"\\" in name:
        return raw, ""
    return raw[: begin - 1] + b"}", name.decode()


def _share_status(status: core.PodStatus) -> None:
    for name in _LISTS_OF_STATUS:
        if not getattr(status, name):
            setattr(status, name, _NONE)
    status.phase, status.qos_class = intern(status.phase), intern(status.qos_class)
    status.host_ip, status.start_time = intern(status.host_ip), intern(status.start_time)
    if len(status.host_ips) == 1:
        status.host_ips = _list(("host", status.host_ips[0].ip), status.host_ips)
    status.conditions = [_known(key := astuple(each)) or _parts.keep(key, each) for each in status.conditions]
    for container in status.container_statuses:
        _share_container(container)


def _share_container(status: core.ContainerStatus) -> None:
    status.name, status.image, status.image_id = intern(status.name), intern(status.image), intern(status.image_id)
    status.allocated_resources = _map(status.allocated_resources)
    status.allocated_resources_status = status.allocated_resources_status or _NONE
    status.volume_mounts = status.volume_mounts or _NONE
    resources, state = status.resources, status.state
    if resources is not None and not resources.claims:
        key: Hashable = ("resources", *resources.requests.items(), 0, *resources.limits.items())
        status.resources = _known(key) or _parts.keep(key, resources)
    if state is not None and (running := state.running) is not None and not (state.terminated or state.waiting):
        key = ("running", running.started_at)
        status.state = _known(key) or _parts.keep(key, state)


def _lists(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields of a struct that are lists."""
    fields = msgspec.structs.fields(kind)
    return tuple(field.name for field in fields if getattr(field.type, "__origin__", None) is list)


_LISTS_OF_STATUS = _lists(core.PodStatus)
