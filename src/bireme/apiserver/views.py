"""Objects, lists and watch events as a client wants to see them: whole, as metadata alone, or as rows.

Whole objects go out as the bytes that are stored. The other two forms decode what they need. Protobuf has views of
its own (`protobuf_views.py`).
"""

from collections.abc import Callable, Hashable, Iterator
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec
import orjson

from bireme.apiserver import table
from bireme.apiserver.columns.column import Column
from bireme.apiserver.listed import Listed
from bireme.apiserver.negotiation import PROTOBUF, Accepted
from bireme.apiserver.protobuf_views import (
    PartialProtobufView,
    ProtobufView,
    bookmark_metadata,
    list_metadata,
)
from bireme.registry import conversion
from bireme.registry.kinds import Kind
from bireme.registry.lists import Page
from bireme.registry.record import Document, Record

SHORT_PIECE, LONG_PIECE = 64 * 1024, 448 * 1024
"""What of a list goes to the wire in one write, in bytes: a quarter of what went before, between these. In long
pieces a long list comes sooner; a connection that lists little keeps little room for it."""

IncludeObject = Literal["None", "Metadata", "Object"]


class ObjectView(Protocol):
    """One form of the objects of one kind. Equal keys give equal bytes."""

    @property
    def key(self) -> Hashable: ...

    def object(self, document: Document) -> bytes:
        """One object."""
        ...

    def page(self, page: Page) -> Iterator[bytes]:
        """A list, in pieces."""
        ...

    def frame(self, kind: str, record: Record, revision: int) -> bytes:
        """One event of a watch, with its line feed."""
        ...

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> bytes:
        """The event that only tells how far the watch has come."""
        ...


class WholeView:
    """Objects as they are."""

    def __init__(self, kind: Kind, listed: Listed) -> None:
        self._kind = kind
        self._listed = listed
        # Of custom objects and of other versions one key and revision have several forms.
        self._plain = not kind.is_alias and kind.custom is None
        self.key: Hashable = kind.resource.version if kind.is_alias else ""

    def object(self, document: Document) -> bytes:
        return conversion.body(self._kind, document)

    def page(self, page: Page) -> Iterator[bytes]:
        yield b'%b%b,"items":[' % (self._kind.list_head, orjson.dumps(list_metadata(page)))
        yield from _joined(page.records, self._spell())
        yield b"]}"

    def added(self) -> Callable[[list[Record]], list[bytes]]:
        """`frame` for what there is when a watch begins, spelled out once for all who come after one another."""
        spell = self._spell()
        return lambda records: [b'{"type":"ADDED","object":%b}\n' % spelled for spelled in spell(records)]

    def _spell(self) -> Callable[[list[Record]], list[bytes]]:
        return self._listed.spell(self._kind) if self._plain else _each(self.object)

    def frame(self, kind: str, record: Record, revision: int) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), conversion.body(self._kind, record, revision))

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> bytes:
        resource = self._kind.resource
        return _bookmark(resource.kind, resource.api_version, revision, initial_events_end=initial_events_end)


class _Parts(msgspec.Struct):
    metadata: msgspec.Raw


_parts = msgspec.json.Decoder(_Parts)


class PartialView:
    """Metadata alone."""

    def __init__(self, kind: Kind, version: str) -> None:
        self._kind = kind
        self._version = f"meta.k8s.io/{version}"
        self._head = f'{{"kind":"PartialObjectMetadata","apiVersion":"{self._version}","metadata":'.encode()
        self.key: Hashable = ("partial", version)

    def object(self, document: Document) -> bytes:
        return self.metadata_of(document, None)

    def page(self, page: Page) -> Iterator[bytes]:
        head = f'{{"kind":"PartialObjectMetadataList","apiVersion":"{self._version}","metadata":'
        yield b'%b%b,"items":[' % (head.encode(), orjson.dumps(list_metadata(page)))
        yield from _joined(page.records, _each(self.object))
        yield b"]}"

    def frame(self, kind: str, record: Record, revision: int) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), self.metadata_of(record, revision))

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> bytes:
        return _bookmark("PartialObjectMetadata", self._version, revision, initial_events_end=initial_events_end)

    def metadata_of(self, document: Document, revision: int | None) -> bytes:
        """The metadata of `document`, at `revision` if one is given."""
        metadata = _parts.decode(document.stamped(revision)).metadata
        return b"%b%b}" % (self._head, bytes(metadata))


