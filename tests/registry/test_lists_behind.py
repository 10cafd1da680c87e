"""A list while the store is ahead of the cache: all of it is as it was at the revision that the list tells."""

import pytest

from bireme.aio.clock import VirtualClock
from bireme.api.scheme import builtin
from bireme.registry.lists import read_page
from bireme.registry.options import Call, ListOptions
from bireme.registry.selection import Selection
from bireme.registry.verbs import Registry
from bireme.store.memory import MemoryStore


@pytest.mark.parametrize("limit", [pytest.param(0, id="whole"), pytest.param(2, id="in pages")])
async def test_what_the_store_has_written_since_does_not_show(limit: int) -> None:
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    writer = Registry(store, builtin(), clock)
    kind = writer.kind("", "v1", "configmaps")
    for name in "abc":
        await writer.create(kind, "default", {"metadata": {"name": name}}, Call())
    reader = Registry(store, builtin(), clock)
    reader.start()  # and nothing follows the store from here on
    then = store.revision
    await writer.create(kind, "default", {"metadata": {"name": "d"}}, Call())
    gone = reader.item(kind, "default", "b")
    await store.delete(gone.key, expect=gone.revision)
    cache = reader.cache.of(kind.stored)
    options = ListOptions(limit=limit)
    page = read_page(store, cache, Selection(kind.resource, "default"), options, exact=0, revision=then)
    assert [record.name for record in page.records] == ["a", "b", "c"][: limit or 3]
    assert page.revision == then
    assert page.remaining == (1 if limit else -1)
