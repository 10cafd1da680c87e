"""Devices for pods, over the real API: where they can be had, that nobody gets another's, and that they come back."""

import asyncio
from typing import Any

import pytest
from tests.scheduler.rule_world import World, until, verdict, world

from bireme.aio.uids import new_uid
from bireme.api.errors import NotFound
from bireme.api.kinds import core, meta, resource
from bireme.client.informer import Key
from bireme.controllers.resource_claims import ResourceClaimController
from bireme.scheduler import claims_columns
from bireme.scheduler.claims import ELSEWHERE, DynamicResources
from bireme.scheduler.claims_cache import Devices
from bireme.scheduler.claims_columns import NO_DEVICES
from bireme.scheduler.claims_writing import FINALIZER
from bireme.scheduler.interface import Cold, NotReady, looked

DRIVER = "gpu.example.com"


class Rules:
    """The rule and its caches."""

    def __init__(self, there: World) -> None:
        self.devices = Devices(there.client, nodes=there.nodes, clock=there.clock)
        self.rule = DynamicResources(
            there.client,
            devices=self.devices,
            nodes=there.nodes,
            columns=there.columns,
            pods=there.pods,
            clock=there.clock,
            uid=new_uid,
        )


def make(there: World) -> Any:
    rules = Rules(there)
    return rules, rules.devices.informers()


def slice_on(node: str, *models: str, name: str = "", **spec: Any) -> resource.ResourceSlice:
    devices = [
        resource.Device(name=f"g{number}", attributes={"model": resource.DeviceAttribute(string=model)})
        for number, model in enumerate(models)
    ]
    pool = resource.ResourcePool(name=name or node, generation=1, resource_slice_count=1)
    where = spec or {"node_name": node}
    return resource.ResourceSlice(
        metadata=meta.ObjectMeta(name=f"{name or node}-slice"),
        spec=resource.ResourceSliceSpec(driver=DRIVER, pool=pool, devices=devices, **where),
    )


def gpu_class() -> resource.DeviceClass:
    text = f'device.driver == "{DRIVER}"'
    selector = resource.DeviceSelector(cel=resource.CELDeviceSelector(expression=text))
    return resource.DeviceClass(
        metadata=meta.ObjectMeta(name="gpu"), spec=resource.DeviceClassSpec(selectors=[selector])
    )


def spec(model: str = "", *, count: int = 1) -> resource.ResourceClaimSpec:
    text = f'device.attributes["{DRIVER}"].model == "{model}"'
    selectors = [resource.DeviceSelector(cel=resource.CELDeviceSelector(expression=text))] if model else []
    exactly = resource.ExactDeviceRequest(
        device_class_name="gpu", allocation_mode="ExactCount", count=count, selectors=selectors
    )
    request = resource.DeviceRequest(name="gpu", exactly=exactly)
    return resource.ResourceClaimSpec(devices=resource.DeviceClaim(requests=[request]))


def claim(name: str, model: str = "", *, count: int = 1) -> resource.ResourceClaim:
    return resource.ResourceClaim(
        metadata=meta.ObjectMeta(name=name, namespace="default"), spec=spec(model, count=count)
    )


async def user(there: World, name: str, *entries: core.PodResourceClaim) -> core.Pod:
    pod = core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="default"),
        spec=core.PodSpec(
            containers=[core.Container(name="c", image="i")],
            resource_claims=list(entries),
            termination_grace_period_seconds=0,
        ),
    )
    return await there.admin.create(pod)


def entry(claim: str = "", template: str = "") -> core.PodResourceClaim:
    return core.PodResourceClaim(name="e", resource_claim_name=claim, resource_claim_template_name=template)


async def pods_with_claims(there: World, rules: Rules, *claims: resource.ResourceClaim) -> list[core.Pod]:
    """A pod for each claim, all in the caches."""
    for each in claims:
        await there.admin.create(each)
    await until(lambda: len(rules.devices.claims.items()) == len(claims))
    return [await user(there, f"p-{each.metadata.name}", entry(each.metadata.name)) for each in claims]


