"""StatefulSets: which pod comes and goes next, the history of templates; and whole lives over the real API."""

from typing import Any

import pytest
from controller_objects import NOW, ago, metadata, template
from story import Story, story

from bireme.api.errors import NotFound
from bireme.api.kinds import apps, core, meta
from bireme.client.client import Patch
from bireme.controllers import histories, stateful_plan, stateful_pods
from bireme.controllers.histories import HASH


def pod(
    number: int, revision: str = "new", *, ready: bool = True, phase: str = "Running", leaving: bool = False
) -> core.Pod:
    return core.Pod(
        metadata=metadata(f"s-{number}", labels={HASH: revision}, deletion_timestamp=ago(1) if leaving else ""),
        status=core.PodStatus(
            phase=phase,
            conditions=[core.PodCondition(type="Ready", status=str(ready), last_transition_time=ago(60))],
        ),
    )


def set_of(replicas: int = 3, **spec: Any) -> apps.StatefulSet:
    rolling = apps.RollingUpdateStatefulSetStrategy(
        partition=spec.pop("partition", 0), max_unavailable=spec.pop("max_unavailable", 1)
    )
    strategy = apps.StatefulSetUpdateStrategy(type=spec.pop("update", "RollingUpdate"), rolling_update=rolling)
    return apps.StatefulSet(
        metadata=metadata("s", generation=1),
        spec=apps.StatefulSetSpec(
            replicas=replicas,
            selector=meta.LabelSelector(match_labels={"app": "a"}),
            template=template(),
            **{"update_strategy": strategy, "service_name": "s", **spec},
        ),
    )


def view(*pods: core.Pod, current: str = "old", **spec: Any) -> stateful_plan.View:
    by_number = {int(item.metadata.name.removeprefix("s-")): item for item in pods}
    return stateful_plan.View(set_of(**spec).spec, by_number, current, "new", NOW)


PARALLEL = {"pod_management_policy": "Parallel"}


@pytest.mark.parametrize(
    ("there", "create", "delete"),
    [
        pytest.param(view(), [0], [], id="the first comes first"),
        pytest.param(view(pod(0)), [1], [], id="then the second"),
        pytest.param(view(pod(0, ready=False)), [], [], id="which waits until the first is ready"),
        pytest.param(view(pod(0), pod(2)), [1], [], id="a gap is filled"),
        pytest.param(view(pod(0), pod(1, leaving=True), pod(2)), [], [], id="but not before the old one is gone"),
        pytest.param(view(pod(0, phase="Failed"), pod(1)), [], ["s-0"], id="one that failed is made anew"),
        pytest.param(view(**PARALLEL), [0, 1, 2], [], id="in parallel all come at once"),
        pytest.param(view(*map(pod, range(5))), [], ["s-4"], id="the last goes first"),
        pytest.param(
            view(*map(pod, range(4)), pod(4, leaving=True)), [], [], id="and the one before it when it has gone"
        ),
        pytest.param(view(*map(pod, range(5)), **PARALLEL), [], ["s-4", "s-3"], id="in parallel all go at once"),
        pytest.param(view(*map(pod, range(2, 5)), ordinals=apps.StatefulSetOrdinals(start=2)), [], [], id="a start"),
        pytest.param(view(*(pod(n, "old") for n in range(3))), [], ["s-2"], id="an update begins with the last"),
        pytest.param(
            view(pod(0, "old"), pod(1, "old"), pod(2, ready=False)), [], [], id="and waits for what it made"
        ),
        pytest.param(
            view(*(pod(n, "old") for n in range(3)), max_unavailable=2), [], ["s-2", "s-1"], id="two may be away"
        ),
        pytest.param(view(pod(0, "old"), pod(1, "old"), pod(2), partition=2), [], [], id="not below the partition"),
        pytest.param(view(*(pod(n, "old") for n in range(3)), update="OnDelete"), [], [], id="only users delete"),
        pytest.param(
            view(pod(0, "old"), pod(1, "old", ready=False), pod(2), **PARALLEL),
            [],
            ["s-1"],
            id="what is broken already may go",
        ),
    ],
)
def test_plan(there: stateful_plan.View, create: list[int], delete: list[str]) -> None:
    wanted = stateful_plan.plan(there)
    assert wanted.create == create
    assert [item.metadata.name for item in wanted.delete] == delete


def test_below_the_partition_the_old_revision_is_made() -> None:
    there = view(partition=2)
    assert [stateful_plan.revision_for(there, number, current_replicas=0) for number in range(4)] == [
        "old",
        "old",
        "new",
        "new",
    ]


def test_the_new_revision_is_the_current_one_when_all_pods_have_it() -> None:
    half = [pod(0, "old"), pod(1, "old"), pod(2)]
    status = stateful_plan.status(view(*half), set_of(), half)
    assert (status.current_revision, status.current_replicas, status.updated_replicas) == ("old", 2, 1)
    whole = [pod(0), pod(1), pod(2)]
    status = stateful_plan.status(view(*whole), set_of(), whole)
    assert (status.current_revision, status.current_replicas, status.updated_replicas) == ("new", 3, 3)


