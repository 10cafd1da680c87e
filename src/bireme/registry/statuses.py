"""The write that nodes make most beside renewals: what has become of a pod, as a patch of its status.

Such a patch leaves metadata and spec as they are, and these are most of a pod. So they are cut out of the stored
bytes, the steps of every other write (`verbs.py`) are gone through with the slim object that is left, the status
and the owners of its fields, and what was cut out is put back as it lay. What thousands of pods have in common is
cast instead (`status_moulds.py`). Whatever is not plainly such a write goes the long way, which gives the same
bytes and answers: the test plays random pods and bodies both ways.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from bireme.api.validation.validate import has_rules
from bireme.registry.admission.chain import Attributes
from bireme.registry.apart import LARGE
from bireme.registry.kinds import Kind
from bireme.registry.options import Call
from bireme.registry.record import Document, packed_owners, unpack_owners
from bireme.registry.status_moulds import Changed, Slim, StatusMoulds
from bireme.registry.verbs import Raced, Registry

Tree = dict[str, Any]
Read = Callable[[bytes, Call], tuple[Any, Callable[[Tree], Tree]]]
"""From a body to what it says, and to what that makes of an object, which is left as it was. Raises ApiError."""

STATUS = "status"
_OWNERS = b'"managedFields":'
# What an update would take out of the metadata, or may end with the object's removal.
_ODD = (b'":{}', b'":[]', b'":null', b'"generateName":""', b'"namespace":""', b'"deletionTimestamp":')
_SPOKEN = frozenset(("metadata", STATUS))


def has_short_statuses(kind: Kind) -> bool:
    """Whether the status of such objects is a thing apart: nothing else follows from it or decides on it."""
    resource = kind.resource
    return resource.group == "" and resource.kind in ("Pod", "Node") and not has_rules(resource, STATUS)


class _Metadata(msgspec.Struct, rename="camel", gc=False):
    uid: str = ""
    managed_fields: msgspec.Raw = msgspec.Raw()


class _Stored(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    kind: str
    api_version: str
    metadata: _Metadata
    spec: msgspec.Raw
    status: msgspec.Raw


class _Spec(msgspec.Struct, rename="camel", gc=False):
    node_name: str = ""


_stored, _spec = msgspec.json.Decoder(_Stored), msgspec.json.Decoder(_Spec)


class Cut(msgspec.Struct, frozen=True):
    """A stored object taken apart: `slim` is what a patch of its status is about, the rest stays as it lies."""

    slim: Slim
    uid: str
    node: str
    prefix: bytes
    metadata: bytes
    spec: bytes

    def joined(self, slim: Slim) -> bytes:
        """The stored bytes with that in the place of the slim object."""
        pieces = (
            self.prefix,
            _OWNERS,
            slim.owners,
            b",",
            self.metadata,
            b'},"spec":',
            self.spec,
            b',"status":',
            slim.status,
            b"}",
        )
        return b"".join(pieces)


def cut(value: bytes, prefix: bytes) -> Cut | None:
    """Take a stored object apart; None where it lies otherwise, or an update changes more than its status."""
    try:
        stored = _stored.decode(value)
        node = _spec.decode(stored.spec).node_name
    except msgspec.MsgspecError:
        return None
    owners, spec, status = bytes(stored.metadata.managed_fields), bytes(stored.spec), bytes(stored.status)
    head, tail = b"%b%b%b," % (prefix, _OWNERS, owners), b'},"spec":%b,"status":%b}' % (spec, status)
    metadata = value[len(head) : -len(tail)]
    if not (value.startswith(head) and value.endswith(tail)) or owners[:2] != b"[{" or status[:2] in (b"", b"nu"):
        return None
    if any(odd in metadata for odd in _ODD):
        return None
    return Cut(Slim(owners, status), stored.metadata.uid, node, prefix, metadata, spec)


class Statuses:
    """Patches statuses of the objects of one registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._moulds = StatusMoulds()

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: bytes, media: str, call: Call, read: Read
    ) -> Document | None:
        """The object after a merge patch of its status; None where that has to go the long way. Raises ApiError."""
        registry = self._registry
        item = registry.store.get(kind.key(namespace, name))
        if (
            item is None
            or call.dry_run
            or call.large
            or len(item.value) > LARGE
            or registry.has_rules(kind.stored.kind)
        ):
            return None
        parts = cut(item.value, kind.prefix)
        if parts is None:
            return None
        now = registry.field_managers.now()

        def work_out(slim: Slim, text: bytes, call: Call, now: str) -> Changed | None:
            return self._changed(kind, slim, text, call, read, now=now, uid=parts.uid, version=str(item.revision))

        made = self._moulds.changed((kind, media), parts.slim, parts.uid, body, call, work_out, now=now)
        if made is None:
            return None
        old = {**made.old, "spec": {"nodeName": parts.node}}
        new = {**made.new, "spec": old["spec"]}
        attributes = Attributes("UPDATE", kind, namespace, name, new, old, call, STATUS, revision=item.revision)
        if not registry.admission.is_quiet(attributes):
            return None
        if made.slim is None:
            return await registry.document(kind, item)
        try:
            return await registry.put(kind, item.key, parts.joined(made.slim), expect=item.revision)
        except Raced:
            return None

    def _changed(
        self, kind: Kind, slim: Slim, body: bytes, call: Call, read: Read, *, now: str, uid: str, version: str
    ) -> Changed | None:
        """What a slim object is after a patch; None where that speaks of more. Raises ApiError."""
        patch, change = read(body, call)
        if not _is_meant(patch, uid=uid, version=version):
            return None
        registry, owners = self._registry, orjson.loads(slim.owners)
        tokens = unpack_owners(owners)
        old: Tree = {"metadata": {"managedFields": owners}, STATUS: orjson.loads(slim.status)}
        made = registry.intake.take(kind, change({"metadata": {}, STATUS: old[STATUS]}), call)
        registry.intake.fill(kind, made, subresource=STATUS)
        new: Tree = {"metadata": {}, STATUS: made[STATUS]}
        registry.field_managers.updated(kind, new, old, call, subresource=STATUS, now=now)
        if new == old:
            return Changed(None, new, old)
        kept = new["metadata"].get("managedFields")
        if not kept:
            return None
        return Changed(Slim(orjson.dumps(packed_owners(kept, tokens)), orjson.dumps(new[STATUS])), new, old)


def _is_meant(patch: Any, *, uid: str, version: str) -> bool:
    """Whether a patch speaks of the status, and else says no more than which object it means: this one."""
    if not isinstance(patch, dict) or not patch.keys() <= _SPOKEN or not isinstance(patch.get(STATUS), dict):
        return False
    known, said = {"uid": uid, "resourceVersion": version}, patch.get("metadata", {})
    return isinstance(said, dict) and all(name in known and text == known[name] for name, text in said.items())
