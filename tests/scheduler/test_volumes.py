"""The rules about volumes, over the real API: where pods may go, what is decided for them, and when they wait."""

import asyncio
from typing import Any

import pytest
from tests.scheduler.rule_world import World, until, verdict, world

from bireme.api import volumes as words
from bireme.api.kinds import core, meta, storage
from bireme.client.informer import Key
from bireme.controllers.persistent_volume import PersistentVolumeController
from bireme.scheduler import volumes_rules
from bireme.scheduler.interface import NotReady, Stop
from bireme.scheduler.volumes import AFFINITY_CONFLICT, NO_SPACE, NO_VOLUME, VolumeBinding
from bireme.scheduler.volumes_cache import Storage
from bireme.scheduler.volumes_rules import NodeVolumeLimits, VolumeRestrictions, VolumeZone


class Rules:
    """All rules about volumes over one set of caches."""

    def __init__(self, there: World) -> None:
        self.storage = Storage(there.client, clock=there.clock)
        common: Any = {"storage": self.storage, "nodes": there.nodes}
        self.binding = VolumeBinding(there.client, pods=there.pods, clock=there.clock, **common)
        self.zone = VolumeZone(**common)
        self.restrictions = VolumeRestrictions(pods=there.pods, **common)
        self.limits = NodeVolumeLimits(pods=there.pods, **common)


def make(there: World) -> Any:
    rules = Rules(there)
    return rules, rules.storage.informers()


def claim(
    name: str = "c", *, size: str = "1Gi", storage_class: str = "", modes: str = "ReadWriteOnce", **spec: Any
) -> Any:
    return core.PersistentVolumeClaim(
        metadata=meta.ObjectMeta(name=name, namespace="default"),
        spec=core.PersistentVolumeClaimSpec(
            access_modes=[modes],
            storage_class_name=storage_class,
            resources=core.VolumeResourceRequirements(requests={"storage": size}),
            **spec,
        ),
    )


def on(key: str, *values: str) -> core.VolumeNodeAffinity:
    wish = core.NodeSelectorRequirement(key=key, operator="In", values=list(values))
    term = core.NodeSelectorTerm(match_expressions=[wish])
    return core.VolumeNodeAffinity(required=core.NodeSelector(node_selector_terms=[term]))


def volume(name: str = "v", *, size: str = "1Gi", node: str = "", storage_class: str = "", **more: Any) -> Any:
    labels = more.pop("labels", {})
    source = more or {"host_path": core.HostPathVolumeSource(path="/x")}
    return core.PersistentVolume(
        metadata=meta.ObjectMeta(name=name, labels=labels),
        spec=core.PersistentVolumeSpec(
            access_modes=["ReadWriteOnce"],
            capacity={"storage": size},
            storage_class_name=storage_class,
            node_affinity=on("kubernetes.io/hostname", node) if node else None,
            **source,
        ),
    )


def late(name: str = "late", *, by: str = words.NO_PROVISIONER, zones: tuple[str, ...] = ()) -> storage.StorageClass:
    wish = core.TopologySelectorLabelRequirement(key="topology.kubernetes.io/zone", values=list(zones))
    return storage.StorageClass(
        metadata=meta.ObjectMeta(name=name),
        provisioner=by,
        volume_binding_mode="WaitForFirstConsumer",
        allowed_topologies=[core.TopologySelectorTerm(match_label_expressions=[wish])] if zones else [],
    )


async def user(there: World, *claims: str, name: str = "p") -> core.Pod:
    """A pod that uses the claims, made."""
    volumes = [
        core.Volume(name=each, persistent_volume_claim=core.PersistentVolumeClaimVolumeSource(claim_name=each))
        for each in claims
    ]
    return await there.admin.create(
        core.Pod(
            metadata=meta.ObjectMeta(name=name, namespace="default"),
            spec=core.PodSpec(containers=[core.Container(name="c", image="i")], volumes=volumes),
        )
    )


async def bound(rules: Rules, name: str = "c") -> None:
    await until(lambda: (found := rules.storage.claim(Key("default", name))) and words.is_bound(found))


async def free(rules: Rules, *names: str) -> None:
    await until(lambda: all((found := rules.storage.volume(name)) and words.is_free(found) for name in names))


