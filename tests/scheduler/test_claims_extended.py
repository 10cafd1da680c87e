"""Extended resources that device classes stand for: which nodes have them, and the claim that a pod gets for them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scheduler.rule_world import World, until, verdict, world
from tests.scheduler.scheduling import Scheduling, node, pod, scheduling_with_rules
from tests.scheduler.test_claims import Rules, gpu_class, make, slice_on

from bireme.aio.clock import VirtualClock
from bireme.api.errors import ApiError
from bireme.api.kinds import core, meta, resource, scheduling
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.controllers.resource_claims import ResourceClaimController
from bireme.ledger.columns import Columns, Load
from bireme.scheduler.claims_columns import NO_DEVICES
from bireme.scheduler.claims_extended import ANNOTATION, PREFIX, ExtendedResources, mappings, requests_for

GPU, IMPLICIT = "example.com/gpu", f"{PREFIX}gpu"


class Nowhere:
    """Asks nobody."""


def classes(*made: resource.DeviceClass) -> Informer[resource.DeviceClass]:
    informer = Informer(Client(Nowhere()), resource.DeviceClass, clock=VirtualClock())  # type: ignore[arg-type]
    informer.have(made)
    return informer


def named(name: str, extended: str = "", *, created: str = "2026-01-01T00:00:00Z") -> resource.DeviceClass:
    return resource.DeviceClass(
        metadata=meta.ObjectMeta(name=name, creation_timestamp=created),
        spec=resource.DeviceClassSpec(extended_resource_name=extended),
    )


def asking(name: str, *wanted: Mapping[str, str], init: int = 0, priority: str = "") -> core.Pod:
    """A pod with a container for each of these requests, of which the first `init` come before the others."""
    made = pod(name, priority=priority)
    containers = [
        core.Container(
            name=f"c{number}",
            image="i",
            resources=core.ResourceRequirements(requests=dict(each), limits=dict(each)),
        )
        for number, each in enumerate(wanted)
    ]
    made.spec.init_containers, made.spec.containers = containers[:init], containers[init:]
    made.metadata.uid = name
    return made


def test_each_container_has_a_request_for_each_of_its_devices() -> None:
    wanted = asking("p", {GPU: "1"}, {"cpu": "1", GPU: "2", "example.com/nic": "1"}, {"cpu": "1"}, init=1)
    requests = requests_for(wanted, {GPU: "gpu"})
    assert [(each.name, each.exactly.device_class_name, each.exactly.count) for each in requests if each.exactly] == [
        ("container-0-request-0", "gpu", 1),
        ("container-1-request-1", "gpu", 2),
    ]
    claim = resource.ResourceClaim(spec=resource.ResourceClaimSpec(devices=resource.DeviceClaim(requests=requests)))
    assert [(each.container_name, each.resource_name, each.request_name) for each in mappings(wanted, claim)] == [
        ("c0", GPU, "container-0-request-0"),
        ("c1", GPU, "container-1-request-1"),
    ]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param([named("old", GPU), named("new", GPU, created="2026-02-01T00:00:00Z")], "new", id="the newest"),
        pytest.param([named("b", GPU), named("a", GPU)], "a", id="of those made at once the first by name"),
    ],
)
def test_of_classes_for_one_resource_one_counts(made: Sequence[resource.DeviceClass], expected: str) -> None:
    columns = Columns()
    columns.add_node("n")
    extended = ExtendedResources(classes(*made), columns, lambda: None)
    (request,) = extended.requests_on(asking("p", {GPU: "1"}), "n")
    assert request.exactly is not None
    assert request.exactly.device_class_name == expected
    assert columns.delegated == {GPU, *(PREFIX + each.metadata.name for each in made)}


amounts = st.dictionaries(st.sampled_from((GPU, "example.com/nic", "example.com/own")), st.integers(1, 3), max_size=3)


@given(st.lists(amounts, min_size=1, max_size=4), st.lists(amounts, max_size=3), amounts)
def test_nodes_are_sorted_as_if_each_were_looked_at(
    have: list[dict[str, int]], taken: list[dict[str, int]], wanted: dict[str, int]
) -> None:
    """What a node has itself must be free there; of what it has not, devices are asked for."""
    columns, stands_for = Columns(), {GPU: "gpu", "example.com/nic": "nic"}
    for number, amount in enumerate(have):
        columns.set_allocatable(columns.add_node(f"n{number}"), amount)
    for number, amount in enumerate(taken[: len(have)]):
        columns.promise(number, Load(amount))
    made = [named(name, extended) for extended, name in stands_for.items()]
    extended = ExtendedResources(classes(*made), columns, lambda: None)
    new = asking("p", {name: str(amount) for name, amount in wanted.items()})
    asked = {name: amount for name, amount in wanted.items() if name in stands_for}
    assert extended.asked(new) == asked
    variants = extended.variants(new, asked)
    for number, own in enumerate(have):
        name, row = f"n{number}", columns.rows[f"n{number}"]
        lacking = {each: stands_for[each] for each in asked if not own.get(each)}
        (variant,) = [each for each in variants if each.rows[row]]
        assert list(variant.requests) == list(extended.requests_on(new, name)) == requests_for(new, lacking)
        held = taken[number] if number < len(taken) else {}
        short = {each for each in asked if own.get(each) and own[each] - held.get(each, 0) < asked[each]}
        assert {each for each in asked if extended.short(each, asked[each])[row]} == short
        assert extended.is_short(new, name) == bool(short)
        assert not extended.is_short(new, name, [held, dict.fromkeys(asked, 9)])


async def stocked(there: World, rules: Rules) -> None:
    """Node a has a plug-in's devices, b has two of a driver's, and c none."""
    await there.add_nodes("a", "b", "c")
    there.columns.set_allocatable(there.columns.rows["a"], {GPU: 1})
    made = gpu_class()
    made.spec.extended_resource_name = GPU
    await there.admin.create(made)
    await there.admin.create(slice_on("b", "x", "y"))
    await until(lambda: rules.devices.slices.items() and rules.devices.classes.items())


async def test_a_resource_comes_from_a_plug_in_or_from_devices() -> None:
    async with world(make) as (there, rules):
        await stocked(there, rules)
        one, two, three = [await created(there, name, "2" if name == "two" else "1") for name in ("one", "two", "x")]
        assert verdict(rules.rule, one, there.columns) == {"c": NO_DEVICES}
        assert verdict(rules.rule, two, there.columns) == {"a": f"Insufficient {GPU}", "c": NO_DEVICES}
        assert not rules.rule.reserve(two, "a")
        assert rules.rule.reserve(one, "b")
        assert verdict(rules.rule, two, there.columns) == {
            "a": f"Insufficient {GPU}",
            "b": NO_DEVICES,
            "c": NO_DEVICES,
        }
        rules.rule.release(one)
        assert rules.rule.reserve(two, "b")
        await rules.rule.prepare(two, "b")
        (claim,) = (await there.admin.list(resource.ResourceClaim, namespace="default")).items
        assert claim.metadata.name.startswith("two-extended-resources-")
        assert claim.metadata.annotations == {ANNOTATION: "true"}
        assert [owner.uid for owner in claim.metadata.owner_references] == [two.metadata.uid]
        assert [result.device for result in claim.status.allocation.devices.results] == ["g0", "g1"]
        assert [user.uid for user in claim.status.reserved_for] == [two.metadata.uid]
        found = await there.admin.get(core.Pod, "two", namespace="default")
        status = found.status.extended_resource_claim_status
        assert status is not None
        assert status.resource_claim_name == claim.metadata.name
        assert status.request_mappings[0].request_name == "container-0-request-0"
        assert verdict(rules.rule, three, there.columns) == {"b": NO_DEVICES, "c": NO_DEVICES}
        await there.bind(found, "b")
        assert rules.rule.would_allow(three, "b", [two.metadata.uid])
        assert not rules.rule.would_allow(three, "b", ["nobody"])


async def created(there: World, name: str, count: str) -> core.Pod:
    wanted = asking(name, {GPU: count})
    wanted.metadata.uid = ""
    return await there.admin.create(wanted)


async def test_a_claim_made_in_vain_is_deleted_and_the_pod_waits_for_that() -> None:
    async with world(make) as (there, rules):
        await stocked(there, rules)
        one = await created(there, "one", "1")
        assert rules.rule.reserve(one, "b")
        await rules.rule.prepare(one, "b")
        await until(lambda: rules.devices.special_of(one.metadata.uid))
        rules.rule.release(one)
        said = verdict(rules.rule, one, there.columns)
        assert said == "0/3 nodes are available: cannot schedule extended resource claim."
        await run_until_gone(there, rules)
        assert verdict(rules.rule, one, there.columns) == {"c": NO_DEVICES}
        assert rules.rule.reserve(one, "b")


async def run_until_gone(there: World, rules: Rules) -> None:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(rules.rule.run())
        await until(lambda: not rules.devices.claims.items())
        running.cancel()


async def with_devices(s: Scheduling, *models: str) -> None:
    """One node with devices, for which a class stands."""
    await s.register(node("a"))
    made = gpu_class()
    made.spec.extended_resource_name = GPU
    await s.cluster.client.create(made)
    await s.cluster.client.create(slice_on("a", *models))


@pytest.mark.parametrize("name", [GPU, IMPLICIT])
async def test_a_pod_is_bound_with_its_claim(name: str) -> None:
    async with scheduling_with_rules() as s:
        await with_devices(s, "x")
        first, second = asking("first", {name: "1"}), asking("second", {name: "1"})
        first.metadata.uid = second.metadata.uid = ""
        await s.create(first)
        assert await s.placed("first") == "a"
        await s.create(second)
        assert NO_DEVICES in await s.refused("second")
        found = await s.cluster.client.get(core.Pod, "first", namespace="default")
        status: Any = found.status.extended_resource_claim_status
        claim = await s.cluster.client.get(resource.ResourceClaim, status.resource_claim_name, namespace="default")
        assert claim.status.reserved_for[0].uid == found.metadata.uid


async def test_a_pod_waits_until_a_class_stands_for_what_it_asks() -> None:
    async with scheduling_with_rules() as s:
        await s.register(node("a"))
        await s.cluster.client.create(slice_on("a", "x"))
        wanted = asking("p", {GPU: "1"})
        wanted.metadata.uid = ""
        await s.create(wanted)
        assert f"Insufficient {GPU}" in await s.refused("p")
        made = gpu_class()
        made.spec.extended_resource_name = GPU
        await s.cluster.client.create(made)
        assert await s.placed("p") == "a"


async def test_a_pod_of_higher_priority_has_one_evicted_that_has_the_device() -> None:
    async with scheduling_with_rules() as s:
        await s.cluster.client.create(scheduling.PriorityClass(metadata=meta.ObjectMeta(name="high"), value=1000))
        await with_devices(s, "x")
        low, high = asking("low", {GPU: "1"}), asking("high", {GPU: "1"}, priority="high")
        low.metadata.uid = high.metadata.uid = ""
        await s.create(low)
        assert await s.placed("low") == "a"
        await s.create(high)
        nominated = await s.settled("high", lambda found: found.status.nominated_node_name)
        assert nominated.status.nominated_node_name == "a"


async def test_names_of_classes_may_be_asked_for_and_no_others_of_the_domain() -> None:
    async with world(make) as (there, _):
        await there.admin.create(asking("fine", {IMPLICIT: "1"}))
        with pytest.raises(ApiError, match="extended resource name standard"):
            await there.admin.create(asking("wrong", {"other.resource.kubernetes.io/gpu": "1"}))


async def test_a_claim_goes_when_its_pod_has_ended() -> None:
    async with world(make, controllers=[ResourceClaimController]) as (there, rules):
        await stocked(there, rules)
        one = await created(there, "one", "1")
        assert rules.rule.reserve(one, "b")
        await rules.rule.prepare(one, "b")
        await until(lambda: rules.devices.special_of(one.metadata.uid))
        await there.bind(one, "b")
        ended = {"status": {"phase": "Succeeded"}}
        await there.admin.patch(core.Pod, "one", ended, namespace="default", subresource="status")
        await until(lambda: not rules.devices.claims.items())
        assert not rules.devices.taken.whole
