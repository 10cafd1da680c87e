"""The folder's own helpers, and a node agent over hollow containers and the real API in memory."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

here = Path(__file__).parent
for folder in (here, here.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from kubelet_world import World  # noqa: E402 - the path is set above


@pytest.fixture
def world(tmp_path):
    """Opens a world: a node agent, its engine and an API; everything on one virtual clock."""

    @asynccontextmanager
    async def opened(**engine: object) -> AsyncIterator[World]:
        made = World(tmp_path, **engine)
        async with asyncio.TaskGroup() as tasks:
            await made.begin(tasks)
            try:
                yield made
            finally:
                made.end()

    return opened