class TableView:
    """Rows of a table, as `kubectl get` prints them."""

    def __init__(self, kind: Kind, version: str, *, include: IncludeObject, now: Callable[[], datetime]) -> None:
        self._kind = kind
        self._version = f"meta.k8s.io/{version}"
        self._include = include
        self._now = now
        self._printer = table.printer_of(kind)
        self._columns = orjson.dumps([_column(column) for column in self._printer.columns])
        self._partial = PartialView(kind, version)
        self.key: Hashable = ("table", kind, version, include)

    def object(self, document: Document) -> bytes:
        return self._table(self._rows_of([document]), str(document.revision or ""))

    def page(self, page: Page) -> Iterator[bytes]:
        yield b'{"kind":"Table","apiVersion":"%b","metadata":%b,"columnDefinitions":%b,"rows":[' % (
            self._version.encode(),
            orjson.dumps(list_metadata(page)),
            self._columns,
        )
        yield from _joined(page.records, _each(lambda record: self._row(record, None)))
        yield b"]}"

    def frame(self, kind: str, record: Record, revision: int) -> bytes:
        body = self._table(self._row(record, revision), str(revision))
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> bytes:
        metadata = bookmark_metadata(revision, initial_events_end=initial_events_end)
        tree = {
            "kind": "Table",
            "apiVersion": self._version,
            "metadata": metadata,
            "columnDefinitions": [],
            "rows": [],
        }
        return orjson.dumps({"type": "BOOKMARK", "object": tree}) + b"\n"

    def _table(self, rows: bytes, revision: str) -> bytes:
        head = f'{{"kind":"Table","apiVersion":"{self._version}","metadata":{{"resourceVersion":"{revision}"}},'
        return b'%b"columnDefinitions":%b,"rows":[%b]}' % (head.encode(), self._columns, rows)

    def _rows_of(self, documents: list[Document]) -> bytes:
        return b",".join([self._row(document, None) for document in documents])

    def _row(self, document: Document, revision: int | None) -> bytes:
        tree = conversion.from_stored(self._kind, document.tree())
        cells = self._printer.cells(tree, self._now())
        row: dict[str, Any] = {"cells": cells}
        conditions = table.row_conditions(self._kind.resource, tree)
        if conditions:
            row["conditions"] = conditions
        if self._include == "Object":
            row["object"] = orjson.Fragment(conversion.body(self._kind, document, revision))
        elif self._include == "Metadata":
            row["object"] = orjson.Fragment(self._partial.metadata_of(document, revision))
        return orjson.dumps(row)


def view_of(kind: Kind, wanted: Accepted, *, include: str, now: Callable[[], datetime], listed: Listed) -> ObjectView:
    """The view that a client asked for; `listed` is shared by all views."""
    if wanted.media == PROTOBUF:
        return PartialProtobufView() if wanted.form == "Partial" else ProtobufView(kind)
    if wanted.form == "Table":
        chosen: IncludeObject = include if include in ("None", "Object") else "Metadata"  # type: ignore[assignment]
        return TableView(kind, wanted.version, include=chosen, now=now)
    return PartialView(kind, wanted.version) if wanted.form == "Partial" else WholeView(kind, listed)


def added(view: ObjectView) -> Callable[[list[Record]], list[bytes]]:
    """How what there is when a watch begins becomes ADDED events, some at a time."""
    if isinstance(view, WholeView):
        return view.added()
    return _each(lambda record: view.frame("ADDED", record, record.revision))


def _each(render: Callable[[Record], bytes]) -> Callable[[list[Record]], list[bytes]]:
    return lambda records: [render(record) for record in records]


def _joined(records: list[Record], render: Callable[[list[Record]], list[bytes]]) -> Iterator[bytes]:
    begin, count, sent = 0, 1, 0
    while begin < len(records):
        parts = render(records[begin : begin + count])
        if begin:
            parts.insert(0, b"")
        piece = b",".join(parts)
        yield piece
        begin += count
        sent += len(piece)
        count = max(1, begin * min(max(SHORT_PIECE, sent // 4), LONG_PIECE) // (sent + 1))


def _bookmark(kind: str, api_version: str, revision: int, *, initial_events_end: bool) -> bytes:
    metadata = bookmark_metadata(revision, initial_events_end=initial_events_end)
    tree = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
    return orjson.dumps({"type": "BOOKMARK", "object": tree}) + b"\n"


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }
