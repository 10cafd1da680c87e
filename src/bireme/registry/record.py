"""An object as it lies in memory: its JSON bytes under a small header.

The stored bytes begin with kind, apiVersion and metadata and hold no resource version: the store's revision
is the resource version, and it is put in on the way out (`stamped`) by joining three slices. The header
(namespace, name, labels, indexed fields) is decoded once for each write, so that lists and watches select
without parsing. Trees are made only for what is being changed. Design decision 6, bytes not trees.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import attrgetter, itemgetter
from sys import intern
from typing import Any

import msgspec
import orjson
import structlog

from bireme.api import managed_packing
from bireme.api.codec.shared import Parts
from bireme.api.errors import ApiError
from bireme.api.scheme import Resource

log = structlog.get_logger(__name__)

Tree = dict[str, Any]

MOST_LABELS = MOST_FIELDS = 65_536
_NO_LABELS: dict[str, str] = {}
# Fields that each object has for itself.
_UNLIKE = frozenset({"metadata.name", "status.podIP", "status.podIPs", "involvedObject.name", "involvedObject.uid"})

# Selectable names that are not the path of a field, and what an unset field reads as.
FIELD_PATHS = {"status.successful": "status.succeeded", "source": "source.component"}
FIELD_INSTEAD = {"source": "reportingComponent"}  # what is read where a field says nothing
FIELD_UNSET = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "status.successful": "0",
}


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
    """A document with its header: where it is, and what selects it. What many have in common is held once."""

    key: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    fields: tuple[str, ...]


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


def packed_owners(owners: Iterable[Tree]) -> list[Tree]:
    """The owners of fields as they are stored."""
    return [_packed(owner) for owner in owners]


def _packed(owner: Tree) -> Tree:
    made = {name: value for name, value in owner.items() if name != "fieldsV1"}
    made["fieldsV1"] = managed_packing.packed(owner.get("fieldsV1") or {})
    return made


def decode(value: bytes) -> Tree:
    """The tree of stored bytes. What the owners own is shared with other trees: don't change that in place."""
    tree: Tree = orjson.loads(value)
    unpack_owners(tree["metadata"].get("managedFields") or ())
    return tree


def unpack_owners(owners: Iterable[Tree]) -> None:
    """Spell out, in place, what the owners own."""
    for owner in owners:
        owner["fieldsV1"] = managed_packing.unpacked(owner["fieldsV1"])


def labels_of(value: bytes) -> dict[str, str]:
    """The labels in stored bytes, read without the rest."""
    return _labels.decode(value).metadata.labels or {}


def prefix_of(resource: Resource) -> bytes:
    """What the stored bytes of every object of `resource` begin with."""
    return f'{{"kind":"{resource.kind}","apiVersion":"{resource.api_version}","metadata":{{'.encode()


class HeaderReader:
    """Reads the header of a resource's objects with a decoder compiled for its selectable fields."""

    def __init__(self, resource: Resource) -> None:
        self.field_names = resource.fields
        paths = tuple(FIELD_PATHS.get(name, name) for name in resource.fields)
        self._unset = tuple(FIELD_UNSET.get(name, "") for name in resource.fields)
        self._decoder = msgspec.json.Decoder(_header_type(resource.plural, paths))
        self._fields = _Fields(resource.fields, paths, self._unset)
        self._labels: Parts = Parts(MOST_LABELS)
        self._key_prefix = resource.key_prefix
        self.prefix = prefix_of(resource)

    def read(self, key: str, value: bytes, revision: int) -> Record:
        """The record of `value`, as `key` holds it at `revision`."""
        try:
            header = self._decoder.decode(value)
        except msgspec.MsgspecError:
            log.exception("stored object cannot be read", key=key, revision=revision)
            return self._unreadable(key, value, revision)
        # What many have in common is held once: of the 300,000 pods of a cluster that is some 250 MB less.
        metadata = header.metadata
        labels = metadata.labels
        if labels:
            told = tuple(labels.items())
            labels = self._labels.get(told) or self._labels.keep(told, labels)
        return Record(
            value,
            revision,
            self.prefix,
            key=key,
            namespace=intern(metadata.namespace),
            name=metadata.name,
            labels=labels or _NO_LABELS,
            fields=self._fields.of(header),
        )

    def _unreadable(self, key: str, value: bytes, revision: int) -> Record:
        """A record that can be listed and deleted by its name, and is selected by nothing else."""
        namespace, _, name = key.removeprefix(self._key_prefix).rpartition("/")
        return Record(
            value, revision, self.prefix, key=key, namespace=namespace, name=name, labels={}, fields=self._unset
        )


