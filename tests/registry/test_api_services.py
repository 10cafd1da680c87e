"""APIServices: one for all that is served here, and what those of other servers say."""

from typing import Any

from bireme.api.scheme import builtin
from bireme.http.interface import Identity
from bireme.registry.api_services import PASSED, ApiServices, Condition, available, local_services
from bireme.registry.options import Call, DeleteOptions

Tree = dict[str, Any]
GROUP = "apiregistration.k8s.io"
USER = Identity("ann", ("system:masters",))


def remote(name: str = "v1.metrics.k8s.io", **spec: Any) -> Tree:
    version, _, group = name.partition(".")
    service = {"namespace": "kube-system", "name": "metrics"}
    given = {"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100}
    return {"metadata": {"name": name}, "spec": {**given, "service": service, **spec}}


def test_versions_of_a_group_come_in_the_order_of_their_age():
    found = {tree["metadata"]["name"]: tree["spec"] for tree in local_services(builtin())}
    assert found["v1."] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    assert found["v2.autoscaling"]["versionPriority"] > found["v1.autoscaling"]["versionPriority"]
    assert "v1.apiregistration.k8s.io" not in found


async def test_ours_are_made_and_made_again(opened):
    async with opened() as registry:
        services, kind = ApiServices(registry), registry.kind(GROUP, "v1", "apiservices")
        await services.settle()
        made = registry.find(GROUP, "v1", "apiservices", "", "v1.apps")
        assert made is not None
        assert available(made)["reason"] == "Local"
        await registry.delete(kind, "", "v1.apps", DeleteOptions(), Call(USER))
        change = lambda tree: {**tree, "spec": {**tree["spec"], "versionPriority": 3}}  # noqa: E731
        await registry.patch(kind, "", "v1.batch", change, Call(USER))
        await services.settle()
        assert registry.find(GROUP, "v1", "apiservices", "", "v1.apps") is not None
        batch = registry.find(GROUP, "v1", "apiservices", "", "v1.batch")
        assert batch is not None
        assert batch["spec"]["versionPriority"] == 15
        written = services.written
        await services.settle()
        assert services.written == written, "nothing is written where all is as it should be"


async def test_a_remote_one_stands_for_its_group_unless_that_is_ours(opened):
    async with opened() as registry:
        services, kind = ApiServices(registry), registry.kind(GROUP, "v1", "apiservices")
        assert services.remotes == {}
        await registry.create(kind, "", remote(), Call(USER))
        await registry.create(kind, "", remote("v1.apps"), Call(USER))
        assert list(services.remotes) == [("metrics.k8s.io", "v1")]
        generation = services.generation
        assert not services.remotes["metrics.k8s.io", "v1"].available
        await services.tell("v1.metrics.k8s.io", PASSED)
        assert services.remotes["metrics.k8s.io", "v1"].available
        assert services.generation > generation
        await registry.delete(kind, "", "v1.metrics.k8s.io", DeleteOptions(), Call(USER))
        assert services.remotes == {}


async def test_what_was_found_is_written_once_and_its_time_is_that_of_the_change(opened):
    async with opened() as registry:
        services, kind = ApiServices(registry), registry.kind(GROUP, "v1", "apiservices")
        await registry.create(kind, "", remote(), Call(USER))
        await services.tell("v1.metrics.k8s.io", Condition("False", "ServiceNotFound", "a"))
        written = services.written
        await services.tell("v1.metrics.k8s.io", Condition("False", "ServiceNotFound", "a"))
        assert services.written == written
        first = registry.find(GROUP, "v1", "apiservices", "", "v1.metrics.k8s.io")
        await registry.clock.advance(60.0)
        await services.tell("v1.metrics.k8s.io", Condition("False", "EndpointsNotFound", "b"))
        second = registry.find(GROUP, "v1", "apiservices", "", "v1.metrics.k8s.io")
        assert available(first)["lastTransitionTime"] == available(second)["lastTransitionTime"]
        assert available(second)["reason"] == "EndpointsNotFound"
