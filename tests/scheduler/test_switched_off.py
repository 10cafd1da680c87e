"""Profiles side by side in one scheduler, of which one has filters switched off."""

from tests.scheduler.scheduling import node, pod, scheduling_alone

from bireme.api.kinds import core
from bireme.scheduler.configuration import Settings
from bireme.scheduler.interface import Lack, Stop
from bireme.scheduler.profile import Profile


def loose(*off: str) -> Settings:
    """The default profile, and one without these filters."""
    return Settings(profiles=(Profile(), Profile(name="loose", off=frozenset(off))))


class Nowhere:
    """A rule that leaves no node to anybody."""

    plugin = "VolumeZone"

    def concerns(self, pod: core.Pod) -> bool:
        return True

    def look(self, pod: core.Pod) -> Stop:
        return Stop("0/1 nodes are available: 1 nowhere.", Lack.VOLUMES)

    def reserve(self, pod: core.Pod, node: str) -> bool:
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        pass

    def release(self, pod: core.Pod) -> None:
        pass


async def test_a_profile_without_a_filter_takes_nodes_that_others_refuse() -> None:
    async with scheduling_alone(settings=loose("NodeResourcesFit")) as s:
        await s.register(node("small", cpu="1"))
        await s.create(pod("strict", cpu="2"), pod("free", cpu="2", scheduler="loose"))
        assert await s.placed("free") == "small"
        assert "Insufficient cpu" in await s.refused("strict")


async def test_all_that_wait_are_woken_where_amounts_do_not_count() -> None:
    async with scheduling_alone(settings=loose("NodeResourcesFit")) as s:
        cordoned = node("n")
        await s.register(cordoned)
        found = await s.cluster.client.get(core.Node, "n")
        found.spec.unschedulable = True
        await s.cluster.client.update(found)
        pods = [pod(f"p{number}", cpu="3", scheduler="loose") for number in range(4)]
        await s.create(*pods)
        for each in pods:
            assert "unschedulable" in await s.refused(each.metadata.name)
        found = await s.cluster.client.get(core.Node, "n")
        found.spec.unschedulable = None
        await s.cluster.client.update(found)
        for each in pods:
            assert await s.placed(each.metadata.name) == "n"


async def test_a_rule_that_is_off_is_not_asked() -> None:
    async with scheduling_alone(settings=loose("VolumeZone"), rules=[Nowhere()]) as s:
        await s.register(node("n"))
        await s.create(pod("strict"), pod("free", scheduler="loose"))
        assert await s.placed("free") == "n"
        assert "nowhere" in await s.refused("strict")
