"""Stories of volumes, devices and groups, as a user sees them: a whole cluster of hollow nodes, nothing stands in."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import orjson
import yaml

from bireme.aio.clock import RealClock
from bireme.api import volumes as words
from bireme.api.errors import NotFound
from bireme.api.kinds import core, meta, resource, storage
from bireme.api.kinds import scheduling as scheduling_v1
from bireme.api.kinds import scheduling_v1alpha3 as scheduling
from bireme.client.client import Client
from bireme.simulation.cluster import Wishes, simulated
from bireme.simulation.shapes import Shape

GIVE_UP_S = 60
DRIVER = "gpu.example.com"
EXAMPLE = Path(__file__).parents[2] / "examples" / "pod-groups"


@asynccontextmanager
async def nodes(count: int, *, cpu: str = "4") -> AsyncIterator[Client]:
    """A cluster with so many hollow nodes, named hollow-N."""
    async with simulated(Wishes(nodes=count, shape=Shape(cpu=cpu)), clock=RealClock()) as cluster:
        yield cluster.admin


async def until(claim: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(GIVE_UP_S):
        while not (found := await claim()):
            await asyncio.sleep(0.01)
    return found


def pod(name: str, *, cpu: str = "1", labels: dict[str, str] | None = None, **spec: Any) -> core.Pod:
    resources = core.ResourceRequirements(requests={"cpu": cpu})
    return core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="default", labels=labels or {}),
        spec=core.PodSpec(containers=[core.Container(name="c", image="i", resources=resources)], **spec),
    )


async def running(client: Client, *names: str) -> list[str]:
    """The nodes of these pods, once all of them run."""

    async def all_run() -> Any:
        found = [await client.get(core.Pod, name, namespace="default") for name in names]
        return all(each.status.phase == "Running" for each in found) and [each.spec.node_name for each in found]

    there: list[str] = await until(all_run)
    return there


async def told(client: Client, name: str, text: str) -> None:
    """The pod waits, and says this."""

    async def says() -> bool:
        found = await client.get(core.Pod, name, namespace="default")
        return any(text in condition.message for condition in found.status.conditions)

    await until(says)


# Volumes


def claim(name: str, *, storage_class: str, size: str = "1Gi") -> core.PersistentVolumeClaim:
    return core.PersistentVolumeClaim(
        metadata=meta.ObjectMeta(name=name, namespace="default"),
        spec=core.PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"],
            storage_class_name=storage_class,
            resources=core.VolumeResourceRequirements(requests={"storage": size}),
        ),
    )


def using(name: str) -> list[core.Volume]:
    source = core.PersistentVolumeClaimVolumeSource(claim_name=name)
    return [core.Volume(name="v", persistent_volume_claim=source)]


def local_volume(name: str, node: str, *, storage_class: str) -> core.PersistentVolume:
    wish = core.NodeSelectorRequirement(key="kubernetes.io/hostname", operator="In", values=[node])
    term = core.NodeSelectorTerm(match_expressions=[wish])
    return core.PersistentVolume(
        metadata=meta.ObjectMeta(name=name),
        spec=core.PersistentVolumeSpec(
            access_modes=["ReadWriteOnce"],
            capacity={"storage": "1Gi"},
            storage_class_name=storage_class,
            local=core.LocalVolumeSource(path=f"/disks/{name}"),
            node_affinity=core.VolumeNodeAffinity(required=core.NodeSelector(node_selector_terms=[term])),
        ),
    )


async def test_pods_go_to_their_local_disks_and_wait_for_one_more() -> None:
    async with nodes(3) as client:
        made_by = storage.StorageClass(
            metadata=meta.ObjectMeta(name="local"),
            provisioner=words.NO_PROVISIONER,
            volume_binding_mode="WaitForFirstConsumer",
        )
        await client.create(made_by)
        for number in (0, 1):
            await client.create(local_volume(f"disk-{number}", f"hollow-{number}", storage_class="local"))
        for number in range(3):
            await client.create(claim(f"c{number}", storage_class="local"))
            await client.create(pod(f"p{number}", volumes=using(f"c{number}")))

        async def two_run() -> Any:
            found = (await client.list(core.Pod, namespace="default")).items
            return sum(each.status.phase == "Running" for each in found) == 2 and found

        found = await until(two_run)
        assert {each.spec.node_name for each in found if each.spec.node_name} == {"hollow-0", "hollow-1"}
        (waiting,) = [each.metadata.name for each in found if not each.spec.node_name]
        await told(client, waiting, "3 node(s) didn't find available persistent volumes to bind")
        await client.create(local_volume("disk-2", "hollow-2", storage_class="local"))
        assert await running(client, waiting) == ["hollow-2"]


async def test_a_pod_waits_for_a_claim_that_is_not_there() -> None:
    async with nodes(1) as client:
        await client.create(pod("p", volumes=using("c")))
        await told(client, "p", 'persistentvolumeclaim "c" not found')
        await client.create(claim("c", storage_class="none"))
        await told(client, "p", "pod has unbound immediate PersistentVolumeClaims")
        await client.create(local_volume("v", "hollow-0", storage_class="none"))
        assert await running(client, "p") == ["hollow-0"]


# Devices


def gpus(node: str, count: int) -> resource.ResourceSlice:
    pool = resource.ResourcePool(name=node, generation=1, resource_slice_count=1)
    devices = [resource.Device(name=f"gpu-{number}") for number in range(count)]
    return resource.ResourceSlice(
        metadata=meta.ObjectMeta(name=f"{node}-gpus"),
        spec=resource.ResourceSliceSpec(driver=DRIVER, node_name=node, pool=pool, devices=devices),
    )


async def stock(client: Client, **counts: int) -> None:
    """A class of devices, a template that asks for one, and devices by node."""
    selector = resource.DeviceSelector(cel=resource.CELDeviceSelector(expression=f'device.driver == "{DRIVER}"'))
    spec = resource.DeviceClassSpec(selectors=[selector])
    await client.create(resource.DeviceClass(metadata=meta.ObjectMeta(name="gpu"), spec=spec))
    exactly = resource.ExactDeviceRequest(device_class_name="gpu")
    request = resource.DeviceRequest(name="gpu", exactly=exactly)
    wish = resource.ResourceClaimSpec(devices=resource.DeviceClaim(requests=[request]))
    await client.create(
        resource.ResourceClaimTemplate(
            metadata=meta.ObjectMeta(name="one-gpu", namespace="default"),
            spec=resource.ResourceClaimTemplateSpec(spec=wish),
        )
    )
    for node, count in counts.items():
        await client.create(gpus(node.replace("_", "-"), count))


def gpu_pod(name: str, **more: Any) -> core.Pod:
    entry = core.PodResourceClaim(name="gpu", resource_claim_template_name="one-gpu")
    return pod(name, resource_claims=[entry], **more)


async def test_pods_share_out_the_devices_and_the_next_gets_one_that_is_given_back() -> None:
    async with nodes(3) as client:
        await stock(client, hollow_0=2, hollow_1=1)
        for number in range(4):
            await client.create(gpu_pod(f"p{number}"))

        async def three_run() -> Any:
            found = (await client.list(core.Pod, namespace="default")).items
            return sum(each.status.phase == "Running" for each in found) == 3 and found

        found = await until(three_run)
        placed = sorted(each.spec.node_name for each in found if each.spec.node_name)
        assert placed == ["hollow-0", "hollow-0", "hollow-1"]
        claims = (await client.list(resource.ResourceClaim, namespace="default")).items
        results = [r for each in claims if each.status.allocation for r in each.status.allocation.devices.results]
        assert len({(each.pool, each.device) for each in results}) == 3
        (waiting,) = [each.metadata.name for each in found if not each.spec.node_name]
        await told(client, waiting, "cannot allocate all claims")
        gone = next(each.metadata.name for each in found if each.spec.node_name == "hollow-1")
        await client.delete(core.Pod, gone, namespace="default", grace_period_s=0)
        assert await running(client, waiting) == ["hollow-1"]


class Watchman:
    """Sees every state of every claim, in order, and which device is whose: never two claims' at once."""

    def __init__(self) -> None:
        self.owner: dict[tuple[str, str], str] = {}
        self.most = 0

    async def follow(self, client: Client) -> None:
        async for change in client.watch(resource.ResourceClaim):
            uid, allocation = change.object.metadata.uid, change.object.status.allocation
            self.owner = {device: holder for device, holder in self.owner.items() if holder != uid}
            if change.type == "DELETED" or allocation is None or allocation.devices is None:
                continue
            for result in allocation.devices.results:
                device = (result.pool, result.device)
                assert device not in self.owner, f"{device} belongs to two claims"
                self.owner[device] = uid
            self.most = max(self.most, len(self.owner))


