"""Claims with alternatives: nodes where an earlier one can be had are preferred."""

import pytest
from tests.scheduler.scheduling import Scheduling, node, pod, scheduling_with_rules
from tests.scheduler.test_claims import DRIVER, gpu_class, slice_on

from bireme.api.kinds import core, meta, resource
from bireme.scheduler.claims_allocator import Alternative, Pick, Wanted, preference
from bireme.scheduler.claims_devices import Device, DeviceId
from bireme.scheduler.configuration import Settings
from bireme.scheduler.profile import Profile, Score


def one(name: str, parent: str) -> Alternative:
    return Alternative(name, parent, 1, lambda device: True)


def picked(alternative: Alternative) -> Pick:
    return Pick(alternative, Device(DeviceId("d", "p", alternative.name), resource.Device(name="x"), (), ()))


def test_an_earlier_alternative_counts_more() -> None:
    first, second, plain = one("r/a", "r"), one("r/b", "r"), one("s", "s")
    wanted = [Wanted(((first, second), (plain,)))]
    assert preference(wanted, [[picked(first), picked(plain)]]) == 8
    assert preference(wanted, [[picked(second), picked(second), picked(plain)]]) == 7
    assert preference([Wanted(((plain,),))], [[picked(plain)]]) == 0
    assert preference([*wanted, *wanted], [[picked(first)], [picked(second)]]) == 15


def either(name: str, *models: str) -> resource.ResourceClaim:
    """A claim to one device, of the first of these models that there is."""
    several = [
        resource.DeviceSubRequest(
            name=model,
            device_class_name="gpu",
            allocation_mode="ExactCount",
            count=1,
            selectors=[
                resource.DeviceSelector(
                    cel=resource.CELDeviceSelector(expression=f'device.attributes["{DRIVER}"].model == "{model}"')
                )
            ],
        )
        for model in models
    ]
    return resource.ResourceClaim(
        metadata=meta.ObjectMeta(name=name, namespace="default"),
        spec=resource.ResourceClaimSpec(
            devices=resource.DeviceClaim(requests=[resource.DeviceRequest(name="r", first_available=several)])
        ),
    )


async def placed_with(s: Scheduling, name: str) -> str:
    """The node of a pod with the claim of its name."""
    made = pod(name)
    made.spec.resource_claims = [core.PodResourceClaim(name="e", resource_claim_name=name)]
    await s.create(made)
    return await s.placed(name)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        pytest.param(Profile(), ["b", "a"], id="the better device first"),
        pytest.param(Profile(weights={Score.FIT: 1}), ["a", "b"], id="unless that has no weight"),
    ],
)
async def test_a_pod_goes_where_the_better_device_is(profile: Profile, expected: list[str]) -> None:
    async with scheduling_with_rules(Settings(profiles=(profile,))) as s:
        client = s.cluster.client
        await client.create(gpu_class())
        await client.create(slice_on("a", "small"))
        await client.create(slice_on("b", "large"))
        for name in ("one", "two"):
            await client.create(either(name, "large", "small"))
        await s.register(node("a"), node("b"))
        assert [await placed_with(s, "one"), await placed_with(s, "two")] == expected