async def stock(there: World, rules: Rules, *slices: resource.ResourceSlice) -> None:
    await there.admin.create(gpu_class())
    for each in slices:
        await there.admin.create(each)
    await until(lambda: len(rules.devices.slices.items()) == len(slices) and rules.devices.classes.items())


async def stored(there: World, name: str) -> resource.ResourceClaim:
    return await there.admin.get(resource.ResourceClaim, name, namespace="default")


async def test_a_pod_goes_where_a_device_is_and_no_other_gets_it() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a", "b", "c")
        await stock(there, rules, slice_on("a", "x"), slice_on("b", "x", "y"))
        one, two, three = await pods_with_claims(
            there, rules, claim("one", "x"), claim("two", "x"), claim("three", "x")
        )
        assert verdict(rules.rule, one, there.columns) == {"c": NO_DEVICES}
        assert rules.rule.reserve(one, "a")
        assert verdict(rules.rule, two, there.columns) == {"a": NO_DEVICES, "c": NO_DEVICES}
        assert rules.rule.reserve(two, "b")
        assert verdict(rules.rule, three, there.columns) == dict.fromkeys("abc", NO_DEVICES)
        assert not rules.rule.reserve(three, "b")
        await rules.rule.prepare(one, "a")
        found = await stored(there, "one")
        assert [r.device for r in found.status.allocation.devices.results] == ["g0"]
        assert [u.uid for u in found.status.reserved_for] == [one.metadata.uid]
        assert FINALIZER in found.metadata.finalizers
        assert found.status.allocation.node_selector.node_selector_terms[0].match_fields[0].values == ["a"]
        rules.rule.release(two)
        assert verdict(rules.rule, three, there.columns) == {"a": NO_DEVICES, "c": NO_DEVICES}


async def test_what_is_missing_is_told() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a")
        early = await user(there, "early", entry(template="t"))
        text = '0/1 nodes are available: pod claim "e": ResourceClaim not created yet.'
        assert verdict(rules.rule, early, there.columns) == text
        lost = await user(there, "lost", entry("nowhere"))
        text = '0/1 nodes are available: resourceclaim.resource.k8s.io "nowhere" not found.'
        assert verdict(rules.rule, lost, there.columns) == text
        (pod,) = await pods_with_claims(there, rules, claim("one"))
        text = "0/1 nodes are available: request gpu: device class gpu does not exist."
        assert verdict(rules.rule, pod, there.columns) == text


async def test_pods_share_a_claim_where_it_is() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a", "b")
        await stock(there, rules, slice_on("a", "x"), slice_on("b", "x"))
        (first,) = await pods_with_claims(there, rules, claim("one"))
        second = await user(there, "second", entry("one"))
        assert rules.rule.reserve(first, "b")
        text = "0/2 nodes are available: resource claim default/one is in the process of being allocated."
        assert verdict(rules.rule, second, there.columns) == text
        await rules.rule.prepare(first, "b")
        third = await user(there, "third", entry("two"))
        await there.admin.create(claim("two", count=1))
        await until(lambda: rules.devices.claims.get(Key("default", "two")))
        await until(
            lambda: not rules.devices.is_decided(rules.devices.claims.get(Key("default", "one")).metadata.uid)
        )
        assert verdict(rules.rule, second, there.columns) == {"a": ELSEWHERE}
        assert not rules.rule.reserve(second, "a")
        assert rules.rule.reserve(second, "b")
        await rules.rule.prepare(second, "b")
        assert len((await stored(there, "one")).status.reserved_for) == 2
        await until(lambda: len(rules.devices.claims.get(Key("default", "one")).status.reserved_for) == 2)
        users = {first.metadata.uid, second.metadata.uid}
        assert rules.rule.reserve(third, "a")
        rules.rule.release(third)
        busy = rules.devices.taken.whole
        assert rules.rule.would_allow(third, "b", users)
        assert not rules.rule.would_allow(third, "b", {first.metadata.uid})
        assert rules.devices.taken.whole == busy


