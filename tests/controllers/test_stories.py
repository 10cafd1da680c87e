"""Long interplays over the real API: rollouts, services, namespaces, owners, nodes."""

from typing import Any

import pytest
from controller_objects import template
from story import Story, story

from bireme.aio.clock import RealClock, VirtualClock
from bireme.api.errors import NotFound
from bireme.api.kinds import apps, coordination, core, discovery, meta
from bireme.api.times import rfc3339_micro
from bireme.client.client import Patch
from bireme.controllers.endpointslice import MANAGER
from bireme.controllers.revisions import HASH, REVISION
from bireme.controllers.settings import Settings
from bireme.controllers.slices import MANAGED_BY, SERVICE_NAME


def deployment(replicas: int = 3, image: str = "one", **spec: Any) -> apps.Deployment:
    return apps.Deployment(
        metadata=meta.ObjectMeta(name="d", namespace="default"),
        spec=apps.DeploymentSpec(
            replicas=replicas,
            selector=meta.LabelSelector(match_labels={"app": "a"}),
            template=template(image),
            **spec,
        ),
    )


async def set_image(there: Story, image: str) -> None:
    containers = [{"name": "c", "image": image}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    await there.client.patch(apps.Deployment, "d", patch, namespace="default", how=Patch.STRATEGIC)


def reasons(there: apps.Deployment) -> dict[str, tuple[str, str]]:
    return {item.type: (item.status, item.reason) for item in there.status.conditions}


async def images(there: Story) -> list[str]:
    return sorted(pod.spec.containers[0].image for pod in await there.pods() if not pod.metadata.deletion_timestamp)


async def test_rollout_undo_and_scale() -> None:
    async with story() as there:
        await there.client.create(deployment())
        first = await there.rolled_out()
        assert first.metadata.annotations[REVISION] == "1"
        assert await images(there) == ["one"] * 3
        await set_image(there, "two")
        second = await there.rolled_out()
        assert second.metadata.annotations[REVISION] == "2"
        assert await images(there) == ["two"] * 3

        async def told() -> bool:
            return reasons(await there.deployment()).get("Progressing") == ("True", "NewReplicaSetAvailable")

        await there.until(told)
        assert reasons(await there.deployment())["Available"] == ("True", "MinimumReplicasAvailable")
        old = next(item for item in await there.sets() if item.metadata.annotations[REVISION] == "1")
        assert old.spec.template is not None
        await set_image(there, old.spec.template.spec.containers[0].image)
        undone = await there.rolled_out()
        assert undone.metadata.annotations[REVISION] == "3"
        assert await images(there) == ["one"] * 3
        assert len(await there.sets()) == 2
        await there.client.patch(apps.Deployment, "d", {"spec": {"replicas": 7}}, namespace="default")
        await there.rolled_out()
        assert len(await there.pods()) == 7
        hashes = {pod.metadata.labels[HASH] for pod in await there.pods()}
        assert len(hashes) == 1


async def test_a_failing_version_keeps_what_was_promised_and_is_reported() -> None:
    clock = VirtualClock()
    async with story(clock=clock) as there:

        async def after_a_while(claim: Any) -> Any:
            async def turn() -> Any:
                await clock.advance(0.5, settle=5)
                return await claim()

            return await there.until(turn)

        await there.client.create(deployment(4, progress_deadline_seconds=60))

        async def done() -> bool:
            found = await there.deployment()
            return found.status.available_replicas == 4 and found.status.updated_replicas == 4

        await after_a_while(done)
        await set_image(there, "broken")

        async def stuck() -> bool:
            found = await there.deployment()
            assert (found.status.available_replicas or 0) >= 3
            return reasons(found).get("Progressing") == ("False", "ProgressDeadlineExceeded")

        await after_a_while(stuck)
        assert len([image for image in await images(there) if image == "one"]) == 3


async def test_pause_and_resume() -> None:
    async with story() as there:
        await there.client.create(deployment())
        await there.rolled_out()
        await there.client.patch(apps.Deployment, "d", {"spec": {"paused": True}}, namespace="default")
        await set_image(there, "two")

        async def paused() -> bool:
            found = await there.deployment()
            seen = found.status.observed_generation == found.metadata.generation
            return seen and reasons(found)["Progressing"] == ("Unknown", "DeploymentPaused")

        await there.until(paused)
        await there.client.patch(apps.Deployment, "d", {"spec": {"replicas": 5}}, namespace="default")

        async def scaled() -> bool:
            return await images(there) == ["one"] * 5

        await there.until(scaled)
        await there.client.patch(apps.Deployment, "d", {"spec": {"paused": None}}, namespace="default")
        await there.rolled_out()
        assert await images(there) == ["two"] * 5


async def test_recreate_never_mixes() -> None:
    async with story() as there:
        strategy = apps.DeploymentStrategy(type="Recreate")
        await there.client.create(deployment(strategy=strategy))
        await there.rolled_out()
        await set_image(there, "two")

        async def done() -> bool:
            now = await images(there)
            assert len(set(now)) <= 1
            return now == ["two"] * 3

        await there.until(done)


async def test_history_is_kept_to_its_limit() -> None:
    async with story() as there:
        await there.client.create(deployment(1, revision_history_limit=1))
        for image in ("one", "two", "three", "four"):
            await set_image(there, image)
            await there.rolled_out()

        async def trimmed() -> bool:
            return sorted(item.metadata.annotations[REVISION] for item in await there.sets()) == ["3", "4"]

        await there.until(trimmed)


async def test_a_deleted_pod_is_replaced_and_orphans_are_adopted() -> None:
    async with story() as there:
        await there.client.create(deployment())
        await there.rolled_out()
        victim = (await there.pods())[0]
        await there.client.delete(core.Pod, victim.metadata.name, namespace="default")

        async def replaced() -> bool:
            names = {pod.metadata.name for pod in await there.pods()}
            return len(names) == 3 and victim.metadata.name not in names

        await there.until(replaced)
        await there.client.delete(apps.Deployment, "d", namespace="default", propagation="Orphan")

        async def alone() -> bool:
            left = await there.sets()
            return not left[0].metadata.owner_references

        await there.until(alone)
        before = {pod.metadata.uid for pod in await there.pods()}
        await there.client.create(deployment())
        await there.rolled_out()
        (adopted,) = await there.sets()
        assert adopted.metadata.owner_references[0].name == "d"
        assert {pod.metadata.uid for pod in await there.pods()} == before


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_deletion_takes_everything_below(propagation: str) -> None:
    async with story() as there:
        await there.client.create(deployment())
        await there.rolled_out()
        await there.client.delete(apps.Deployment, "d", namespace="default", propagation=propagation)

        async def gone() -> bool:
            left = [*await there.pods(), *await there.sets()]
            if propagation == "Foreground" and left:
                assert (await there.deployment()).metadata.deletion_timestamp
            return not left

        try:
            await there.until(gone)
        except NotFound:
            assert propagation == "Foreground"
            assert not await there.pods()

        async def all_gone() -> bool:
            return not (await there.client.list(apps.Deployment, namespace="default")).items

        await there.until(all_gone)


async def test_a_service_finds_its_pods() -> None:
    async with story() as there:
        await there.client.create(
            core.Service(
                metadata=meta.ObjectMeta(name="s", namespace="default"),
                spec=core.ServiceSpec(selector={"app": "a"}, ports=[core.ServicePort(port=80, target_port=8080)]),
            )
        )
        await there.client.create(deployment())
        await there.rolled_out()
        labels = f"{SERVICE_NAME}=s,{MANAGED_BY}={MANAGER}"

        async def found() -> bool:
            (item, *more) = (
                await there.client.list(discovery.EndpointSlice, namespace="default", labels=labels)
            ).items
            old = await there.client.get(core.Endpoints, "s", namespace="default")
            ready = [entry for entry in item.endpoints if entry.conditions and entry.conditions.ready]
            return not more and len(ready) == 3 and bool(old.subsets) and len(old.subsets[0].addresses) == 3

        async def there_yet() -> bool:
            try:
                return await found()
            except (NotFound, ValueError):
                return False

        await there.until(there_yet)
        await there.client.delete(core.Service, "s", namespace="default")

        async def gone() -> bool:
            slices = (await there.client.list(discovery.EndpointSlice, namespace="default", labels=labels)).items
            old = (await there.client.list(core.Endpoints, namespace="default")).items
            return not slices and all(item.metadata.name != "s" for item in old)

        await there.until(gone)


async def test_a_namespace_gets_its_things_and_goes_with_all_of_them() -> None:
    async with story(settings=Settings(root_ca="PEM", namespace_poll_s=0.01)) as there:
        await there.client.create(core.Namespace(metadata=meta.ObjectMeta(name="x")))

        async def furnished() -> bool:
            maps = (await there.client.list(core.ConfigMap, namespace="x")).items
            accounts = (await there.client.list(core.ServiceAccount, namespace="x")).items
            return [item.data for item in maps] == [{"ca.crt": "PEM"}] and len(accounts) == 1

        await there.until(furnished)
        held = core.ConfigMap(metadata=meta.ObjectMeta(name="held", namespace="x", finalizers=["a.b/c"]))
        await there.client.create(held)
        await there.client.delete(core.Namespace, "x")

        async def waiting() -> bool:
            found = await there.client.get(core.Namespace, "x")
            states = {item.type: item.message for item in found.status.conditions if item.status == "True"}
            return "a.b/c in 1" in states.get("NamespaceFinalizersRemaining", "")

        await there.until(waiting)
        await there.client.patch(core.ConfigMap, "held", {"metadata": {"finalizers": None}}, namespace="x")

        async def gone() -> bool:
            return all(item.metadata.name != "x" for item in (await there.client.list(core.Namespace)).items)

        await there.until(gone)


async def test_a_silent_node_is_tainted_and_its_pods_leave() -> None:
    clock = VirtualClock(RealClock().now())
    async with story(clock=clock) as there:
        for name in ("n1", "n2"):
            await there.client.create(core.Node(metadata=meta.ObjectMeta(name=name)))
            condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
            condition["lastTransitionTime"] = "2026-01-01T00:00:00Z"
            await there.client.patch(core.Node, name, {"status": {"conditions": [condition]}}, subresource="status")

        async def ranged() -> bool:
            return {node.spec.pod_cidr for node in (await there.client.list(core.Node)).items} == {
                "10.244.0.0/24",
                "10.244.1.0/24",
            }

        await there.until(ranged)
        made = core.Pod(
            metadata=meta.ObjectMeta(name="p", namespace="default"),
            spec=core.PodSpec(
                node_name="n1", containers=[core.Container(name="c", image="one")], termination_grace_period_seconds=0
            ),
        )
        await there.client.create(made)
        lease = coordination.Lease(
            metadata=meta.ObjectMeta(name="n2", namespace="kube-node-lease"),
            spec=coordination.LeaseSpec(holder_identity="n2", renew_time=rfc3339_micro(clock.now())),
        )
        lease = await there.client.create(lease)

        async def pod_ready() -> bool:
            return any(item.status == "True" for pod in await there.pods() for item in pod.status.conditions)

        await there.until(pod_ready)

        async def driven_off() -> bool:
            nonlocal lease
            await clock.advance(0.5, settle=20)
            lease.spec.renew_time = rfc3339_micro(clock.now())
            lease = await there.client.update(lease)
            node = await there.client.get(core.Node, "n1")
            return {item.effect for item in node.spec.taints} == {"NoSchedule", "NoExecute"}

        await there.until(driven_off)
        other = await there.client.get(core.Node, "n2")
        assert other.spec.taints == []
        (pod,) = await there.pods()
        assert [item.status for item in pod.status.conditions if item.type == "Ready"] == ["False"]

        async def gone() -> bool:
            await clock.advance(10, settle=20)
            left = await there.pods()
            return not left or bool(left[0].metadata.deletion_timestamp)

        await there.until(gone)
