"""How many pods a second find their devices and volumes, with 1,000 and 10,000 nodes?

One pod is a look (which nodes are left) and a reservation on one of them; the caches hold what an API would tell.
Devices: 8 on each node, one for each pod, all pods of one template; beside it what the look costs that asks every
node anew. Volumes: one local disk on each node and a claim of its own for each pod, or two disks of one class and a
claim to either. And what rules cost pods of which they have nothing to say.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import numpy as np
from report import Figure, report

from bireme.aio.clock import RealClock
from bireme.aio.uids import new_uid
from bireme.api.kinds import core, meta, resource, storage
from bireme.api.kinds.meta import Object
from bireme.api.scheme import Scheme
from bireme.client.client import Listing
from bireme.client.informer import Informer
from bireme.ledger.columns import Columns
from bireme.scheduler.interface import Rule, Stop
from bireme.scheduler.rules import Rules

NODES = (1_000, 10_000)
PER_NODE = 8
PODS = 300
IDLE = 20_000


class Listed:
    """Stands for the API: gives each list once, and nothing ever changes."""

    def __init__(self, objects: Mapping[type[Object], Sequence[Object]]) -> None:
        self._objects = objects
        self.scheme = Scheme()

    async def list(self, kind: type[Object], **_: object) -> Listing[Any]:
        """What there is of the kind."""
        return Listing(list(self._objects.get(kind, ())), "1")

    async def follow(self, kind: type[Object], told: object, **_: object) -> bool:
        """There is no shorter way than to watch."""
        return False

    async def watch(self, kind: type[Object], **_: object) -> AsyncIterator[Any]:
        """Nothing, for ever."""
        await asyncio.Event().wait()
        yield None


def named(name: str, **more: Any) -> meta.ObjectMeta:
    return meta.ObjectMeta(name=name, uid=name, resource_version="1", **more)


def nodes(count: int) -> list[core.Node]:
    return [
        core.Node(metadata=named(f"node-{number:05}", labels={"kubernetes.io/hostname": f"node-{number:05}"}))
        for number in range(count)
    ]


def slices(count: int) -> list[resource.ResourceSlice]:
    devices = [
        resource.Device(name=f"gpu-{number}", attributes={"model": resource.DeviceAttribute(string="a100")})
        for number in range(PER_NODE)
    ]
    return [
        resource.ResourceSlice(
            metadata=named(f"slice-{number}"),
            spec=resource.ResourceSliceSpec(
                driver="gpu.example.com",
                node_name=f"node-{number:05}",
                pool=resource.ResourcePool(name=f"node-{number:05}", generation=1, resource_slice_count=1),
                devices=devices,
            ),
        )
        for number in range(count)
    ]


def device_world(count: int) -> dict[type[Object], Sequence[Object]]:
    text = 'device.driver == "gpu.example.com" && device.attributes["gpu.example.com"].model == "a100"'
    selector = resource.DeviceSelector(cel=resource.CELDeviceSelector(expression=text))
    exactly = resource.ExactDeviceRequest(device_class_name="gpu", allocation_mode="ExactCount", count=1)
    wish = resource.DeviceClaim(requests=[resource.DeviceRequest(name="r", exactly=exactly)])
    return {
        core.Node: nodes(count),
        resource.ResourceSlice: slices(count),
        resource.DeviceClass: [
            resource.DeviceClass(metadata=named("gpu"), spec=resource.DeviceClassSpec(selectors=[selector]))
        ],
        resource.ResourceClaim: [
            resource.ResourceClaim(
                metadata=named(f"claim-{number}", namespace="default"), spec=resource.ResourceClaimSpec(devices=wish)
            )
            for number in range(PODS)
        ],
    }


def volume(number: int, *, size: str = "10Gi", name: str = "disk") -> core.PersistentVolume:
    wish = core.NodeSelectorRequirement(key="kubernetes.io/hostname", operator="In", values=[f"node-{number:05}"])
    term = core.NodeSelectorTerm(match_expressions=[wish])
    return core.PersistentVolume(
        metadata=named(f"{name}-{number:05}"),
        spec=core.PersistentVolumeSpec(
            access_modes=["ReadWriteOnce"],
            capacity={"storage": size},
            storage_class_name="local",
            local=core.LocalVolumeSource(path="/d"),
            node_affinity=core.VolumeNodeAffinity(required=core.NodeSelector(node_selector_terms=[term])),
        ),
        status=core.PersistentVolumeStatus(phase="Available"),
    )


def volume_world(count: int) -> dict[type[Object], Sequence[Object]]:
    wish = core.VolumeResourceRequirements(requests={"storage": "5Gi"})
    spec = core.PersistentVolumeClaimSpec(access_modes=["ReadWriteOnce"], storage_class_name="local", resources=wish)
    made_by = storage.StorageClass(
        metadata=named("local"),
        provisioner="kubernetes.io/no-provisioner",
        volume_binding_mode="WaitForFirstConsumer",
    )
    return {
        core.Node: nodes(count),
        storage.StorageClass: [made_by],
        core.PersistentVolume: [volume(number) for number in range(count)],
        core.PersistentVolumeClaim: [
            core.PersistentVolumeClaim(metadata=named(f"claim-{number}", namespace="default"), spec=spec)
            for number in range(PODS)
        ],
    }


def two_volume_world(count: int) -> dict[type[Object], Sequence[Object]]:
    """A small and a large disk on each node, and for each pod a claim to either."""
    found = volume_world(count)
    large = core.VolumeResourceRequirements(requests={"storage": "50Gi"})
    spec = core.PersistentVolumeClaimSpec(access_modes=["ReadWriteOnce"], storage_class_name="local", resources=large)
    more = [volume(number, size="100Gi", name="large") for number in range(count)]
    claims = [
        core.PersistentVolumeClaim(metadata=named(f"large-{number}", namespace="default"), spec=spec)
        for number in range(PODS)
    ]
    return {
        **found,
        core.PersistentVolume: [*found[core.PersistentVolume], *more],
        core.PersistentVolumeClaim: [*found[core.PersistentVolumeClaim], *claims],
    }


def device_pod(number: int) -> core.Pod:
    entry = core.PodResourceClaim(name="r", resource_claim_name=f"claim-{number}")
    return core.Pod(metadata=named(f"p{number}", namespace="default"), spec=core.PodSpec(resource_claims=[entry]))


def volume_pod(number: int) -> core.Pod:
    source = core.PersistentVolumeClaimVolumeSource(claim_name=f"claim-{number}")
    made = core.PodSpec(volumes=[core.Volume(name="v", persistent_volume_claim=source)])
    return core.Pod(metadata=named(f"p{number}", namespace="default"), spec=made)


def two_volume_pod(number: int) -> core.Pod:
    made = volume_pod(number)
    source = core.PersistentVolumeClaimVolumeSource(claim_name=f"large-{number}")
    made.spec.volumes.append(core.Volume(name="w", persistent_volume_claim=source))
    return made


async def rules_over(
    objects: Mapping[type[Object], Sequence[Object]], act: Callable[[Rules, Columns], float]
) -> float:
    """What `act` measures with rules whose caches hold these objects."""
    client: Any = Listed(objects)
    columns, clock = Columns(), RealClock()
    for node in objects[core.Node]:
        columns.add_node(node.metadata.name)
    pods, cache = Informer(client, core.Pod, clock=clock), Informer(client, core.Node, clock=clock)
    rules = Rules(client, columns=columns, pods=pods, nodes=cache, clock=clock, uid=new_uid)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run()) for each in (cache, pods, rules)]
        await cache.wait_synced()
        await pods.wait_synced()
        await rules.wait_synced()
        found = act(rules, columns)
        for task in running:
            task.cancel()
    return found


def serve(rules: Sequence[Rule], columns: Columns, pod: core.Pod) -> None:
    """A turn of one pod: every rule that has a say looks, and the first node that is left is taken."""
    left = columns.live.copy()
    concerned = [rule for rule in rules if rule.concerns(pod)]
    for rule in concerned:
        said = rule.look(pod)
        assert not isinstance(said, Stop), said.message
        for mask in said:
            left &= mask.allowed
    node = columns.nodes[int(np.flatnonzero(left)[0])]
    assert all(rule.reserve(pod, node) for rule in concerned)


def turns(make: Callable[[int], core.Pod]) -> Callable[[Rules, Columns], float]:
    """Pods a second, once the first has warmed the caches."""

    def act(rules: Rules, columns: Columns) -> float:
        pods = [make(number) for number in range(PODS)]
        serve(rules.all, columns, pods[0])
        began = time.process_time()
        for pod in pods[1:]:
            serve(rules.all, columns, pod)
        return (PODS - 1) / (time.process_time() - began)

    return act


def first_look(make: Callable[[int], core.Pod]) -> Callable[[Rules, Columns], float]:
    """Looks a second that know nothing yet of what the pod asks for."""

    def act(rules: Rules, columns: Columns) -> float:
        began = time.process_time()
        serve(rules.all, columns, make(0))
        return 1 / (time.process_time() - began)

    return act


def unconcerned(rules: Rules, columns: Columns) -> float:
    """Microseconds for a pod of which no rule has anything to say."""
    token = core.Volume(name="token", projected=core.ProjectedVolumeSource())
    pod = core.Pod(metadata=named("p", namespace="default"), spec=core.PodSpec(volumes=[token]))
    began = time.process_time()
    for _ in range(IDLE):
        assert not [rule for rule in rules.all if rule.concerns(pod)]
    return (time.process_time() - began) / IDLE * 1e6


def measure(repeats: int) -> list[Figure]:
    figures = []
    for count in NODES:
        for what, objects, make in (
            ("devices", device_world(count), device_pod),
            ("local volumes", volume_world(count), volume_pod),
            ("two local volumes of one class", two_volume_world(count), two_volume_pod),
        ):
            rates = [asyncio.run(rules_over(objects, turns(make))) for _ in range(repeats)]
            cold = [asyncio.run(rules_over(objects, first_look(make))) for _ in range(repeats)]
            notes = {"times_faster_than_the_first": round(max(rates) / max(cold), 1)}
            figures.append(Figure(f"pods that want {what}, {count:,} nodes", "pods/s of CPU", rates, notes=notes))
            figures.append(Figure(f"the first that wants {what}, {count:,} nodes", "pods/s of CPU", cold))
    plain = [asyncio.run(rules_over({core.Node: nodes(1)}, unconcerned)) for _ in range(repeats)]
    return [*figures, Figure("a pod that wants neither", "us of CPU", plain)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    report("Rules beside the templates", measure(parser.parse_args().repeats))


if __name__ == "__main__":
    main()
