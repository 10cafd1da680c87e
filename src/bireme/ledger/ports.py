"""Sets of host ports as bits of one number: a thousand ports are compared, joined and taken apart in a microsecond.

Bit `65536 * protocol + port` stands for a (protocol, port) pair. A port is taken at every address of the node, or at
one; what is taken everywhere clashes with all, and two that are taken at different addresses don't clash. An offer of
Mesos ports holds each of its ports in TCP and UDP, since a task may use either.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from bireme.api.kinds import core

Port = tuple[str, int]

PROTOCOLS = ("TCP", "UDP", "SCTP")
EVERYWHERE = ("", "0.0.0.0", "::")
_SPAN = 1 << 16
_PLACE = {name: index * _SPAN for index, name in enumerate(PROTOCOLS)}


@dataclass(frozen=True, slots=True)
class PortSet:
    """Some (protocol, port) pairs: `bits` at every address, `at` at single addresses, in order."""

    bits: int = 0
    at: tuple[tuple[str, int], ...] = ()
    _ranges: tuple[tuple[int, int], ...] | None = field(default=None, init=False, compare=False, repr=False)

    @classmethod
    def of(cls, pairs: Iterable[Port], *, address: str = "") -> "PortSet":
        """The set of these pairs at an address ("" for every one); an unknown protocol counts as TCP."""
        bits = 0
        for protocol, port in pairs:
            bits |= 1 << (_PLACE.get(protocol, 0) + port)
        return cls(bits) if address in EVERYWHERE or not bits else cls(0, ((address, bits),))

    @classmethod
    def spanning(cls, ranges: Iterable[tuple[int, int]], *, protocols: Iterable[str] = ("TCP", "UDP")) -> "PortSet":
        """Every port of these ranges, both ends included, in each protocol."""
        bits = 0
        for protocol in protocols:
            for first, last in ranges:
                bits |= _run(first, last) << _PLACE[protocol]
        return cls(bits)

    def __or__(self, other: "PortSet") -> "PortSet":
        if not self.at and not other.at:
            return PortSet(self.bits | other.bits)
        joined = dict(self.at)
        for address, bits in other.at:
            joined[address] = joined.get(address, 0) | bits
        return PortSet(self.bits | other.bits, tuple(sorted(joined.items())))

    def __sub__(self, other: "PortSet") -> "PortSet":
        gone = dict(other.at)
        rest = tuple((address, left) for address, bits in self.at if (left := bits & ~gone.get(address, 0)))
        return PortSet(self.bits & ~other.bits, rest)

    def __bool__(self) -> bool:
        return self.bits != 0 or bool(self.at)

    def __contains__(self, pair: Port) -> bool:
        protocol, port = pair
        return bool(self.anywhere >> (_PLACE.get(protocol, 0) + port) & 1)

    def __iter__(self) -> Iterator[Port]:
        """The pairs that are taken at any address, by protocol and number."""
        rest = self.anywhere
        while rest:
            lowest = rest & -rest
            place, port = divmod(lowest.bit_length() - 1, _SPAN)
            yield PROTOCOLS[place], port
            rest ^= lowest

    @property
    def anywhere(self) -> int:
        """The bits of what is taken at any address."""
        bits = self.bits
        for _, some in self.at:
            bits |= some
        return bits

    def overlaps(self, other: "PortSet") -> bool:
        """Whether the two can't be taken on one node."""
        if not self.at and not other.at:
            return bool(self.bits & other.bits)
        if self.bits & other.anywhere or other.bits & self.anywhere:
            return True
        here = dict(self.at)
        return any(here.get(address, 0) & bits for address, bits in other.at)

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The port numbers taken in any protocol, as ranges with both ends included, in order; found once."""
        if self._ranges is None:
            object.__setattr__(self, "_ranges", tuple(self._find_ranges()))
        return self._ranges or ()

    def _find_ranges(self) -> Iterator[tuple[int, int]]:
        mask, bits = (1 << _SPAN) - 1, self.anywhere
        rest = (bits & mask) | (bits >> _SPAN & mask) | (bits >> 2 * _SPAN)
        start = 0
        while rest:
            skip = (rest & -rest).bit_length() - 1
            rest >>= skip
            length = (~rest & (rest + 1)).bit_length() - 1
            yield start + skip, start + skip + length - 1
            rest >>= length
            start += skip + length


NO_PORTS = PortSet()


@lru_cache(maxsize=256)
def _run(first: int, last: int) -> int:
    return ((1 << (last - first + 1)) - 1) << first


def host_ports(spec: core.PodSpec) -> PortSet:
    """The (protocol, port) pairs that the pod takes on its node, at every address or at one."""
    taken = NO_PORTS
    for container in (*spec.containers, *spec.init_containers):
        for port in container.ports:
            if port.host_port:
                taken |= PortSet.of([(port.protocol or "TCP", port.host_port)], address=port.host_ip)
    return taken