async def test_pods_that_come_and_go_never_share_a_device() -> None:
    async with nodes(3, cpu="16") as client, asyncio.TaskGroup() as tasks:
        await stock(client, hollow_0=2, hollow_1=2, hollow_2=1)
        watchman = Watchman()
        following = tasks.create_task(watchman.follow(client))
        dice, there = Random(3), list[str]()
        for number in range(40):
            name = f"p{number}"
            await client.create(gpu_pod(name, termination_grace_period_seconds=0))
            there.append(name)
            if len(there) > 8:
                await client.delete(core.Pod, there.pop(dice.randrange(len(there))), namespace="default")

        async def five_run() -> bool:
            found = (await client.list(core.Pod, namespace="default")).items
            return sum(each.status.phase == "Running" for each in found) == 5 and len(watchman.owner) == 5

        await until(five_run)
        assert watchman.most == 5
        for name in there:
            await client.delete(core.Pod, name, namespace="default")

        async def none_left() -> bool:
            return not watchman.owner

        await until(none_left)
        following.cancel()


async def test_an_urgent_pod_takes_the_device_of_another() -> None:
    async with nodes(2) as client:
        await stock(client, hollow_0=1)
        await client.create(scheduling_v1.PriorityClass(metadata=meta.ObjectMeta(name="urgent"), value=1000))
        await client.create(gpu_pod("humble", termination_grace_period_seconds=0))
        await running(client, "humble")
        await client.create(gpu_pod("urgent", priority_class_name="urgent"))
        assert await running(client, "urgent") == ["hollow-0"]
        assert "humble" not in await placed(client)


