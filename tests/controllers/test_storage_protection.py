from typing import Any

from story import story

from bireme.api.errors import NotFound
from bireme.api.kinds import core, meta
from bireme.controllers import pv_protection, pvc_protection


def claim() -> core.PersistentVolumeClaim:
    return core.PersistentVolumeClaim(
        metadata=meta.ObjectMeta(name="d", namespace="default"),
        spec=core.PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"], resources=core.VolumeResourceRequirements(requests={"storage": "1Gi"})
        ),
    )


def user(node: str) -> core.Pod:
    source = core.PersistentVolumeClaimVolumeSource(claim_name="d")
    return core.Pod(
        metadata=meta.ObjectMeta(name="p", namespace="default"),
        spec=core.PodSpec(
            node_name=node,
            containers=[core.Container(name="c", image="i")],
            volumes=[core.Volume(name="v", persistent_volume_claim=source)],
        ),
    )


def test_only_a_pod_on_a_node_uses_a_claim() -> None:
    assert pvc_protection.in_use(claim(), [user("n")])
    assert not pvc_protection.in_use(claim(), [user("")])


def test_a_bound_volume_stays() -> None:
    volume = core.PersistentVolume(
        metadata=meta.ObjectMeta(
            name="v", deletion_timestamp="2026-01-01T00:00:00Z", finalizers=["x", pv_protection.FINALIZER]
        )
    )
    volume.status.phase = "Bound"
    assert pv_protection.wanted_finalizers(volume) == ["x", pv_protection.FINALIZER]
    volume.status.phase = "Released"
    assert pv_protection.wanted_finalizers(volume) == ["x"]


async def test_a_claim_goes_after_its_last_pod() -> None:
    async with story() as there:
        client = there.client
        made = await client.create(claim())
        assert made.metadata.finalizers == [pvc_protection.FINALIZER]

        async def account() -> Any:
            return (await client.list(core.ServiceAccount, namespace="default")).items

        await there.until(account)
        await client.create(user("n"))
        await client.delete(core.PersistentVolumeClaim, "d", namespace="default")
        assert (await client.get(core.PersistentVolumeClaim, "d", namespace="default")).metadata.deletion_timestamp
        await client.delete(core.Pod, "p", namespace="default", grace_period_s=0)

        async def gone() -> Any:
            try:
                await client.get(core.PersistentVolumeClaim, "d", namespace="default")
            except NotFound:
                return True
            return False

        await there.until(gone)
