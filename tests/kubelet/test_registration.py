"""A node's word about itself while its engine comes and goes."""

from bireme.api.kinds import core
from bireme.kubelet.registration import ENGINE_LOST_S, STATUS_S
from bireme.runtime.interface import EngineStatus, RuntimeFault


async def ready(world) -> core.NodeCondition:
    node = await world.client.get(core.Node, "n1")
    return next(condition for condition in node.status.conditions if condition.type == "Ready")


async def test_an_engine_that_restarts_does_not_make_the_node_unready(world, monkeypatch):
    async with world() as w:
        assert (await ready(w)).status == "True"

        async def away() -> EngineStatus:
            raise RuntimeFault("connection refused")

        with monkeypatch.context() as patched:
            patched.setattr(w.engine, "status", away)
            await w.pass_time(ENGINE_LOST_S - STATUS_S)
            assert (await ready(w)).status == "True"
            await w.pass_time(3 * STATUS_S)
            lost = await ready(w)
            assert (lost.status, lost.message) == ("False", "container runtime is down")
        await w.pass_time(STATUS_S)
        assert (await ready(w)).status == "True"


async def test_an_engine_that_says_so_makes_the_node_unready_at_once(world, monkeypatch):
    async with world() as w:

        async def broken() -> EngineStatus:
            return EngineStatus(name="e", version="1", ready=False, network_ready=True, message="no shim")

        monkeypatch.setattr(w.engine, "status", broken)
        await w.pass_time(STATUS_S)
        assert (await ready(w)).message == "container runtime not ready: no shim"
