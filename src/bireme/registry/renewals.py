"""The write that a large cluster makes most: a lease is renewed by whoever renewed it last.

Nothing changes then but two times: the one in the spec, and the one in the entry of its manager, who is the latest
anyhow. Both are put into the stored bytes as they lie. Whatever is not plainly such a write goes the long way of
every other (`verbs.py`), which gives the same answers: the test plays random leases and bodies both ways.
"""

import functools
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from bireme.api import managed_packing
from bireme.api.managed_sets import holds
from bireme.api.times import rfc3339
from bireme.registry.admission.chain import Attributes
from bireme.registry.field_managers import UNKNOWN
from bireme.registry.kinds import Kind
from bireme.registry.options import Call
from bireme.registry.reader import document_of
from bireme.registry.record import Document
from bireme.registry.verbs import Raced, Registry

Tree = dict[str, Any]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_FIELD = rb'"(\w+)"\s*:\s*("[^"\\]*"|\d+)'
_FIELDS = re.compile(_FIELD)
_PATCH = re.compile(rb'\s*\{\s*"spec"\s*:\s*\{\s*(%b(?:\s*,\s*%b)*)\s*\}\s*\}\s*' % (_FIELD, _FIELD))
_OWNER = re.compile(
    rb'\{(?:"manager":"([^"\\]*)",)?"operation":"(\w+)","apiVersion":"([^"\\]*)","time":"([^"\\]*)",'
    rb'"fieldsType":"FieldsV1",(?:"subresource":"([^"\\]*)",)?"fieldsV1":"([^"\\]*)"\}'
)
_OWNERS, _SPEC, _RENEWED = b'"managedFields":[', b'"spec":{', b'"renewTime":"'
_GOING = b'"deletionTimestamp":'
RENEWED = ("f:spec", "f:renewTime")
MOST_NODES = 32_768
"""Of so many leases it is remembered what their owners have: each names its node, so that no two are alike."""


def is_lease(kind: Kind) -> bool:
    """Whether objects of the kind are renewed."""
    return kind.is_a("Lease", "coordination.k8s.io")


@dataclass(frozen=True, slots=True)
class Renewal:
    """The new time, and what else is said of the spec, as it would be stored: fine where it is so already."""

    moment: str
    beside: tuple[bytes, ...] = ()


def said_by_patch(body: bytes) -> Renewal | None:
    """What a patch says, merge or strategic, that may be a renewal."""
    found = _PATCH.fullmatch(body)
    if found is None:
        return None
    fields = _FIELDS.findall(found[1])
    said: dict[bytes, bytes] = dict(fields)
    moment = said.pop(b"renewTime", b"").strip(b'"').decode()
    if len(said) != len(fields) - 1 or _TIME.fullmatch(moment) is None:
        return None
    return Renewal(moment, tuple([b'"%b":%b' % pair for pair in said.items()]))


async def renew_by_patch(
    registry: Registry, kind: Kind, namespace: str, name: str, body: bytes, call: Call
) -> Document | None:
    """The lease as it is after a patch that only renews it; None where that has to go the long way."""
    said = said_by_patch(body)
    return await _renew(registry, kind, namespace, name, said, call) if said is not None else None


async def renew_by_update(
    registry: Registry, kind: Kind, namespace: str, name: str, tree: Tree, call: Call
) -> Document | None:
    """As `renew_by_patch`, for an object put in the place of the one that there is."""
    item = registry.store.get(kind.key(namespace, name))
    if item is None or call.duplicates:
        return None
    moment = said_by_update(tree, document_of(kind, item).tree())
    if not moment:
        return None
    return await _renew(registry, kind, namespace, name, Renewal(moment), call, revision=item.revision)


def said_by_update(tree: Tree, old: Tree) -> str:
    """The time of renewal in an object that says nothing else than the one that there is; else ""."""
    spec, metadata, before = tree.get("spec"), tree.get("metadata"), old.get("spec")
    if not (isinstance(spec, dict) and isinstance(metadata, dict) and isinstance(before, dict)):
        return ""
    moment = spec.get("renewTime")
    if not isinstance(moment, str):
        return ""
    told = {**tree, "spec": {**spec, "renewTime": before.get("renewTime")}}
    if "managedFields" not in metadata:
        old = {**old, "metadata": {name: said for name, said in old["metadata"].items() if name != "managedFields"}}
    try:
        same = _text(told) == _text(old)
    except TypeError:
        return ""
    return moment if same and _TIME.fullmatch(moment) else ""


def _text(tree: Tree) -> bytes:
    """Tells 1 from 1.0 and true, which are equal to Python."""
    return orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)


async def _renew(
    registry: Registry, kind: Kind, namespace: str, name: str, said: Renewal, call: Call, *, revision: int = 0
) -> Document | None:
    item = registry.store.get(kind.key(namespace, name))
    if item is None or call.dry_run or (revision and item.revision != revision):
        return None
    now, manager = rfc3339(registry.clock.now()), call.field_manager or UNKNOWN
    value = renewed(item.value, kind.prefix, manager, kind.resource.api_version, said, now=now)
    if value is None:
        return None
    attributes = Attributes("UPDATE", kind, namespace, name, None, None, call, revision=item.revision)
    if not registry.admission.is_quiet(attributes):
        return None
    try:
        return await registry.put(kind, item.key, value, expect=item.revision)
    except Raced:
        return None


def renewed(value: bytes, prefix: bytes, manager: str, api_version: str, said: Renewal, *, now: str) -> bytes | None:
    """The stored bytes of a lease with its new times; None where more changes than these."""
    begin = len(prefix)
    if not value.startswith(prefix + _OWNERS) or _GOING in value:
        return None
    last = _own_entry(value, begin + len(_OWNERS), manager.encode(), api_version.encode())
    if last is None or last[4].decode() > now:
        return None
    spec = value.find(_SPEC, last.end())
    place = value.find(_RENEWED, spec)
    if spec < 0 or place < 0 or value.count(_RENEWED) != 1 or not _holds(value[spec:], said.beside):
        return None
    place += len(_RENEWED)
    end = value.index(b'"', place)
    moment = said.moment.encode()
    if value[place:end] == moment or not _is_time(said.moment):
        return None
    return b"".join((value[: last.start(4)], now.encode(), value[last.end(4) : place], moment, value[end:]))


def _holds(spec: bytes, beside: tuple[bytes, ...]) -> bool:
    """Whether the fields stand in the spec, which is flat."""
    return all(field + b"," in spec or field + b"}" in spec for field in beside)


def _own_entry(value: bytes, place: int, manager: bytes, api_version: bytes) -> re.Match[bytes] | None:
    """The last owner's entry, where it is of that manager, who alone has the time of renewal; `place`: the first."""
    while True:
        entry = _OWNER.match(value, place)
        if entry is None:
            return None
        place = entry.end() + 1
        if value[entry.end() : place] == b"]":
            break
        if _has_renewal(entry[6]):
            return None
    own = (manager, b"Update", api_version, None)
    return entry if (entry[1], entry[2], entry[3], entry[5]) == own and _has_renewal(entry[6]) else None


@functools.lru_cache(MOST_NODES)
def _has_renewal(token: bytes) -> bool:
    """Whether a packed set of fields has the time of renewal."""
    return holds(orjson.loads(managed_packing.text_of(token)), RENEWED)


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