async def test_a_claim_that_ties_a_pod_to_a_node_that_is_closed_is_allocated_anew() -> None:
    async with nodes(2) as client:
        await stock(client, hollow_0=1, hollow_1=1)
        entry = core.PodResourceClaim(name="gpu", resource_claim_name="mine")
        exactly = resource.ExactDeviceRequest(device_class_name="gpu")
        request = resource.DeviceRequest(name="gpu", exactly=exactly)
        wish = resource.ResourceClaimSpec(devices=resource.DeviceClaim(requests=[request]))
        await client.create(
            resource.ResourceClaim(metadata=meta.ObjectMeta(name="mine", namespace="default"), spec=wish)
        )
        await client.create(pod("first", resource_claims=[entry]))
        (node,) = await running(client, "first")
        other = "hollow-1" if node == "hollow-0" else "hollow-0"
        allocated = await client.get(resource.ResourceClaim, "mine", namespace="default")
        await client.patch(core.Node, node, {"spec": {"unschedulable": True}})
        await client.delete(core.Pod, "first", namespace="default", grace_period_s=0)

        async def given_back() -> bool:
            found = await client.get(resource.ResourceClaim, "mine", namespace="default")
            return found.status.allocation is None

        await until(given_back)
        gates = [core.PodSchedulingGate(name="example.com/later")]
        second = await client.create(pod("second", resource_claims=[entry], scheduling_gates=gates))
        user = {"resource": "pods", "name": "second", "uid": second.metadata.uid}
        status = {"allocation": msgspec.to_builtins(allocated.status.allocation), "reservedFor": [user]}
        told = {"status": status}
        await client.patch(resource.ResourceClaim, "mine", told, namespace="default", subresource="status")
        await client.patch(core.Pod, "second", {"spec": {"schedulingGates": None}}, namespace="default")
        assert await running(client, "second") == [other]


# Groups


async def gang(client: Client, name: str, minimum: int) -> None:
    policy = scheduling.PodGroupSchedulingPolicy(gang=scheduling.GangSchedulingPolicy(min_count=minimum))
    spec = scheduling.PodGroupSpec(scheduling_policy=policy)
    await client.create(scheduling.PodGroup(metadata=meta.ObjectMeta(name=name, namespace="default"), spec=spec))


def member(name: str, group: str, **more: Any) -> core.Pod:
    return pod(name, scheduling_group=core.PodSchedulingGroup(pod_group_name=group), **more)


async def placed(client: Client) -> dict[str, str]:
    """The nodes of the pods that have one."""
    found = (await client.list(core.Pod, namespace="default")).items
    return {each.metadata.name: each.spec.node_name for each in found if each.spec.node_name}


async def test_a_group_runs_when_there_is_room_for_all_of_it() -> None:
    async with nodes(2, cpu="4") as client:
        await client.create(pod("before", cpu="3"))
        await running(client, "before")
        await gang(client, "g", 3)
        for number in range(3):
            await client.create(member(f"g{number}", "g", cpu="2"))
        await told(client, "g0", 'no room for 3 pods of pod group "g" together')
        assert set(await placed(client)) == {"before"}
        await client.delete(core.Pod, "before", namespace="default", grace_period_s=0)
        assert len(await running(client, "g0", "g1", "g2")) == 3


