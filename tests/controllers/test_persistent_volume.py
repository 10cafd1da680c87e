"""Claims and volumes: what is decided about them, and their lives over the real API."""

from typing import Any

import msgspec
import orjson
import pytest
from controller_objects import NOW, metadata
from story import Story, story

from bireme.api import volumes as words
from bireme.api.errors import NotFound
from bireme.api.kinds import core, meta, storage
from bireme.controllers.changes import Merge
from bireme.controllers.ephemeral_volume import EphemeralVolumeController
from bireme.controllers.persistent_volume import PersistentVolumeController
from bireme.controllers.pv_protection import PvProtectionController
from bireme.controllers.pvc_protection import PvcProtectionController
from bireme.controllers.volume_binding import Around, Tell, settle_bound, settle_unbound, settle_volume

KINDS = (
    PersistentVolumeController,
    EphemeralVolumeController,
    PvcProtectionController,
    PvProtectionController,
)


def claim(name: str = "c", *, size: str = "1Gi", **spec: Any) -> core.PersistentVolumeClaim:
    fields = {"access_modes": ["ReadWriteOnce"], "storage_class_name": "slow", **spec}
    return core.PersistentVolumeClaim(
        metadata=metadata(name),
        spec=core.PersistentVolumeClaimSpec(
            resources=core.VolumeResourceRequirements(requests={"storage": size}), **fields
        ),
    )


def volume(name: str = "v", *, size: str = "1Gi", phase: str = "Available", **spec: Any) -> core.PersistentVolume:
    fields = {
        "access_modes": ["ReadWriteOnce"],
        "storage_class_name": "slow",
        "host_path": core.HostPathVolumeSource(path="/x"),
        "persistent_volume_reclaim_policy": "Retain",
        **spec,
    }
    return core.PersistentVolume(
        metadata=metadata(name, namespace=""),
        spec=core.PersistentVolumeSpec(capacity={"storage": size}, **fields),
        status=core.PersistentVolumeStatus(phase=phase),
    )


def reference(name: str = "c", *, uid: str = "") -> core.ObjectReference:
    return core.ObjectReference(namespace="default", name=name, uid=uid)


def storage_class(name: str = "slow", *, mode: str = "Immediate", by: str = "example.com/p") -> storage.StorageClass:
    return storage.StorageClass(metadata=metadata(name, namespace=""), provisioner=by, volume_binding_mode=mode)


@pytest.mark.parametrize(
    ("volumes", "expected"),
    [
        pytest.param([volume("a", size="3Gi"), volume("b", size="2Gi")], "b", id="the smallest that is large enough"),
        pytest.param([volume("a", size="1Mi")], None, id="none that is too small"),
        pytest.param([volume("a", storage_class_name="fast")], None, id="none of another class"),
        pytest.param([volume("a", access_modes=["ReadOnlyMany"])], None, id="none without the modes"),
        pytest.param([volume("a", volume_mode="Block")], None, id="none of blocks for a file system"),
        pytest.param([volume("a", phase="Released")], None, id="none that is not free"),
        pytest.param([volume("a"), volume("b", claim_ref=reference())], "b", id="what is set aside comes first"),
        pytest.param([volume("b", claim_ref=reference("other"))], None, id="none of another claim"),
        pytest.param([volume("b", claim_ref=reference(uid="old"))], None, id="none of an earlier claim of the name"),
    ],
)
def test_the_volume_for_a_claim(volumes: list[core.PersistentVolume], expected: str | None) -> None:
    found = words.best_volume(claim(), volumes)
    assert (found.metadata.name if found else None) == expected


def test_a_claim_may_choose_by_labels() -> None:
    labelled = volume("b")
    labelled.metadata.labels = {"tier": "gold"}
    wish = claim(selector=meta.LabelSelector(match_labels={"tier": "gold"}))
    found = words.best_volume(wish, [volume("a"), labelled])
    assert found is labelled


def reasons(steps: Any) -> list[str]:
    return [step.reason for step in steps if isinstance(step, Tell)]


