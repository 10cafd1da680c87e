"""A document that many clients ask for: made once, kept compressed, known by its tag."""

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

_SMALL = 8 << 10


@dataclass(frozen=True, slots=True)
class Page:
    """Bytes with their media type and ETag; `packed` ones are gzip."""

    kept: bytes
    media: str
    etag: str
    packed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(body: bytes, media: str, headers: Mapping[str, str] | None = None, *, etag: str = "") -> "Page":
        """A page with this body; the tag is made from it if none is given."""
        packed = len(body) > _SMALL
        kept = zlib.compress(body, 6, wbits=31) if packed else body
        return Page(kept, media, etag or hashlib.sha256(body).hexdigest().upper(), packed, dict(headers or {}))

    def body(self) -> bytes:
        """The bytes as they were."""
        return zlib.decompress(self.kept, wbits=31) if self.packed else self.kept

    def answer(self, *, gzip: bool, if_none_match: str = "") -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers for a client: 304 without a body if it has this very page."""
        headers = {"etag": f'"{self.etag}"', **self.headers}
        if self.etag in if_none_match.replace("W/", "").replace(",", " ").replace('"', " ").split():
            return 304, b"", headers
        if self.packed:
            headers["vary"] = ", ".join(dict.fromkeys(filter(None, (headers.get("vary"), "Accept-Encoding"))))
        if self.packed and gzip:
            return 200, self.kept, {**headers, "content-encoding": "gzip"}
        return 200, self.body(), headers