def test_a_pod_has_its_own_claims() -> None:
    claim = core.PersistentVolumeClaim(metadata=meta.ObjectMeta(name="data"))
    shape = template()
    shape.spec.volumes = [core.Volume(name="data"), core.Volume(name="other")]
    made = stateful_pods.pod(set_of(volume_claim_templates=[claim]), shape, 4, revision="s-x")
    assert (made.metadata.name, made.spec.hostname, made.spec.subdomain) == ("s-4", "s-4", "s")
    assert made.metadata.labels[HASH] == "s-x"
    sources = {
        volume.name: volume.persistent_volume_claim and volume.persistent_volume_claim.claim_name
        for volume in made.spec.volumes
    }
    assert sources == {"data": "data-s-4", "other": None}


def test_history_takes_up_an_old_template_under_a_new_number() -> None:
    first = histories.standing(set_of(), []).wanted
    other = set_of()
    other.spec.template = template("two")
    second = histories.standing(other, [first])
    assert second.wanted.revision == 2
    back = histories.standing(set_of(), [first, second.wanted])
    assert (back.wanted.metadata.name, back.wanted.revision) == (first.metadata.name, 3)
    assert histories.standing(set_of(), back.all).write == ()


def test_history_is_as_long_as_its_limit() -> None:
    owner, known = set_of(revision_history_limit=1), []
    for image in "abcd":
        owner.spec.template = template(image)
        there = histories.standing(owner, known)
        known = there.all
    spare = histories.beyond_limit(owner, there, {known[0].metadata.name})
    assert spare == [known[1]]


# Whole lives.


def made(**spec: Any) -> apps.StatefulSet:
    whole = set_of(**spec)
    whole.metadata = meta.ObjectMeta(name="s", namespace="default")
    return whole


async def settled(there: Story, image: str, replicas: int = 3) -> list[core.Pod]:
    """The pods, once all run that image and the status says so."""

    async def claim() -> list[core.Pod] | None:
        set_ = await there.client.get(apps.StatefulSet, "s", namespace="default")
        found = await there.pods()
        same = {item.spec.containers[0].image for item in found} == {image}
        told = (set_.status.ready_replicas, set_.status.updated_replicas) == (replicas, replicas)
        return found if same and told and len(found) == replicas else None

    found: list[core.Pod] = await there.until(claim)
    return sorted(found, key=lambda item: item.metadata.name)


async def set_image(there: Story, image: str) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
    await there.client.patch(apps.StatefulSet, "s", patch, namespace="default", how=Patch.STRATEGIC)


async def test_pods_keep_their_names_through_an_update_and_back() -> None:
    async with story() as there:
        await there.client.create(made())
        before = await settled(there, "one")
        assert [item.metadata.name for item in before] == ["s-0", "s-1", "s-2"]
        cause = {"metadata": {"annotations": {"kubernetes.io/change-cause": "a new image"}}}
        await there.client.patch(apps.StatefulSet, "s", cause, namespace="default")
        await set_image(there, "two")
        after = await settled(there, "two")
        revisions = (await there.client.list(apps.ControllerRevision, namespace="default")).items
        causes = {item.revision: item.metadata.annotations.get("kubernetes.io/change-cause") for item in revisions}
        assert causes == {1: None, 2: "a new image"}
        assert [item.metadata.name for item in after] == ["s-0", "s-1", "s-2"]
        await set_image(there, "one")
        again = await settled(there, "one")
        assert {item.metadata.labels[HASH] for item in again} == {item.metadata.labels[HASH] for item in before}


async def test_claims_stay_and_pods_are_adopted_again() -> None:
    claim = core.PersistentVolumeClaim(
        metadata=meta.ObjectMeta(name="data"),
        spec=core.PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"],
            resources=core.VolumeResourceRequirements(requests={"storage": "1Gi"}),
        ),
    )
    async with story() as there:
        await there.client.create(made(volume_claim_templates=[claim]))
        before = await settled(there, "one")
        await there.client.delete(apps.StatefulSet, "s", namespace="default", propagation="Orphan")

        async def gone() -> bool:
            try:
                await there.client.get(apps.StatefulSet, "s", namespace="default")
            except NotFound:
                return True
            return False

        await there.until(gone)
        await there.client.create(made(volume_claim_templates=[claim]))
        after = await settled(there, "one")
        assert [item.metadata.uid for item in after] == [item.metadata.uid for item in before]
        claims = (await there.client.list(core.PersistentVolumeClaim, namespace="default")).items
        assert {item.metadata.name for item in claims} == {"data-s-0", "data-s-1", "data-s-2"}


async def test_claims_go_with_the_set_where_it_says_so() -> None:
    claim = core.PersistentVolumeClaim(
        metadata=meta.ObjectMeta(name="data"),
        spec=core.PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"],
            resources=core.VolumeResourceRequirements(requests={"storage": "1Gi"}),
        ),
    )
    policy = apps.StatefulSetPersistentVolumeClaimRetentionPolicy(when_deleted="Delete", when_scaled="Delete")
    async with story() as there:
        await there.client.create(
            made(volume_claim_templates=[claim], persistent_volume_claim_retention_policy=policy)
        )
        await settled(there, "one")

        async def left(number: int) -> bool:
            return len((await there.client.list(core.PersistentVolumeClaim, namespace="default")).items) == number

        await there.client.patch(apps.StatefulSet, "s", {"spec": {"replicas": 1}}, namespace="default")
        await there.until(lambda: left(1))
        await there.client.delete(apps.StatefulSet, "s", namespace="default", propagation="Background")
        await there.until(lambda: left(0))