async def test_a_missing_claim_and_one_that_is_not_bound_say_so() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a", "b")
        pod = await user(there, "c")
        text = '0/2 nodes are available: persistentvolumeclaim "c" not found.'
        assert verdict(rules.binding, pod, there.columns) == text
        await there.admin.create(claim())
        await until(lambda: rules.storage.claim(Key("default", "c")))
        text = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."
        assert verdict(rules.binding, pod, there.columns) == text


async def test_a_bound_volume_leaves_the_nodes_that_reach_it() -> None:
    async with world(make, controllers=[PersistentVolumeController]) as (there, rules):
        await there.add_nodes("a", "b")
        await there.admin.create(volume(node="b"))
        await there.admin.create(claim())
        await bound(rules)
        pod = await user(there, "c")
        assert verdict(rules.binding, pod, there.columns) == {"a": AFFINITY_CONFLICT}
        assert rules.binding.reserve(pod, "b")
        assert not rules.binding.reserve(pod, "a")
        async with asyncio.timeout(60):
            await rules.binding.prepare(pod, "b")
        await there.admin.patch(core.PersistentVolume, "v", {"metadata": {"finalizers": None}})
        await there.admin.delete(core.PersistentVolume, "v")
        await until(lambda: rules.storage.claim(Key("default", "c")).status.phase == "Lost")
        text = verdict(rules.binding, pod, there.columns)
        assert 'persistentvolumeclaim "c" bound to non-existent persistentvolume "v"' in text


async def test_local_volumes_are_chosen_with_the_node_and_no_two_pods_get_one() -> None:
    async with world(make, controllers=[PersistentVolumeController]) as (there, rules):
        await there.add_nodes("a", "b", "c")
        await there.admin.create(late())
        for name, node, size in (("a-small", "a", "2Gi"), ("a-large", "a", "5Gi"), ("b-small", "b", "2Gi")):
            await there.admin.create(volume(name, node=node, size=size, storage_class="late"))
        await free(rules, "a-small", "a-large", "b-small")
        for number in range(3):
            await there.admin.create(claim(f"c{number}", size="2Gi", storage_class="late"))
        await until(lambda: len(rules.storage.claims.items()) == 3)
        pods = [await user(there, f"c{number}", name=f"p{number}") for number in range(3)]
        assert verdict(rules.binding, pods[0], there.columns) == {"c": NO_VOLUME}
        assert rules.binding.reserve(pods[0], "a")
        assert rules.binding.reserve(pods[1], "a")
        assert verdict(rules.binding, pods[2], there.columns) == {"a": NO_VOLUME, "c": NO_VOLUME}
        assert not rules.binding.reserve(pods[2], "a")
        rules.binding.release(pods[1])
        assert verdict(rules.binding, pods[2], there.columns) == {"c": NO_VOLUME}
        async with asyncio.timeout(60):
            await rules.binding.prepare(pods[0], "a")
        await until(lambda: rules.storage.claim(Key("default", "c0")).status.phase == "Bound")
        assert rules.storage.claim(Key("default", "c0")).spec.volume_name == "a-small"


async def test_a_pod_with_two_claims_needs_two_volumes_on_one_node() -> None:
    async with world(make, controllers=[PersistentVolumeController]) as (there, rules):
        await there.add_nodes("a", "b")
        await there.admin.create(late())
        for name, node in (("a1", "a"), ("b1", "b"), ("b2", "b")):
            await there.admin.create(volume(name, node=node, storage_class="late"))
        await free(rules, "a1", "b1", "b2")
        for name in ("x", "y"):
            await there.admin.create(claim(name, storage_class="late"))
        await until(lambda: len(rules.storage.claims.items()) == 2)
        pod = await user(there, "x", "y")
        assert verdict(rules.binding, pod, there.columns) == {"a": NO_VOLUME}
        assert rules.binding.reserve(pod, "b")
        async with asyncio.timeout(60):
            await rules.binding.prepare(pod, "b")
        names = {
            (await there.admin.get(core.PersistentVolumeClaim, n, namespace="default")).spec.volume_name for n in "xy"
        }
        assert names == {"b1", "b2"}


