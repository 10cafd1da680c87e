"""Pods that need a feature of the node agent, over the whole scheduler."""

import pytest
from tests.scheduler.scheduling import node, pod, scheduling_with_rules

from bireme.api.kinds import core
from bireme.scheduler.configuration import Settings
from bireme.scheduler.features import features_of
from bireme.scheduler.profile import Profile

RESTART = "RestartAllContainersOnContainerExits"


def restarting(name: str, *, scheduler: str = "") -> core.Pod:
    """A pod of which one container's end restarts all."""
    made = pod(name, scheduler=scheduler)
    codes = core.ContainerRestartRuleOnExitCodes(operator="In", values=[3])
    rule = core.ContainerRestartRule(action="RestartAllContainers", exit_codes=codes)
    made.spec.containers[0].restart_policy = "Never"
    made.spec.containers[0].restart_policy_rules = [rule]
    return made


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(core.PodSpec(), [], id="a plain pod needs none"),
        pytest.param(restarting("p").spec, [RESTART], id="rules that restart all"),
        pytest.param(
            core.PodSpec(host_network=True, host_users=False),
            ["UserNamespacesHostNetworkSupport"],
            id="users of its own on the host's network",
        ),
        pytest.param(core.PodSpec(host_network=True), [], id="the host's users"),
    ],
)
def test_what_a_pod_needs(spec: core.PodSpec, expected: list[str]) -> None:
    assert features_of(spec) == expected


async def test_a_pod_waits_for_a_node_that_declares_what_it_needs() -> None:
    settings = Settings(profiles=(Profile(), Profile(name="loose", off=frozenset(("NodeDeclaredFeatures",)))))
    async with scheduling_with_rules(settings) as s:
        await s.register(node("old"))
        await s.create(restarting("p"), restarting("loose", scheduler="loose"))
        said = await s.refused("p")
        assert said.startswith(
            f"0/1 nodes are available: 1 node declared features check failed - unsatisfied requirements: {RESTART}."
        )
        assert await s.placed("loose") == "old"
        found = await s.cluster.client.get(core.Node, "old")
        found.status.declared_features = [RESTART]
        await s.cluster.client.update(found, subresource="status")
        assert await s.placed("p") == "old"
