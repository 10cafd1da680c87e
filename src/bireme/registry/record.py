"""An object as it lies in memory: its JSON bytes under a small header.

The stored bytes begin with kind, apiVersion and metadata and hold no resource version: the store's revision
is the resource version, and it is put in on the way out (`stamped`) by joining three slices. The header
(namespace, name, labels, indexed fields) is decoded once for each write (`headers.py`), so that lists and watches
select without parsing. Trees are made only for what is being changed. Design decision 6, bytes not trees.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

from bireme.api import managed_packing
from bireme.api.errors import ApiError
from bireme.api.kinds import core
from bireme.api.scheme import Resource

Tree = dict[str, Any]
Tokens = Mapping[int, str]
_NO_TOKENS: Tokens = {}


class Document(msgspec.Struct, eq=False, gc=False):
    """A stored object as a verb gives it back: its bytes and the revision that wrote them.

    `protobuf` is for views: the bare message of the object at its revision, once somebody has asked for it.
    """

    value: bytes
    revision: int
    prefix: bytes
    protobuf: bytes = b""

    def stamped(self, revision: int | None = None) -> bytes:
        """The object's JSON with its resource version (or the one given) in its metadata."""
        return stamp(self.value, self.revision if revision is None else revision, self.prefix)

    def tree(self) -> Tree:
        """A new tree of the object, with its resource version."""
        tree = decode(self.value)
        if self.revision:
            tree["metadata"]["resourceVersion"] = str(self.revision)
        return tree


class Record(Document, eq=False, gc=False, kw_only=True):
    """A document with its header: where it is, and what selects it. What many have in common is held once.

    `struct` is what those who are told by calls were told, as long as the record is the newest.
    """

    key: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    fields: tuple[str, ...]
    struct: core.Pod | None = None


_OWNERS = b'"managedFields":['
_FIELDS = b'"fieldsV1":"'
_NOT_AS_SAID = ("resourceVersion", "managedFields")


def stamp(value: bytes, revision: int, prefix: bytes) -> bytes:
    """`value` as clients see it: with the resource version in its metadata (none for a dry run), and its owners."""
    if not value.startswith(prefix):
        tree = decode(value)
        if revision:
            tree["metadata"]["resourceVersion"] = str(revision)
        return orjson.dumps(tree)
    begin = len(prefix)
    version = b'"resourceVersion":"%d",' % revision if revision else b""
    if not value.startswith(_OWNERS, begin):
        return b"%b%b%b" % (prefix, version, value[begin:]) if revision else value
    pieces = [prefix, version]
    while True:
        # The set is the last field of each owner, so that what follows it tells whether it was the last one.
        token = value.index(_FIELDS, begin) + len(_FIELDS)
        end = value.index(b'"', token)
        pieces += (value[begin : token - 1], managed_packing.text_of(value[token:end]))
        begin = end + 1
        if value[begin : begin + 2] != b"},":
            break
    pieces.append(value[begin:])
    return b"".join(pieces)


def encode(resource: Resource, tree: Mapping[str, Any]) -> bytes:
    """The bytes to store: kind, apiVersion and metadata first, no resource version, owners in few bytes."""
    said = tree["metadata"]
    owners = said.get("managedFields")
    metadata: Tree = {"managedFields": packed_owners(owners)} if owners else {}
    metadata.update((name, value) for name, value in said.items() if name not in _NOT_AS_SAID)
    head = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    head.update((name, value) for name, value in tree.items() if name not in head)
    try:
        return orjson.dumps(head)
    except TypeError as error:
        raise ApiError(f"the object cannot be written as JSON: {error}") from error


def packed_owners(owners: Iterable[Tree], known: Tokens = _NO_TOKENS) -> list[Tree]:
    """The owners of fields as they are stored; `known` are the tokens of sets that have not changed, by identity."""
    return [_packed(owner, known) for owner in owners]


def _packed(owner: Tree, known: Tokens) -> Tree:
    made = {name: value for name, value in owner.items() if name != "fieldsV1"}
    fields = owner.get("fieldsV1") or {}
    made["fieldsV1"] = known.get(id(fields)) or managed_packing.packed(fields)
    return made


def decode(value: bytes) -> Tree:
    """The tree of stored bytes. What the owners own is shared with other trees: don't change that in place."""
    tree: Tree = orjson.loads(value)
    unpack_owners(tree["metadata"].get("managedFields") or ())
    return tree


def unpack_owners(owners: Iterable[Tree]) -> Tokens:
    """Spell out, in place, what the owners own; the tokens of the sets, to be used while these are held."""
    known: dict[int, str] = {}
    for owner in owners:
        token = owner["fieldsV1"]
        owner["fieldsV1"] = fields = managed_packing.unpacked(token)
        known[id(fields)] = token
    return known


def labels_of(value: bytes) -> dict[str, str]:
    """The labels in stored bytes, read without the rest."""
    return _labels.decode(value).metadata.labels or {}


def prefix_of(resource: Resource) -> bytes:
    """What the stored bytes of every object of `resource` begin with."""
    return f'{{"kind":"{resource.kind}","apiVersion":"{resource.api_version}","metadata":{{'.encode()


class Metadata(msgspec.Struct, gc=False):
    """What a header holds of an object's metadata."""

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct, gc=False):
    metadata: Metadata


_labels = msgspec.json.Decoder(_Labelled)