async def provisioner(there: World, rules: Rules) -> None:
    """Make a volume for each claim that names a node, as external ones do."""
    done: set[str] = set()
    while True:
        for each in list(rules.storage.claims.items()):
            node = each.metadata.annotations.get(words.SELECTED_NODE)
            if node and each.metadata.name not in done and words.PROVISIONER in each.metadata.annotations:
                done.add(each.metadata.name)
                made = volume(f"pvc-{each.metadata.uid}", node=node, storage_class=words.class_of(each))
                made.spec.claim_ref = core.ObjectReference(
                    namespace="default", name=each.metadata.name, uid=each.metadata.uid
                )
                made.metadata.annotations = {words.PROVISIONED_BY: "example.com/p"}
                await there.admin.create(made)
        await asyncio.sleep(0.002)


async def test_a_volume_is_made_for_the_node_that_was_chosen() -> None:
    async with world(make, controllers=[PersistentVolumeController]) as (there, rules):
        await there.add_nodes("a", zone="z1")
        await there.add_nodes("b", zone="z2")
        await there.admin.create(late(by="example.com/p", zones=("z2",)))
        await there.admin.create(claim(storage_class="late"))
        await until(lambda: rules.storage.claims.items() and rules.storage.classes.items())
        pod = await user(there, "c")
        assert verdict(rules.binding, pod, there.columns) == {"a": NO_VOLUME}
        assert rules.binding.reserve(pod, "b")
        other = await user(there, "c", name="other")
        assert verdict(rules.binding, other, there.columns) == {"a": NO_VOLUME}
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            making = tasks.create_task(provisioner(there, rules))
            await rules.binding.prepare(pod, "b")
            making.cancel()
        found = await there.admin.get(core.PersistentVolumeClaim, "c", namespace="default")
        assert found.status.phase == "Bound"
        assert found.metadata.annotations[words.SELECTED_NODE] == "b"


async def test_a_provisioner_that_gives_up_sends_the_pod_back() -> None:
    async with world(make, controllers=[PersistentVolumeController]) as (there, rules):
        await there.add_nodes("a")
        await there.admin.create(late(by="example.com/p"))
        await there.admin.create(claim(storage_class="late"))
        await until(lambda: rules.storage.claims.items() and rules.storage.classes.items())
        pod = await user(there, "c")
        assert rules.binding.reserve(pod, "a")

        async def give_up() -> None:
            key = Key("default", "c")
            await until(lambda: words.SELECTED_NODE in rules.storage.claim(key).metadata.annotations)
            marks = {"metadata": {"annotations": {words.SELECTED_NODE: None}}}
            await there.admin.patch(core.PersistentVolumeClaim, "c", marks, namespace="default")

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(give_up())
            with pytest.raises(NotReady, match="no volume could be made"):
                await rules.binding.prepare(pod, "a")
        rules.binding.release(pod)


async def test_a_provisioner_that_does_nothing_is_not_waited_for_without_end() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a")
        await there.admin.create(late(by="example.com/p"))
        await there.admin.create(claim(storage_class="late"))
        await until(lambda: rules.storage.claims.items() and rules.storage.classes.items())
        pod = await user(there, "c")
        hasty = VolumeBinding(
            there.client, storage=rules.storage, nodes=there.nodes, pods=there.pods, clock=there.clock, timeout_s=0.1
        )
        assert hasty.reserve(pod, "a")
        with pytest.raises(TimeoutError, match="binding volumes: timed out waiting for the condition"):
            await hasty.prepare(pod, "a")
        hasty.release(pod)
        assert rules.storage.held(pod.metadata.uid) is None


