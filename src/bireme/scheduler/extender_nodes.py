"""Lists of nodes to and from extenders without a cache of their own: they are sent nodes whole, and send them back.

For thousands of nodes that is tens of megabytes. A node's JSON is made when it is first shown and kept until the node
changes; a list is put together, sent and read a few nodes at a time, with a break after each, so that nobody in this
process waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bireme.api.codec.json import encode
from bireme.api.kinds import core
from bireme.client.informer import Informer, Key

FEW = 250
HEAD, TAIL = b',"Nodes":{"metadata":{},"items":[', b']},"NodeNames":null}'


@dataclass(frozen=True, slots=True)
class ShownList:
    """A pod and nodes as the arguments of a call, in JSON of `size` bytes."""

    pod: bytes
    nodes: Sequence[bytes]

    @property
    def size(self) -> int:
        """The bytes of all the parts."""
        commas = max(len(self.nodes) - 1, 0)
        return len(b'{"Pod":') + len(self.pod) + len(HEAD) + sum(map(len, self.nodes)) + commas + len(TAIL)

    async def parts(self) -> AsyncIterator[bytes]:
        """The JSON, a few nodes at a time."""
        yield b'{"Pod":' + self.pod + HEAD
        for start in range(0, len(self.nodes), FEW):
            few = b",".join(self.nodes[start : start + FEW])
            yield b"," + few if start else few
            await asyncio.sleep(0)
        yield TAIL


class ShownNodes:
    """Each node's JSON, as long as the node is as it was."""

    def __init__(self, nodes: Informer[core.Node]) -> None:
        self._nodes = nodes
        self._encoded: dict[str, bytes] = {}
        nodes.on_change(self._changed)

    async def list_for(self, pod: core.Pod, names: Collection[str]) -> ShownList:
        """Those of the nodes that there are."""
        found: list[bytes] = []
        for number, name in enumerate(sorted(names), 1):
            if (each := self._one(name)) is not None:
                found.append(each)
            if number % FEW == 0:
                await asyncio.sleep(0)
        return ShownList(encode(pod), found)

    def _one(self, name: str) -> bytes | None:
        known = self._encoded.get(name)
        if known is None and (node := self._nodes.get(Key("", name))) is not None:
            known = self._encoded[name] = encode(node)
        return known

    def _changed(self, old: core.Node | None, new: core.Node | None) -> None:
        for node in (old, new):
            if node is not None:
                self._encoded.pop(node.metadata.name, None)


class _Metadata(msgspec.Struct):
    name: str


class _Item(msgspec.Struct):
    metadata: _Metadata


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_list = msgspec.json.Decoder(list[msgspec.Raw] | None)
_item = msgspec.json.Decoder(_Item)


def fields_of(body: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The fields of an object by their names in small letters, none of them read yet; null has none.

    Raises msgspec.DecodeError.
    """
    return {name.lower(): value for name, value in (_fields.decode(body) or {}).items()}


async def names_of(nodes: msgspec.Raw) -> frozenset[str]:
    """The names in a list of nodes. Raises msgspec.DecodeError, or KeyError where one bears none."""
    await asyncio.sleep(0)
    items = fields_of(nodes).get("items")
    await asyncio.sleep(0)
    several = _list.decode(items) or () if items is not None else ()
    found: list[str] = []
    for number, item in enumerate(several, 1):
        found.append(_name_of(item))
        if number % FEW == 0:
            await asyncio.sleep(0)
    return frozenset(found)


def _name_of(item: msgspec.Raw) -> str:
    try:
        return _item.decode(item).metadata.name
    except msgspec.ValidationError:  # spelt otherwise, or not at all
        name: Any = msgspec.json.decode(fields_of(fields_of(item)["metadata"])["name"])
        return str(name)
