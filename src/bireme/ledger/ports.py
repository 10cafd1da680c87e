"""Sets of host ports as bits of one number: a thousand ports are compared, joined and taken apart in a microsecond.

Bit `65536 * protocol + port` stands for a (protocol, port) pair. An offer of Mesos ports holds each of its ports in
TCP and UDP, since a task may use either.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

Port = tuple[str, int]

PROTOCOLS = ("TCP", "UDP", "SCTP")
_SPAN = 1 << 16
_PLACE = {name: index * _SPAN for index, name in enumerate(PROTOCOLS)}


@dataclass(frozen=True, slots=True)
class PortSet:
    """Some (protocol, port) pairs."""

    bits: int = 0

    @classmethod
    def of(cls, pairs: Iterable[Port]) -> "PortSet":
        """The set of these pairs; an unknown protocol counts as TCP."""
        bits = 0
        for protocol, port in pairs:
            bits |= 1 << (_PLACE.get(protocol, 0) + port)
        return cls(bits)

    @classmethod
    def spanning(cls, ranges: Iterable[tuple[int, int]], *, protocols: Iterable[str] = ("TCP", "UDP")) -> "PortSet":
        """Every port of these ranges, both ends included, in each protocol."""
        bits = 0
        for protocol in protocols:
            for first, last in ranges:
                bits |= _run(first, last) << _PLACE[protocol]
        return cls(bits)

    def __or__(self, other: "PortSet") -> "PortSet":
        return PortSet(self.bits | other.bits)

    def __sub__(self, other: "PortSet") -> "PortSet":
        return PortSet(self.bits & ~other.bits)

    def __bool__(self) -> bool:
        return self.bits != 0

    def __contains__(self, pair: Port) -> bool:
        protocol, port = pair
        return bool(self.bits >> (_PLACE.get(protocol, 0) + port) & 1)

    def __iter__(self) -> Iterator[Port]:
        """The pairs, by protocol and number."""
        rest = self.bits
        while rest:
            lowest = rest & -rest
            place, port = divmod(lowest.bit_length() - 1, _SPAN)
            yield PROTOCOLS[place], port
            rest ^= lowest

    def overlaps(self, other: "PortSet") -> bool:
        return bool(self.bits & other.bits)

    def ranges(self) -> list[tuple[int, int]]:
        """The port numbers taken in any protocol, as ranges with both ends included, in order."""
        mask = (1 << _SPAN) - 1
        rest = (self.bits & mask) | (self.bits >> _SPAN & mask) | (self.bits >> 2 * _SPAN)
        found = []
        start = 0
        while rest:
            skip = (rest & -rest).bit_length() - 1
            rest >>= skip
            length = (~rest & (rest + 1)).bit_length() - 1
            found.append((start + skip, start + skip + length - 1))
            rest >>= length
            start += skip + length
        return found


NO_PORTS = PortSet()


@lru_cache(maxsize=256)
def _run(first: int, last: int) -> int:
    return ((1 << (last - first + 1)) - 1) << first
