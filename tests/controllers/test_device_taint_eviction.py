"""Pods leave devices with NoExecute taints: at once, in time, or never."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.scheduler.rule_world import World, until, world

from bireme.api.kinds import core, meta, resource
from bireme.api.times import rfc3339
from bireme.client.client import Patch
from bireme.client.informer import Key
from bireme.controllers.device_taint_eviction import DeviceTaintEvictionController, leaves_at, taints_on
from bireme.controllers.taints import NO_EXECUTE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DRIVER = "gpu.example.com"
RESULT = resource.DeviceRequestAllocationResult(driver=DRIVER, pool="n", device="g0", request="r")


def taint(key: str = "broken", *, effect: str = NO_EXECUTE, ago: float = 0) -> resource.DeviceTaint:
    added = rfc3339(NOW - timedelta(seconds=ago)) if ago else ""
    return resource.DeviceTaint(key=key, value="yes", effect=effect, time_added=added)


def tolerated(key: str = "", *, seconds: int | None = None, value: str = "") -> resource.DeviceToleration:
    operator = "Equal" if value else "Exists"
    return resource.DeviceToleration(key=key, operator=operator, value=value, toleration_seconds=seconds)


@pytest.mark.parametrize(
    ("taints", "tolerations", "expected"),
    [
        pytest.param([], [], None, id="no taint"),
        pytest.param([taint()], [], 0.0, id="one that is not tolerated"),
        pytest.param([taint()], [tolerated("other")], 0.0, id="another is tolerated"),
        pytest.param([taint()], [tolerated("broken", value="no")], 0.0, id="another value is"),
        pytest.param([taint()], [tolerated()], None, id="for good"),
        pytest.param([taint(ago=10)], [tolerated("broken", seconds=30)], 20.0, id="for a while"),
        pytest.param([taint(ago=60)], [tolerated("broken", seconds=30)], -30.0, id="for a while that is over"),
        pytest.param(
            [taint(ago=10), taint("hot", ago=10)],
            [tolerated("broken", seconds=30), tolerated("hot", seconds=15)],
            5.0,
            id="the first counts",
        ),
        pytest.param([taint(ago=1), taint("hot")], [tolerated("broken")], 0.0, id="one of two"),
    ],
)
def test_when_a_device_is_left(
    taints: list[resource.DeviceTaint], tolerations: list[resource.DeviceToleration], expected: float | None
) -> None:
    found = leaves_at(taints, tolerations, now=NOW)
    assert (None if found is None else (found - NOW).total_seconds()) == expected


def slice_with(*taints: resource.DeviceTaint, generation: int = 1) -> resource.ResourceSlice:
    return resource.ResourceSlice(
        metadata=meta.ObjectMeta(name=f"n-{generation}"),
        spec=resource.ResourceSliceSpec(
            driver=DRIVER,
            node_name="n",
            pool=resource.ResourcePool(name="n", generation=generation, resource_slice_count=1),
            devices=[resource.Device(name="g0", taints=list(taints)), resource.Device(name="g1", taints=[taint()])],
        ),
    )


def rule(**selector: str) -> resource.DeviceTaintRule:
    return resource.DeviceTaintRule(
        metadata=meta.ObjectMeta(name="rule"),
        spec=resource.DeviceTaintRuleSpec(
            device_selector=resource.DeviceTaintSelector(**selector), taint=taint("ruled")
        ),
    )


@pytest.mark.parametrize(
    ("slices", "rules", "keys"),
    [
        pytest.param([slice_with()], [], [], id="none"),
        pytest.param([slice_with(taint())], [], ["broken"], id="of the device"),
        pytest.param([slice_with(taint(effect="NoSchedule"))], [], [], id="one that drives nobody off"),
        pytest.param([slice_with(taint()), slice_with(generation=2)], [], [], id="of a pool as it was"),
        pytest.param([slice_with()], [rule(driver=DRIVER)], ["ruled"], id="of a rule"),
        pytest.param([slice_with()], [rule(pool="other")], [], id="of a rule about others"),
        pytest.param([slice_with()], [rule()], ["ruled"], id="of a rule about all"),
    ],
)
def test_which_taints_a_device_has(
    slices: list[resource.ResourceSlice], rules: list[resource.DeviceTaintRule], keys: list[str]
) -> None:
    assert [each.key for each in taints_on(RESULT, slices, rules)] == keys


def nothing(there: World) -> Any:
    return None, ()


async def test_a_pod_leaves_when_its_device_breaks_and_one_that_puts_up_with_it_stays() -> None:
    async with world(nothing, controllers=[DeviceTaintEvictionController]) as (there, _):
        await there.add_nodes("n")
        await there.admin.create(slice_with())
        for name, tolerations in (("shy", []), ("tough", [tolerated("broken")])):
            await using(there, name, tolerations)
        found = await there.admin.get(resource.ResourceSlice, "n-1")
        found.spec.devices = slice_with(taint()).spec.devices
        await there.admin.update(found)
        gone = await until_marked(there, "shy")
        condition = next(each for each in gone.status.conditions if each.type == "DisruptionTarget")
        assert condition.reason == "DeletionByDeviceTaintManager"
        tough = await there.admin.get(core.Pod, "tough", namespace="default")
        assert not tough.metadata.deletion_timestamp


async def using(there: World, name: str, tolerations: list[resource.DeviceToleration]) -> None:
    """A pod on the node, with a claim of its name that has the first device."""
    claim = resource.ResourceClaim(
        metadata=meta.ObjectMeta(name=name, namespace="default"),
        spec=resource.ResourceClaimSpec(
            devices=resource.DeviceClaim(
                requests=[
                    resource.DeviceRequest(name="r", exactly=resource.ExactDeviceRequest(device_class_name="gpu"))
                ]
            )
        ),
    )
    await there.admin.create(claim)
    pod = core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="default"),
        spec=core.PodSpec(
            node_name="n",
            service_account_name="default",
            containers=[core.Container(name="c", image="i")],
            resource_claims=[core.PodResourceClaim(name="e", resource_claim_name=name)],
        ),
    )
    made = await there.admin.create(pod)
    result = resource.DeviceRequestAllocationResult(
        driver=DRIVER, pool="n", device="g0", request="r", tolerations=tolerations
    )
    status = {
        "allocation": {"devices": {"results": [msgspec.to_builtins(result)]}},
        "reservedFor": [{"resource": "pods", "name": name, "uid": made.metadata.uid}],
    }
    await there.admin.patch(
        resource.ResourceClaim, name, {"status": status}, namespace="default", subresource="status", how=Patch.MERGE
    )
    await until(lambda: there.pods.get(Key("default", name)) is not None)


async def until_marked(there: World, name: str) -> core.Pod:
    """The pod as it was last seen with the condition."""
    last: list[core.Pod] = []

    def marked() -> bool:
        pod = there.pods.get(Key("default", name))
        if pod is not None:
            last[:] = [pod]
        return bool(last) and any(each.type == "DisruptionTarget" for each in last[0].status.conditions)

    await until(marked)
    return last[0]
