"""Objects, lists and watch events in protobuf: whole, or metadata alone.

An object that is listed or watched keeps its message once it is made, so that many who ask cost one encoding for each
write. Left to others: bytes (`api/codec/protobuf_encoder.py`), which form a client gets (`negotiation.py`).
"""

import asyncio
from collections.abc import Hashable, Iterator
from typing import Any

import msgspec

from bireme.api.codec import protobuf_encoder as encoder
from bireme.api.codec.protobuf_fields import META, message_of
from bireme.registry import conversion
from bireme.registry.kinds import Kind
from bireme.registry.lists import Page
from bireme.registry.record import Document, Record

Tree = dict[str, Any]
PREPARED = 60
_PARTIAL = f"{META}PartialObjectMetadata"


class ProtobufView:
    """Objects as they are. For kinds that have such a form alone."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._type = (kind.resource.api_version, kind.resource.kind)
        message = message_of(*self._type)
        assert message is not None, self._type
        self._message = message
        self.key: Hashable = ("protobuf", kind.resource.version)

    def object(self, document: Document) -> bytes:
        return encoder.envelope(*self._type, self._bare(document))

    def page(self, page: Page) -> Iterator[bytes]:
        api_version, kind = self._type
        return encoder.enveloped_list(api_version, f"{kind}List", list_metadata(page), map(self._bare, page.records))

    async def prepare(self, page: Page) -> None:
        """Make the messages of a long list a few at a time, so that others have their turn."""
        if not self._kind.is_alias:
            for begin in range(0, len(page.records), PREPARED):
                for record in page.records[begin : begin + PREPARED]:
                    self._bare(record)
                await asyncio.sleep(0)

    def frame(self, kind: str, record: Record, revision: int) -> bytes:
        bare = self._bare(record) if revision == record.revision else self._made(record, revision)
        return encoder.watch_frame(kind, encoder.envelope(*self._type, bare))

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> bytes:
        tree = {"metadata": bookmark_metadata(revision, initial_events_end=initial_events_end)}
        return encoder.watch_frame("BOOKMARK", encoder.envelope(*self._type, encoder.body(self._message, tree)))

    def _bare(self, document: Document) -> bytes:
        if self._kind.is_alias:
            return self._made(document, document.revision)
        if not document.protobuf:
            document.protobuf = self._made(document, document.revision)
        return document.protobuf

    def _made(self, document: Document, revision: int) -> bytes:
        tree = document.tree()
        if revision != document.revision:
            tree["metadata"]["resourceVersion"] = str(revision)
        return encoder.body(self._message, conversion.from_stored(self._kind, tree))


class _Parts(msgspec.Struct):
    metadata: Tree


_parts = msgspec.json.Decoder(_Parts)


class PartialProtobufView:
    """Metadata alone, of any kind."""

    def __init__(self) -> None:
        self.key: Hashable = ("partial protobuf",)

    def object(self, document: Document) -> bytes:
        return encoder.envelope("meta.k8s.io/v1", "PartialObjectMetadata", self._bare(document, None))

    def page(self, page: Page) -> Iterator[bytes]:
        items = (self._bare(record, None) for record in page.records)
        return encoder.enveloped_list("meta.k8s.io/v1", "PartialObjectMetadataList", list_metadata(page), items)

    def frame(self, kind: str, record: Record, revision: int) -> bytes:
        bare = self._bare(record, revision)
        return encoder.watch_frame(kind, encoder.envelope("meta.k8s.io/v1", "PartialObjectMetadata", bare))

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> bytes:
        tree = {"metadata": bookmark_metadata(revision, initial_events_end=initial_events_end)}
        bare = encoder.body(_PARTIAL, tree)
        return encoder.watch_frame("BOOKMARK", encoder.envelope("meta.k8s.io/v1", "PartialObjectMetadata", bare))

    def _bare(self, document: Document, revision: int | None) -> bytes:
        parts = _parts.decode(document.stamped(revision))
        return encoder.body(_PARTIAL, {"metadata": parts.metadata})


def list_metadata(page: Page) -> Tree:
    """The metadata of a list."""
    metadata: Tree = {"resourceVersion": str(page.revision)}
    if page.continue_token:
        metadata["continue"] = page.continue_token
    if page.remaining >= 0:
        metadata["remainingItemCount"] = page.remaining
    return metadata


def bookmark_metadata(revision: int, *, initial_events_end: bool) -> Tree:
    """The metadata of an event that only tells how far a watch has come."""
    metadata: Tree = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_events_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return metadata
