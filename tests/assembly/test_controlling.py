"""The figures of the controllers' queues, on the page of the API server that they run beside."""

import asyncio
from random import Random

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import core, meta
from bireme.assembly.api import serve_api
from bireme.assembly.parts import run_controllers
from bireme.controllers.settings import Settings
from bireme.http.interface import Identity, Peer, Request, Response
from bireme.store.memory import MemoryStore


async def test_queues_of_controllers_are_on_the_page() -> None:
    clock = VirtualClock()
    asked = Request("GET", "/metrics", peer=Peer(identity=Identity("ann", ("system:masters",))))
    async with serve_api(MemoryStore(clock=clock), clock=clock, random=Random(7)) as api:

        async def page() -> str:
            answer = await api.server.handle(asked)
            assert isinstance(answer, Response)
            return answer.body.decode()

        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(run_controllers(api, Settings(root_ca="PEM"), clock=clock))
            await clock.advance(1, settle=20)
            await api.admin().create(core.Namespace(metadata=meta.ObjectMeta(name="a")))
            await clock.advance(1, settle=20)
            text = await page()
            running.cancel()
        gone = await page()
    name = "root-ca-certificate-publisher-controller"
    assert "# TYPE workqueue_depth gauge" in text
    assert f'workqueue_depth{{name="{name}"}} 0' in text
    adds = next(line for line in text.splitlines() if line.startswith(f'workqueue_adds_total{{name="{name}"}}'))
    assert int(adds.rpartition(" ")[2]) >= 5
    assert f'workqueue_queue_duration_seconds_bucket{{name="{name}",le="+Inf"}}' in text
    assert f'workqueue_work_duration_seconds_count{{name="{name}"}}' in text
    assert "workqueue_" not in gone
