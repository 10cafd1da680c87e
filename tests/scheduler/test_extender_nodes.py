"""Lists of nodes for extenders that keep none: as one encoding would be, and made and read with breaks."""

import asyncio
import json
from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scheduler.scheduling import node, pod

from bireme.aio.clock import VirtualClock
from bireme.api.codec.json import encode, typed
from bireme.api.kinds import core
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.scheduler.extender_nodes import FEW, ShownList, ShownNodes, names_of


class Nowhere:
    """Asks nobody."""

    async def close(self) -> None:
        raise NotImplementedError


def informer(*nodes: core.Node) -> Informer[core.Node]:
    made = Informer(Client(Nowhere()), core.Node, clock=VirtualClock())  # type: ignore[arg-type]
    made.have(nodes)
    return made


async def whole(shown: ShownList) -> bytes:
    parts: AsyncIterator[bytes] = shown.parts()
    return b"".join([part async for part in parts])


@pytest.mark.parametrize("count", [0, 1, FEW, FEW + 1, 2 * FEW + 3])
async def test_the_parts_are_the_whole_and_its_length_is_known_before(count: int) -> None:
    nodes = [node(f"n{number:04}") for number in range(count)]
    asked = pod("p")
    shown = await ShownNodes(informer(*nodes)).list_for(asked, {each.metadata.name for each in nodes} | {"gone"})
    body = await whole(shown)
    assert len(body) == shown.size
    items = [typed(each) for each in nodes]
    assert body == encode({"Pod": typed(asked), "Nodes": {"metadata": {}, "items": items}, "NodeNames": None})


async def test_a_node_that_changed_is_shown_as_it_is() -> None:
    nodes = informer(node("a", cpu="4"))
    shown = ShownNodes(nodes)
    await shown.list_for(pod("p"), {"a"})
    nodes.have([node("a", cpu="8")])
    body = json.loads(await whole(await shown.list_for(pod("p"), {"a"})))
    assert body["Nodes"]["items"][0]["status"]["allocatable"]["cpu"] == "8"


async def test_others_get_their_turn_while_a_list_is_made_sent_and_read() -> None:
    nodes = [node(f"n{number:04}") for number in range(4 * FEW)]
    names, shown = {each.metadata.name for each in nodes}, ShownNodes(informer(*nodes))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        counting = tasks.create_task(count())
        listed = await shown.list_for(pod("p"), names)
        made = turns
        await whole(listed)
        sent = turns
        await names_of(msgspec.Raw(encode({"items": nodes})))
        counting.cancel()
    assert made >= 4
    assert sent - made >= 4
    assert turns - sent >= 4


spellings = st.sampled_from(
    [("items", "metadata", "name"), ("Items", "Metadata", "Name"), ("ITEMS", "metadata", "NAME")]
)


@given(names=st.lists(st.text(min_size=1)), words=spellings)
def test_names_are_read_whatever_the_case_of_fields(names: list[str], words: tuple[str, str, str]) -> None:
    items, metadata, name = words
    tree = {"Metadata": {}, items: [{"spec": {"name": "x"}, metadata: {name: each}} for each in names]}
    assert asyncio.run(names_of(msgspec.Raw(json.dumps(tree).encode()))) == frozenset(names)


async def test_no_list_has_no_names() -> None:
    assert await names_of(msgspec.Raw(b"null")) == frozenset()
    assert await names_of(msgspec.Raw(b'{"items":null}')) == frozenset()