@pytest.mark.parametrize(
    ("made_by", "marks", "expected"),
    [
        pytest.param(storage_class(), {}, ["ExternalProvisioning"], id="left to the provisioner"),
        pytest.param(None, {}, ["ProvisioningFailed"], id="its class is not there"),
        pytest.param(storage_class(by=words.NO_PROVISIONER), {}, [], id="nobody makes volumes of the class"),
        pytest.param(
            storage_class(mode="WaitForFirstConsumer"), {}, ["WaitForFirstConsumer"], id="it waits for a pod"
        ),
        pytest.param(
            storage_class(mode="WaitForFirstConsumer"),
            {words.SELECTED_NODE: "n"},
            ["ExternalProvisioning"],
            id="its pod has a node",
        ),
    ],
)
def test_what_is_told_of_a_claim_without_a_volume(
    made_by: storage.StorageClass | None, marks: dict[str, str], expected: list[str]
) -> None:
    wish = claim()
    wish.metadata.annotations = marks
    assert reasons(settle_unbound(wish, Around(made_by, [], []), None, now=NOW)) == expected


def test_a_class_that_waits_takes_no_free_volume() -> None:
    steps = settle_unbound(claim(), Around(storage_class(mode="WaitForFirstConsumer"), [volume()], []), None, now=NOW)
    assert not [step for step in steps if isinstance(step, Merge) and isinstance(step.object, core.PersistentVolume)]


@pytest.mark.parametrize(
    ("named", "there", "expected"),
    [
        pytest.param("", None, "ClaimLost", id="it names no volume"),
        pytest.param("v", None, "ClaimLost", id="the volume is gone"),
        pytest.param("v", volume(claim_ref=reference("other", uid="u")), "ClaimMisbound", id="it is another's"),
    ],
)
def test_a_bound_claim_that_lost_its_volume(named: str, there: Any, expected: str) -> None:
    steps = list(settle_bound(claim(volume_name=named), there, now=NOW))
    assert reasons(steps) == [expected]
    assert isinstance(steps[0], Merge)
    assert steps[0].patch["status"]["phase"] == "Lost"


@pytest.mark.parametrize(
    ("policy", "made_by", "expected"),
    [
        pytest.param("Retain", "", "Released", id="kept"),
        pytest.param("Delete", "example.com/p", "Released", id="left to its provisioner"),
        pytest.param("Delete", "", "Failed", id="nobody can delete it"),
        pytest.param("Recycle", "", "Failed", id="nobody can clean it"),
    ],
)
def test_a_volume_that_was_let_go(policy: str, made_by: str, expected: str) -> None:
    there = volume(phase="Bound", claim_ref=reference(uid="gone"), persistent_volume_reclaim_policy=policy)
    there.metadata.annotations = {words.PROVISIONED_BY: made_by} if made_by else {}
    steps = list(settle_volume(there, None, now=NOW))
    phases = [step.patch["status"]["phase"] for step in steps if isinstance(step, Merge)]
    assert phases[-1] == expected


# Lives over the API


def fresh(obj: Any) -> Any:
    obj.metadata = meta.ObjectMeta(
        name=obj.metadata.name, namespace=obj.metadata.namespace, annotations=obj.metadata.annotations
    )
    obj.status = type(obj.status)() if hasattr(obj, "status") else None
    return obj


async def phase(there: Story, kind: Any, name: str, wanted: str) -> Any:
    namespace = "default" if kind is core.PersistentVolumeClaim else ""

    async def reached() -> Any:
        found = await there.client.get(kind, name, namespace=namespace)
        return found if found.status.phase == wanted else None

    return await there.until(reached)


async def test_a_claim_and_a_volume_find_each_other_and_part() -> None:
    async with story(*KINDS) as there:
        client = there.client
        await client.create(fresh(volume("large", size="5Gi")))
        await client.create(fresh(volume("small", size="2Gi")))
        await phase(there, core.PersistentVolume, "large", "Available")
        await phase(there, core.PersistentVolume, "small", "Available")
        await client.create(fresh(claim()))
        bound = await phase(there, core.PersistentVolumeClaim, "c", "Bound")
        assert bound.spec.volume_name == "small"
        assert bound.status.capacity == {"storage": "2Gi"}
        assert set(bound.metadata.annotations) == {words.BIND_COMPLETED, words.BOUND_BY_CONTROLLER}
        taken = await phase(there, core.PersistentVolume, "small", "Bound")
        assert taken.spec.claim_ref.uid == bound.metadata.uid
        assert words.BOUND_BY_CONTROLLER in taken.metadata.annotations
        await client.delete(core.PersistentVolumeClaim, "c", namespace="default")
        released = await phase(there, core.PersistentVolume, "small", "Released")
        await client.create(fresh(claim("d")))
        again = await phase(there, core.PersistentVolumeClaim, "d", "Bound")
        assert again.spec.volume_name == "large"
        assert released.spec.claim_ref.name == "c"


