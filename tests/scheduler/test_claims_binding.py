"""Devices that are made ready after they were allocated: pods wait for them, for a while, and not for broken ones."""

import asyncio
from typing import Any

import msgspec
import pytest
from tests.scheduler.rule_world import World, until, world
from tests.scheduler.test_claims import Rules, claim, pods_with_claims, slice_on, stock, stored

from bireme.aio.uids import new_uid
from bireme.api.kinds import core, meta, resource
from bireme.client.client import Patch
from bireme.scheduler.claims import DynamicResources
from bireme.scheduler.claims_binding import Standing, standing
from bireme.scheduler.interface import NotReady

STAMP = "2026-01-01T00:00:00Z"


def allocated(*said: tuple[str, str]) -> resource.ResourceClaim:
    """A claim with one device that must be attached and may fail, of which these conditions are told."""
    result = resource.DeviceRequestAllocationResult(
        driver="d",
        pool="p",
        device="g",
        binding_conditions=["attached", "warm"],
        binding_failure_conditions=["broken"],
    )
    conditions = [meta.Condition(type=kind, status=status) for kind, status in said]
    return resource.ResourceClaim(
        status=resource.ResourceClaimStatus(
            allocation=resource.AllocationResult(devices=resource.DeviceAllocationResult(results=[result])),
            devices=[resource.AllocatedDeviceStatus(driver="d", pool="p", device="g", conditions=conditions)],
        )
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param([], Standing((), ("d/p/g: attached", "d/p/g: warm")), id="nothing is told"),
        pytest.param([("attached", "True")], Standing((), ("d/p/g: warm",)), id="one of two"),
        pytest.param([("attached", "True"), ("warm", "False")], Standing((), ("d/p/g: warm",)), id="not yet"),
        pytest.param([("attached", "True"), ("warm", "True")], Standing(), id="ready"),
        pytest.param(
            [("attached", "True"), ("warm", "True"), ("broken", "True")], Standing(("d/p/g: broken",)), id="broken"
        ),
    ],
)
def test_how_devices_stand(said: list[tuple[str, str]], expected: Standing) -> None:
    assert standing(allocated(*said)) == expected


def attachable(node: str) -> resource.ResourceSlice:
    made = slice_on(node, "x")
    made.spec.devices[0].binding_conditions = ["attached"]
    made.spec.devices[0].binding_failure_conditions = ["broken"]
    made.spec.devices[0].binds_to_node = True
    return made


def impatient(there: World) -> Any:
    rules = Rules(there)
    rules.rule = DynamicResources(
        there.client,
        devices=rules.devices,
        nodes=there.nodes,
        columns=there.columns,
        pods=there.pods,
        clock=there.clock,
        uid=new_uid,
        binding_timeout_s=0.05,
    )
    return rules, rules.devices.informers()


def patient(there: World) -> Any:
    rules = Rules(there)
    return rules, rules.devices.informers()


async def reserved(there: World, rules: Rules) -> core.Pod:
    await there.add_nodes("a")
    await stock(there, rules, attachable("a"))
    (pod,) = await pods_with_claims(there, rules, claim("one"))
    assert rules.rule.reserve(pod, "a")
    return pod


async def tell(there: World, rules: Rules, kind: str) -> None:
    """The driver says so of the claim's device, once that is allocated."""
    await until(lambda: any(each.status.allocation for each in rules.devices.claims.items()))
    found = await stored(there, "one")
    (result,) = found.status.allocation.devices.results
    assert result.binding_conditions == ["attached"]
    condition = meta.Condition(type=kind, status="True", reason="Said", last_transition_time=STAMP)
    device = resource.AllocatedDeviceStatus(
        driver=result.driver, pool=result.pool, device=result.device, conditions=[condition]
    )
    status = {"devices": [msgspec.to_builtins(device)]}
    await there.admin.patch(
        resource.ResourceClaim, "one", {"status": status}, namespace="default", subresource="status", how=Patch.MERGE
    )


async def test_a_pod_waits_until_its_device_is_attached() -> None:
    async with world(patient) as (there, rules), asyncio.TaskGroup() as tasks:
        pod = await reserved(there, rules)
        preparing = tasks.create_task(rules.rule.prepare(pod, "a"))
        await until(lambda: any(each.status.allocation for each in rules.devices.claims.items()))
        assert not preparing.done()
        await tell(there, rules, "attached")
        await preparing
        found = await stored(there, "one")
        assert found.status.allocation.node_selector.node_selector_terms[0].match_fields[0].values == ["a"]


async def test_a_device_that_breaks_sends_the_pod_back() -> None:
    async with world(patient) as (there, rules), asyncio.TaskGroup() as tasks:
        undoing = tasks.create_task(rules.rule.run())
        pod = await reserved(there, rules)
        telling = tasks.create_task(tell(there, rules, "broken"))
        with pytest.raises(NotReady, match=r"device binding failed: .*: broken"):
            await rules.rule.prepare(pod, "a")
        await telling
        rules.rule.release(pod)
        await until(lambda: not any(each.status.allocation for each in rules.devices.claims.items()))
        undoing.cancel()


async def test_nobody_waits_for_ever() -> None:
    async with world(impatient) as (there, rules):
        pod = await reserved(there, rules)
        with pytest.raises(TimeoutError, match="device binding timeout"):
            await rules.rule.prepare(pod, "a")