async def test_devices_on_the_network_are_for_the_nodes_that_reach_them() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a", zone="z1")
        await there.add_nodes("b", zone="z2")
        wish = core.NodeSelectorRequirement(key="topology.kubernetes.io/zone", operator="In", values=["z2"])
        selector = core.NodeSelector(node_selector_terms=[core.NodeSelectorTerm(match_expressions=[wish])])
        await stock(there, rules, slice_on("", "x", name="net", node_selector=selector))
        (pod,) = await pods_with_claims(there, rules, claim("one"))
        assert verdict(rules.rule, pod, there.columns) == {"a": NO_DEVICES}
        assert rules.rule.reserve(pod, "b")
        await rules.rule.prepare(pod, "b")
        found = (await stored(there, "one")).status.allocation.node_selector
        assert found.node_selector_terms == selector.node_selector_terms


async def test_a_pool_that_is_incomplete_is_not_used_and_one_that_comes_is() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a")
        half = slice_on("a", "x")
        half.spec.pool.resource_slice_count = 2
        await stock(there, rules, half)
        (pod,) = await pods_with_claims(there, rules, claim("one"))
        assert verdict(rules.rule, pod, there.columns) == {"a": NO_DEVICES}
        other = slice_on("a", name="other")
        other.spec.pool = half.spec.pool
        await there.admin.create(other)
        await until(lambda: len(rules.devices.slices.items()) == 2)
        assert verdict(rules.rule, pod, there.columns) == {}


async def test_a_claim_that_changes_meanwhile_is_read_again() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a")
        await stock(there, rules, slice_on("a", "x"))
        (pod,) = await pods_with_claims(there, rules, claim("one"))
        assert rules.rule.reserve(pod, "a")
        marks = {"metadata": {"labels": {"changed": "true"}}}
        await there.admin.patch(resource.ResourceClaim, "one", marks, namespace="default")
        await rules.rule.prepare(pod, "a")
        found = await stored(there, "one")
        assert found.status.allocation is not None
        assert found.metadata.labels == {"changed": "true"}


async def test_a_claim_that_goes_meanwhile_sends_the_pod_back() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a")
        await stock(there, rules, slice_on("a", "x"))
        (pod,) = await pods_with_claims(there, rules, claim("one"))
        assert rules.rule.reserve(pod, "a")
        await there.admin.delete(resource.ResourceClaim, "one", namespace="default")
        with pytest.raises(NotReady):
            await rules.rule.prepare(pod, "a")
        rules.rule.release(pod)
        await until(lambda: not rules.devices.taken.whole)


async def test_a_failed_binding_gives_the_devices_back() -> None:
    async with world(make, controllers=[ResourceClaimController]) as (there, rules), asyncio.TaskGroup() as tasks:
        undoing = tasks.create_task(rules.rule.run())
        await there.add_nodes("a")
        await stock(there, rules, slice_on("a", "x"))
        one, two = await pods_with_claims(there, rules, claim("one"), claim("two"))
        assert rules.rule.reserve(one, "a")
        await rules.rule.prepare(one, "a")
        rules.rule.release(one)

        async def given_back() -> bool:
            return (await stored(there, "one")).status.allocation is None

        await until(given_back)
        await until(lambda: verdict(rules.rule, two, there.columns) == {})
        undoing.cancel()