async def test_the_example_of_the_custom_kind() -> None:
    async with nodes(2, cpu="3") as client:
        for tree in yaml.safe_load_all((EXAMPLE / "definition.yaml").read_text()):
            await make(client, tree)
        await until(lambda: served(client))
        await client.create(pod("before", cpu="2500m"))
        await running(client, "before")
        for tree in yaml.safe_load_all((EXAMPLE / "workers.yaml").read_text()):
            await make(client, tree)

        async def waiting() -> bool:
            found = (await client.list(core.Pod, namespace="default", labels="app=workers")).items
            texts = [condition.message for each in found for condition in each.status.conditions]
            return len(found) == 4 and any('pod group "workers" together' in text for text in texts)

        await until(waiting)
        assert set(await placed(client)) == {"before"}
        await client.delete(core.Pod, "before", namespace="default", grace_period_s=0)

        async def all_run() -> bool:
            found = (await client.list(core.Pod, namespace="default", labels="app=workers")).items
            return sum(each.status.phase == "Running" for each in found) == 4

        await until(all_run)


async def make(client: Client, tree: dict[str, Any]) -> None:
    """What `kubectl create` does."""
    group_version, plural = tree["apiVersion"], tree["kind"].lower() + "s"
    scope = "" if plural == "customresourcedefinitions" else "/namespaces/default"
    headers = {"content-type": "application/json"}
    await client.request("POST", f"/apis/{group_version}{scope}/{plural}", headers=headers, body=orjson.dumps(tree))


async def served(client: Client) -> bool:
    """The custom kind can be asked for."""
    try:
        await client.request("GET", "/apis/scheduling.x-k8s.io/v1alpha1/podgroups")
    except NotFound:
        return False
    return True


async def test_two_groups_of_which_one_fits_do_not_starve_each_other() -> None:
    async with nodes(2, cpu="4") as client:
        await gang(client, "a", 3)
        await gang(client, "b", 3)
        for number in range(3):  # each has begun before the other is whole
            await client.create(member(f"a{number}", "a", cpu="1500m"))
            await client.create(member(f"b{number}", "b", cpu="1500m"))

        async def one_runs() -> Any:
            names = set(await placed(client))
            return len(names) == 3 and names

        names = await until(one_runs)
        first = next(iter(names))[0]
        assert {name[0] for name in names} == {first}
        other = "b" if first == "a" else "a"
        await told(client, f"{other}0", "together")
        assert set(await placed(client)) == names
        for name in names:
            await client.delete(core.Pod, name, namespace="default", grace_period_s=0)
        await running(client, *(f"{other}{number}" for number in range(3)))


async def test_a_group_with_devices_has_them_all_or_holds_none() -> None:
    async with nodes(2) as client:
        await stock(client, hollow_0=1, hollow_1=1)
        await gang(client, "g", 3)
        for number in range(3):
            wanted = gpu_pod(f"g{number}")
            wanted.spec.scheduling_group = core.PodSchedulingGroup(pod_group_name="g")
            await client.create(wanted)
        await told(client, "g2", "together")
        claims = (await client.list(resource.ResourceClaim, namespace="default")).items
        assert not any(each.status.allocation for each in claims)
        await client.create(gpu_pod("alone"))
        (node,) = await running(client, "alone")
        extra = gpus("hollow-0" if node == "hollow-1" else "hollow-1", 3)
        await client.delete(resource.ResourceSlice, extra.metadata.name)
        await client.create(extra)
        assert len(await running(client, "g0", "g1", "g2")) == 3


async def test_many_groups_that_do_not_all_fit_are_each_whole_or_not_there() -> None:
    async with nodes(4, cpu="4") as client:
        dice = Random(7)
        sizes = {f"g{number}": dice.randint(2, 6) for number in range(8)}
        names = [f"{group}-{number}" for group, size in sizes.items() for number in range(size)]
        dice.shuffle(names)
        for group, size in sizes.items():
            await gang(client, group, size)
        for name in names:
            await client.create(member(name, name.partition("-")[0], cpu="1"))

        async def whole() -> Counter[str]:
            there = Counter(name.partition("-")[0] for name in await placed(client))
            return there if all(sizes[group] == count for group, count in there.items()) else Counter()

        async def full() -> bool:
            """No group that waits would fit beside those that are there."""
            there = await whole()
            room = 16 - sum(there.values())
            return bool(there) and all(size > room for group, size in sizes.items() if group not in there)

        gone: set[str] = set()
        while len(gone) < len(sizes):
            await until(full)
            there = await whole()
            group = sorted(there)[0]
            for number in range(sizes[group]):
                await client.delete(core.Pod, f"{group}-{number}", namespace="default", grace_period_s=0)
            gone.add(group)
            sizes[group] = 100  # it fits nowhere, and nobody waits for it
            if len(gone) == len(sizes):
                break

            async def left(group: str = group) -> bool:
                return not any(name.startswith(f"{group}-") for name in await placed(client))

            await until(left)