async def test_where_there_is_space_is_asked_of_drivers_that_tell() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a", zone="z1")
        await there.add_nodes("b", zone="z2")
        await there.admin.create(late(by="example.com/p"))
        driver = storage.CSIDriver(metadata=meta.ObjectMeta(name="example.com/p"))
        driver.metadata.name = "example.com.p"
        made_by = late("told", by="example.com.p")
        driver.spec.storage_capacity = True
        await there.admin.create(made_by)
        await there.admin.create(driver)
        for zone, size in (("z1", "1Gi"), ("z2", "50Gi")):
            selector = meta.LabelSelector(match_labels={"topology.kubernetes.io/zone": zone})
            await there.admin.create(
                storage.CSIStorageCapacity(
                    metadata=meta.ObjectMeta(name=zone, namespace="default"),
                    storage_class_name="told",
                    capacity=size,
                    node_topology=selector,
                )
            )
        await there.admin.create(claim(size="10Gi", storage_class="told"))
        await until(lambda: len(rules.storage.capacities.items()) == 2 and rules.storage.claims.items())
        await until(lambda: rules.storage.drivers.items() and len(rules.storage.classes.items()) == 2)
        pod = await user(there, "c")
        assert verdict(rules.binding, pod, there.columns) == {"a": NO_SPACE}


async def test_a_zone_of_a_volume_is_kept_and_nodes_without_zones_pass() -> None:
    async with world(make, controllers=[PersistentVolumeController]) as (there, rules):
        await there.add_nodes("a", zone="z1")
        await there.add_nodes("b", zone="z2")
        await there.add_nodes("c")
        await there.admin.create(volume(labels={"topology.kubernetes.io/zone": "z2__z3"}))
        await there.admin.create(claim())
        await bound(rules)
        pod = await user(there, "c")
        assert verdict(rules.zone, pod, there.columns) == {"a": volumes_rules.NO_ZONE}


async def test_a_claim_for_one_pod_has_one_user() -> None:
    async with world(make) as (there, rules):
        await there.add_nodes("a", "b")
        await there.admin.create(claim(modes="ReadWriteOncePod"))
        await until(lambda: rules.storage.claims.items())
        first, second = await user(there, "c", name="first"), await user(there, "c", name="second")
        assert rules.restrictions.reserve(first, "a")
        assert verdict(rules.restrictions, second, there.columns) == dict.fromkeys("ab", volumes_rules.IN_USE)
        assert not rules.restrictions.reserve(second, "b")
        await there.bind(first, "a")
        assert rules.restrictions.look(second)[0].curable
        assert rules.restrictions.would_allow(second, "a", {first.metadata.uid})
        assert not rules.restrictions.would_allow(second, "b", {first.metadata.uid})
        assert not rules.restrictions.would_allow(second, "a", set())
        await there.admin.delete(core.Pod, "first", namespace="default", grace_period_s=0)
        await until(lambda: len(there.pods.items()) == 1)
        assert verdict(rules.restrictions, second, there.columns) == {}


async def test_a_node_attaches_no_more_volumes_than_it_can() -> None:
    async with world(make, controllers=[PersistentVolumeController]) as (there, rules):
        await there.add_nodes("a", "b")
        limits = storage.VolumeNodeResources(count=2)
        driver = storage.CSINodeDriver(name="d", node_id="a", allocatable=limits)
        spec = storage.CSINodeSpec(drivers=[driver])
        await there.admin.create(storage.CSINode(metadata=meta.ObjectMeta(name="a"), spec=spec))
        for number in range(3):
            source = core.CSIPersistentVolumeSource(driver="d", volume_handle=f"h{number}")
            made = volume(f"v{number}", csi=source)
            made.spec.claim_ref = core.ObjectReference(namespace="default", name=f"c{number}")
            await there.admin.create(made)
            await there.admin.create(claim(f"c{number}"))
        for number in range(3):
            await bound(rules, f"c{number}")
        await until(lambda: rules.storage.csi_nodes.items())
        first, second, third = [await user(there, f"c{n}", name=f"p{n}") for n in range(3)]
        sharing = await user(there, "c0", name="sharing")
        assert rules.limits.reserve(first, "a")
        assert rules.limits.reserve(second, "a")
        assert verdict(rules.limits, third, there.columns) == {"a": volumes_rules.TOO_MANY}
        assert verdict(rules.limits, sharing, there.columns) == {}  # the volume is there already
        assert not rules.limits.reserve(third, "a")
        assert rules.limits.would_allow(third, "a", {second.metadata.uid})
        assert not rules.limits.would_allow(third, "a", set())
        rules.limits.release(second)
        assert verdict(rules.limits, third, there.columns) == {}
        assert not isinstance(rules.limits.look(third), Stop)