async def test_a_template_makes_a_claim_that_lives_as_long_as_its_pod_uses_it() -> None:
    async with world(make, controllers=[ResourceClaimController]) as (there, rules):
        await there.add_nodes("a")
        await stock(there, rules, slice_on("a", "x"))
        template = resource.ResourceClaimTemplate(
            metadata=meta.ObjectMeta(name="t", namespace="default"),
            spec=resource.ResourceClaimTemplateSpec(metadata=meta.ObjectMeta(labels={"l": "v"}), spec=spec()),
        )
        await user(there, "p", entry(template="t"))
        await there.admin.create(template)

        async def told() -> Any:
            pod = await there.admin.get(core.Pod, "p", namespace="default")
            return pod.status.resource_claim_statuses and pod

        pod = await until(told)
        name = pod.status.resource_claim_statuses[0].resource_claim_name
        made = await stored(there, name)
        assert made.metadata.labels == {"l": "v"}
        assert made.metadata.annotations == {"resource.kubernetes.io/pod-claim-name": "e"}
        assert made.metadata.owner_references[0].uid == pod.metadata.uid
        await until(lambda: rules.devices.claims.get(Key("default", name)))
        assert verdict(rules.rule, pod, there.columns) == {}
        assert rules.rule.reserve(pod, "a")
        await rules.rule.prepare(pod, "a")
        await there.bind(pod, "a")
        ended = {"status": {"phase": "Succeeded"}}
        await there.admin.patch(core.Pod, "p", ended, namespace="default", subresource="status")

        async def gone() -> bool:
            try:
                await stored(there, name)
            except NotFound:
                return True
            return False

        await until(gone)
        await until(lambda: not rules.devices.taken.whole)


async def test_a_claim_of_a_deleted_pod_gives_its_devices_back() -> None:
    async with world(make, controllers=[ResourceClaimController]) as (there, rules):
        await there.add_nodes("a")
        await stock(there, rules, slice_on("a", "x"))
        (pod,) = await pods_with_claims(there, rules, claim("one"))
        assert rules.rule.reserve(pod, "a")
        await rules.rule.prepare(pod, "a")
        await there.bind(pod, "a")
        await there.admin.delete(core.Pod, "p-one", namespace="default", grace_period_s=0)

        async def free() -> bool:
            found = await stored(there, "one")
            return found.status.allocation is None and not found.status.reserved_for

        await until(free)
        await there.admin.delete(resource.ResourceClaim, "one", namespace="default")
        await until(lambda: not rules.devices.claims.items())


async def test_many_nodes_are_asked_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a", "b", "c", "d", "e")
        await stock(there, rules, *(slice_on(name, "x") for name in "abcde"))
        one, two, three = await pods_with_claims(
            there, rules, claim("one", "x"), claim("two", "x"), claim("three", "y")
        )
        monkeypatch.setattr(claims_columns, "FEW", 2)
        with pytest.raises(Cold) as cold:
            rules.rule.look(one)
        steps = iter(cold.value.steps)
        next(steps)
        assert rules.rule.reserve(two, "a")  # on a node that was asked already
        list(steps)  # a loaded machine takes more breaks
        assert verdict(rules.rule, one, there.columns) == {"a": NO_DEVICES}
        await there.add_nodes("f")
        assert verdict(rules.rule, one, there.columns) == {"a": NO_DEVICES, "f": NO_DEVICES}
        assert len(looked(rules.rule, three)) == 1


async def test_a_pod_that_went_while_its_claims_were_written_gets_no_more_of_them() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a")
        await stock(there, rules, slice_on("a", "x", "x"))
        for name in ("one", "two"):
            await there.admin.create(claim(name, "x"))
        await until(lambda: len(rules.devices.claims.items()) == 2)
        entries = [core.PodResourceClaim(name=name, resource_claim_name=name) for name in ("one", "two")]
        pod = await user(there, "p", *entries)
        assert rules.rule.reserve(pod, "a")
        write = rules.rule._writer.write

        async def write_and_lose(*args: Any, **named: Any) -> None:
            await write(*args, **named)
            rules.rule.release(pod)

        rules.rule._writer.write = write_and_lose
        with pytest.raises(NotReady, match="is gone"):
            await rules.rule.prepare(pod, "a")
        assert (await stored(there, "one")).status.allocation is not None  # `run` takes it back
        assert (await stored(there, "two")).status.allocation is None
