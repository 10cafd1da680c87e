"""RecordIO: records in a stream, each its length in decimal, a newline, and that many bytes.

Where chunks of the transport begin and end means nothing. Source: Mesos 1.11's HTTP API.
"""

MAX_RECORD = 64 * 1024 * 1024
_MAX_DIGITS = 20


class Broken(ValueError):
    """The stream is not RecordIO, or a record is larger than allowed. Nothing after it can be trusted."""


def frame(record: bytes) -> bytes:
    """One record as it goes on the wire."""
    return b"%d\n%b" % (len(record), record)


class Reader:
    """Records out of chunks as they come."""

    def __init__(self, *, max_record: int = MAX_RECORD) -> None:
        self._max = max_record
        self._held = bytearray()
        self._wanted: int | None = None

    def feed(self, chunk: bytes) -> list[bytes]:
        """The records that `chunk` completes. Raises Broken, also at every call after that."""
        self._held += chunk
        records: list[bytes] = []
        while self._take_length():
            if self._wanted is None or len(self._held) < self._wanted:
                break
            records.append(bytes(self._held[: self._wanted]))
            del self._held[: self._wanted]
            self._wanted = None
        return records

    @property
    def partial(self) -> bool:
        """Whether the stream would end inside a record."""
        return bool(self._held) or self._wanted is not None

    def _take_length(self) -> bool:
        if self._wanted is not None:
            return True
        end = self._held.find(b"\n", 0, _MAX_DIGITS + 1)
        digits = bytes(self._held[: end if end >= 0 else _MAX_DIGITS + 1])
        if (digits and not digits.isdigit()) or end == 0:
            raise Broken("Failed to decode length: not a number")
        if end < 0:
            if len(digits) > _MAX_DIGITS:
                raise Broken("Failed to decode length: too long")
            return False
        length = int(digits)
        if length > self._max:
            raise Broken(f"Failed to decode record: {length} bytes is more than {self._max}")
        del self._held[: end + 1]
        self._wanted = length
        return True