async def test_a_claim_and_a_volume_that_name_each_other() -> None:
    async with story(*KINDS) as there:
        client = there.client
        await client.create(fresh(claim(volume_name="mine", storage_class_name="slow")))
        await client.create(fresh(volume("mine", size="9Gi", claim_ref=reference())))
        await phase(there, core.PersistentVolumeClaim, "c", "Bound")
        taken = await phase(there, core.PersistentVolume, "mine", "Bound")
        assert words.BOUND_BY_CONTROLLER not in taken.metadata.annotations


async def test_a_claim_loses_its_volume() -> None:
    async with story(*KINDS) as there:
        client = there.client
        await client.create(fresh(volume()))
        await client.create(fresh(claim()))
        await phase(there, core.PersistentVolumeClaim, "c", "Bound")
        await client.delete(core.PersistentVolume, "v")
        await client.patch(core.PersistentVolume, "v", {"metadata": {"finalizers": None}})
        lost = await phase(there, core.PersistentVolumeClaim, "c", "Lost")
        assert not lost.status.capacity


async def test_claims_without_a_class_get_the_default_one_when_it_comes() -> None:
    async with story(*KINDS) as there:
        client = there.client
        await client.create(fresh(claim(storage_class_name="")))
        made = storage_class("usual")
        made.metadata = meta.ObjectMeta(
            name="usual", annotations={"storageclass.kubernetes.io/is-default-class": "true"}
        )
        await client.create(made)

        async def left_to_the_provisioner() -> Any:
            found = await client.get(core.PersistentVolumeClaim, "c", namespace="default")
            return found if words.PROVISIONER in found.metadata.annotations else None

        found = await there.until(left_to_the_provisioner)
        assert found.spec.storage_class_name == "usual"
        assert found.metadata.annotations[words.PROVISIONER] == "example.com/p"


async def test_an_ephemeral_volume_has_a_claim_as_long_as_its_pod() -> None:
    async with story() as there:
        client = there.client

        async def account() -> Any:
            return (await client.list(core.ServiceAccount, namespace="default")).items

        await there.until(account)
        default = storage_class("usual")
        default.metadata = meta.ObjectMeta(
            name="usual", annotations={"storageclass.kubernetes.io/is-default-class": "true"}
        )
        await client.create(default)
        template = core.PersistentVolumeClaimTemplate(spec=claim().spec)
        source = core.EphemeralVolumeSource(volume_claim_template=template)
        pod = core.Pod(
            metadata=meta.ObjectMeta(name="p", namespace="default"),
            spec=core.PodSpec(
                containers=[core.Container(name="c", image="i")],
                volumes=[core.Volume(name="scratch", ephemeral=source)],
            ),
        )
        tree = msgspec.to_builtins(pod)
        wish = tree["spec"]["volumes"][0]["ephemeral"]["volumeClaimTemplate"]["spec"]
        for name, of in (("usual", None), ("bare", "")):
            wish["storageClassName"] = of
            more = {"name": name, "ephemeral": {"volumeClaimTemplate": {"spec": dict(wish)}}}
            tree["spec"]["volumes"].append(more)
        wish["storageClassName"] = "slow"
        body, headers = orjson.dumps(tree), {"content-type": "application/json"}
        await client.request("POST", "/api/v1/namespaces/default/pods", headers=headers, body=body)

        async def made() -> Any:
            try:
                return await client.get(core.PersistentVolumeClaim, "p-scratch", namespace="default")
            except NotFound:
                return None

        found = await there.until(made)
        assert found.metadata.owner_references[0].name == "p"
        for name, of in (("scratch", "slow"), ("usual", "usual"), ("bare", None)):

            async def read(name: str = name) -> Any:
                try:
                    path = f"/api/v1/namespaces/default/persistentvolumeclaims/p-{name}"
                    return orjson.loads((await client.request("GET", path)).body)
                except NotFound:
                    return None

            tree = await there.until(read)
            assert tree["spec"].get("storageClassName") in (of, "" if of is None else of), name
        await client.delete(core.Pod, "p", namespace="default", grace_period_s=0)

        async def gone() -> bool:
            return await made() is None

        await there.until(gone)
