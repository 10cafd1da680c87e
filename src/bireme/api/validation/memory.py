"""What was found right once needs no second look: the pods of one template have the same spec, byte for byte.

Only what is right is remembered, by a digest that cannot be forged, and the oldest is forgotten first. What is
checked must depend on the value alone.
"""

from collections import OrderedDict
from hashlib import blake2b
from typing import Any

import orjson

DIGEST_BYTES = 16


class Memory:
    """Digests of right values, `size` of them at most."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def digest(self, value: Any) -> bytes:
        """The digest of a tree; empty where it can't be written."""
        try:
            return blake2b(orjson.dumps(value), digest_size=DIGEST_BYTES).digest()
        except TypeError:
            return b""

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._known

    def learn(self, digest: bytes) -> None:
        """Remember that the value of this digest is right."""
        if not digest:
            return
        self._known[digest] = None
        if len(self._known) > self._size:
            self._known.popitem(last=False)