class _Fields:
    """The selectable fields of headers, as text. Objects that say the same share what they say, but for `_UNLIKE`.

    What is read at a path has one type, so that values that are equal read the same.
    """

    def __init__(self, names: Sequence[str], paths: Sequence[str], unset: Sequence[str]) -> None:
        self._readers = list(zip(map(_reader_of, names, paths), unset, strict=True))
        own = [number for number, path in enumerate(paths) if path in _UNLIKE]
        alike = [number for number, path in enumerate(paths) if path not in _UNLIKE]
        self._own = [self._readers[number] for number in own]
        said = [
            *(paths[number] for number in alike),
            *(FIELD_INSTEAD[name] for name in names if name in FIELD_INSTEAD),
        ]
        self._said = attrgetter(*said) if said else None
        order = [*alike, *own]
        self._alike = [self._readers[number] for number in alike]
        self._in_order = itemgetter(*(order.index(number) for number in range(len(paths)))) if own and alike else None
        self._known: Parts = Parts(MOST_FIELDS)

    def of(self, header: Any) -> tuple[str, ...]:
        """The fields of a header, in their order."""
        if self._said is None:
            return _texts(header, self._own)
        try:
            said = self._said(header)
            known: tuple[str, ...] | None = self._known.get(said)
        except (AttributeError, TypeError):  # a branch is null, or a field no plain value
            return _texts(header, self._readers)
        if known is None:
            known = self._known.keep(said, tuple(map(intern, _texts(header, self._alike))))
        return known if self._in_order is None else self._in_order(known + _texts(header, self._own))


def _texts(header: Any, readers: Iterable[tuple[Callable[[Any], Any], str]]) -> tuple[str, ...]:
    return tuple([_text(read(header), unset) for read, unset in readers])


class _Metadata(msgspec.Struct, gc=False):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct, gc=False):
    metadata: _Metadata


_labels = msgspec.json.Decoder(_Labelled)


def _header_type(plural: str, paths: tuple[str, ...]) -> type[Any]:
    branches: dict[str, Any] = {}
    for path in paths:
        parts = path.split(".")
        node = reduce(lambda at, part: at.setdefault(part, {}), parts[:-1], branches)
        node.setdefault(parts[-1], None)
    return _struct(plural, branches, [("metadata", _Metadata, msgspec.field(default_factory=_Metadata))])


def _struct(name: str, branches: Mapping[str, Any], first: list[Any]) -> type[Any]:
    fields = list(first)
    for part, below in branches.items():
        if part == "metadata":
            continue
        if below is None:
            fields.append((part, Any, None))
            continue
        kind: Any = _struct(f"{name}_{part}", below, [])
        fields.append((part, kind | None, msgspec.field(default_factory=kind)))
    return msgspec.defstruct(f"Header_{name}", fields, gc=False)


def _attribute(path: str) -> Callable[[Any], Any]:
    parts = path.split(".")

    def read(header: Any) -> Any:
        for part in parts:
            if header is None:
                return None
            header = getattr(header, part)
        return header

    return read


def _reader_of(name: str, path: str) -> Callable[[Any], Any]:
    read, instead = _attribute(path), FIELD_INSTEAD.get(name)
    if instead is None:
        return read
    other = _attribute(instead)
    return lambda header: read(header) or other(header)


def _text(value: Any, unset: str) -> str:
    if value is None:
        return unset
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_text(item.get("ip") if isinstance(item, dict) else item, "") for item in value)
    return str(value)
