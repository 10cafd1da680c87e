"""The headers of stored objects: where each is, its labels, and the fields that selectors may name.

A header is read from the stored bytes by a decoder that skips all the rest, or from the struct of the object where
somebody has need of that too. What many objects have in common is held once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import attrgetter, itemgetter
from sys import intern
from typing import Any

import msgspec
import structlog

from bireme.api.codec.shared import Parts
from bireme.api.kinds import core
from bireme.api.scheme import Resource
from bireme.registry.record import Metadata, Record, prefix_of

log = structlog.get_logger(__name__)

MOST_LABELS = MOST_FIELDS = 65_536
_NO_LABELS: dict[str, str] = {}
# Fields that each object has for itself.
_UNLIKE = frozenset({"status.podIP", "status.podIPs", "involvedObject.name", "involvedObject.uid"})

# Selectable names that are not the path of a field, and what an unset field reads as.
FIELD_PATHS = {"status.successful": "status.succeeded", "source": "source.component"}
FIELD_INSTEAD = {"source": "reportingComponent"}  # what is read where a field says nothing
FIELD_UNSET = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "status.successful": "0",
}


class HeaderReader:
    """Reads the header of a resource's objects with a decoder compiled for its selectable fields."""

    def __init__(self, resource: Resource) -> None:
        self.field_names = resource.fields
        paths = tuple(FIELD_PATHS.get(name, name) for name in resource.fields)
        self._unset = tuple(FIELD_UNSET.get(name, "") for name in resource.fields)
        self._decoder = msgspec.json.Decoder(_header_type(resource.plural, paths))
        self._fields = _Fields(resource.fields, paths, self._unset)
        self.reads_structs = resource.gvk == core.Pod.__gvk__
        if self.reads_structs:
            self._of_struct = _Fields(resource.fields, [_spelled(core.Pod, path) for path in paths], self._unset)
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

    def read_struct(self, key: str, value: bytes, revision: int, obj: core.Pod) -> Record:
        """The same from what `value` holds as a struct that shares its parts (`reads_structs` tells for which)."""
        metadata = obj.metadata
        return Record(
            value,
            revision,
            self.prefix,
            key=key,
            namespace=metadata.namespace,
            name=metadata.name,
            labels=metadata.labels or _NO_LABELS,
            fields=self._of_struct.of(obj),
            struct=obj,
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
        own = [number for number, name in enumerate(names) if name in _UNLIKE]
        alike = [number for number, name in enumerate(names) if name not in _UNLIKE]
        self._own = [self._readers[number] for number in own]
        said = [
            *(paths[number] for number in alike),
            *(FIELD_INSTEAD[name] for name in names if name in FIELD_INSTEAD),
        ]
        self._said = attrgetter(*said) if said else None
        order = [*alike, *own]
        self._alike = [self._readers[number] for number in alike]
        # One of them twice, for the values of a single one would not be a tuple.
        self._own_said = attrgetter(*(paths[number] for number in (*own, own[0]))) if own else None
        self._in_order = itemgetter(*(order.index(number) for number in range(len(paths)))) if own and alike else None
        self._known: Parts = Parts(MOST_FIELDS)

    def of(self, header: Any) -> tuple[str, ...]:
        """The fields of a header, in their order."""
        if self._said is None:
            return _texts(header, self._own)
        try:
            said = self._said(header)
            known: tuple[tuple[str, ...], tuple[str, ...]] | None = self._known.get(said)
            has_own = self._own_said is not None and any(self._own_said(header))
        except (AttributeError, TypeError):  # a branch is null, or a field no plain value
            return _texts(header, self._readers)
        if known is None:
            alike = tuple(map(intern, _texts(header, self._alike)))
            known = self._known.keep(said, (alike, self._whole(alike, ("",) * len(self._own))))
        alike, whole = known
        return self._whole(alike, _texts(header, self._own)) if has_own else whole

    def _whole(self, alike: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
        """All in their order, of which some are held by many and the others by the object alone."""
        return alike if self._in_order is None else self._in_order(alike + own)


def _texts(header: Any, readers: Iterable[tuple[Callable[[Any], Any], str]]) -> tuple[str, ...]:
    return tuple([_text(read(header), unset) for read, unset in readers])


def _header_type(plural: str, paths: tuple[str, ...]) -> type[Any]:
    branches: dict[str, Any] = {}
    for path in paths:
        parts = path.split(".")
        node = reduce(lambda at, part: at.setdefault(part, {}), parts[:-1], branches)
        node.setdefault(parts[-1], None)
    return _struct(plural, branches, [("metadata", Metadata, msgspec.field(default_factory=Metadata))])


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


def _spelled(kind: type[msgspec.Struct], path: str) -> str:
    """`spec.node_name` for `spec.nodeName`: the path by the names that fields have in structs."""
    names: list[str] = []
    for part in path.split("."):
        field = next(field for field in msgspec.structs.fields(kind) if field.encode_name == part)
        names.append(field.name)
        kind = field.type
    return ".".join(names)


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
        return ",".join(_text(_address(item), "") for item in value)
    return str(value)


def _address(item: Any) -> Any:
    if isinstance(item, core.PodIP):
        return item.ip
    return item.get("ip") if isinstance(item, dict) else item
