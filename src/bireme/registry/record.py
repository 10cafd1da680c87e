"""An object as it lies in memory: its JSON bytes under a small header.

The stored bytes begin with kind, apiVersion and metadata and hold no resource version: the store's revision
is the resource version, and it is put in on the way out (`stamped`) by joining three slices. The header
(namespace, name, labels, indexed fields) is decoded once for each write, so that lists and watches select
without parsing. Trees are made only for what is being changed. Design decision 6, bytes not trees.
"""

from collections.abc import Callable, Mapping
from functools import reduce
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

MOST_LABELS = 65_536
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


class Document:
    """A stored object as a verb gives it back: its bytes and the revision that wrote them.

    `protobuf` is for views: the bare message of the object at its revision, once somebody has asked for it.
    """

    __slots__ = ("prefix", "protobuf", "revision", "value")

    def __init__(self, value: bytes, revision: int, prefix: bytes) -> None:
        self.value = value
        self.revision = revision
        self.prefix = prefix
        self.protobuf = b""

    def stamped(self, revision: int | None = None) -> bytes:
        """The object's JSON with its resource version (or the one given) in its metadata."""
        return stamp(self.value, self.revision if revision is None else revision, self.prefix)

    def tree(self) -> Tree:
        """A new tree of the object, with its resource version."""
        tree = decode(self.value)
        if self.revision:
            tree["metadata"]["resourceVersion"] = str(self.revision)
        return tree


class Record(Document):
    """A document with its header: where it is, and what selects it."""

    __slots__ = ("fields", "key", "labels", "name", "namespace")

    def __init__(
        self,
        key: str,
        value: bytes,
        revision: int,
        *,
        prefix: bytes,
        namespace: str,
        name: str,
        labels: Mapping[str, str],
        fields: tuple[str, ...],
    ) -> None:
        super().__init__(value, revision, prefix)
        self.key = key
        self.namespace = namespace
        self.name = name
        self.labels = labels
        self.fields = fields


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
    metadata: Tree = {"managedFields": [_packed(owner) for owner in owners]} if owners else {}
    metadata.update((name, value) for name, value in said.items() if name not in _NOT_AS_SAID)
    head = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    head.update((name, value) for name, value in tree.items() if name not in head)
    try:
        return orjson.dumps(head)
    except TypeError as error:
        raise ApiError(f"the object cannot be written as JSON: {error}") from error


def _packed(owner: Tree) -> Tree:
    made = {name: value for name, value in owner.items() if name != "fieldsV1"}
    made["fieldsV1"] = managed_packing.packed(owner.get("fieldsV1") or {})
    return made


def decode(value: bytes) -> Tree:
    """The tree of stored bytes. What the owners own is shared with other trees: don't change that in place."""
    tree: Tree = orjson.loads(value)
    for owner in tree["metadata"].get("managedFields") or ():
        owner["fieldsV1"] = managed_packing.unpacked(owner["fieldsV1"])
    return tree


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
        self._paths = tuple(FIELD_PATHS.get(name, name) for name in resource.fields)
        self._unset = tuple(FIELD_UNSET.get(name, "") for name in resource.fields)
        self._decoder = msgspec.json.Decoder(_header_type(resource.plural, self._paths))
        self._readers = tuple(map(_reader_of, resource.fields, self._paths))
        self._alike = tuple(path not in _UNLIKE for path in self._paths)
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
        fields = tuple(
            [
                intern(_text(read(header), unset)) if alike else _text(read(header), unset)
                for read, unset, alike in zip(self._readers, self._unset, self._alike, strict=True)
            ]
            if self._readers
            else ()
        )
        metadata = header.metadata
        labels = metadata.labels
        if labels:
            told = tuple(labels.items())
            labels = self._labels.get(told) or self._labels.keep(told, labels)
        return Record(
            key,
            value,
            revision,
            prefix=self.prefix,
            namespace=intern(metadata.namespace),
            name=metadata.name,
            labels=labels or _NO_LABELS,
            fields=fields,
        )

    def _unreadable(self, key: str, value: bytes, revision: int) -> Record:
        """A record that can be listed and deleted by its name, and is selected by nothing else."""
        namespace, _, name = key.removeprefix(self._key_prefix).rpartition("/")
        return Record(
            key,
            value,
            revision,
            prefix=self.prefix,
            namespace=namespace,
            name=name,
            labels={},
            fields=self._unset,
        )


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
        kind: Any = Any if below is None else (_struct(f"{name}_{part}", below, []) | None)
        fields.append((part, kind, None))
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
