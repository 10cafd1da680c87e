"""Short names from contents: FNV-1a, 32 bits, spelled so that it makes no words and no look-alikes.

Source: Fowler, Noll and Vo's hash (RFC 9923); the alphabet is Kubernetes' `rand.SafeEncodeString`.
"""

from typing import Any

import msgspec

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

_encoder = msgspec.json.Encoder(order="deterministic")


def fnv1a_32(data: bytes) -> int:
    """FNV-1a of `data`, 32 bits wide."""
    digest = 0x811C9DC5
    for byte in data:
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return digest


def safe(number: int) -> str:
    """The decimal digits of `number` in the safe alphabet."""
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(number))


def short_hash(value: Any, *, collisions: int = 0) -> str:
    """A short name for a struct or tree; `collisions` gives another one for the same value."""
    data = _encoder.encode(value)
    if collisions:
        data += collisions.to_bytes(8, "little")
    return safe(fnv1a_32(data))
