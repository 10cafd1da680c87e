"""How much, and how slowly, a client may send and read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds.

    `header_s` runs from a connection's start or a request's first byte to the end of its head; `body_s` to the
    end of a body that the server collects; `idle_s` between requests. A client that takes none of what waits
    for it for `write_s` is cut off, and one that does not answer the end of TLS in `farewell_s`.
    """

    body: int = 3 * 1024 * 1024
    head: int = 1024 * 1024
    header_line: int = 64 * 1024
    request_line: int = 256 * 1024
    header_count: int = 128
    message: int = 4 * 1024 * 1024  # one WebSocket message
    handshake_s: float = 10.0
    farewell_s: float = 2.0
    header_s: float = 10.0
    body_s: float = 60.0
    idle_s: float = 180.0
    write_s: float = 30.0
    backlog: int = 1024
