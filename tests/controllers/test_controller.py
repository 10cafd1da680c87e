"""The loop, over the real API: what wakes a key, retries, rests, and waiting for the caches."""

from datetime import timedelta
from typing import Any, ClassVar

from controller_objects import template
from story import Story, running, story

from bireme.aio.clock import RealClock
from bireme.api.errors import Conflict, Forbidden
from bireme.api.kinds import apps, core, meta
from bireme.client.client import Client
from bireme.client.informer import Key
from bireme.controllers.controller import Context, Controller, Watch
from bireme.controllers.informers import Informers
from bireme.controllers.replicaset import ReplicaSetController
from support.cluster import cluster


class Recorder(Controller):
    """Notes the keys that it is woken for; fails as it is told."""

    name = "recorder"
    watches = Watch(core.ConfigMap), Watch(core.Secret, owner=core.ConfigMap)
    errors: ClassVar[list[Exception]] = []
    seen: ClassVar[list[Key]] = []

    async def reconcile(self, key: Key) -> timedelta | None:
        if key.namespace != "default" or key.name == "kube-root-ca.crt":
            return None
        self.seen.append(key)
        if self.errors:
            raise self.errors.pop(0)
        return None


def config_map(name: str) -> core.ConfigMap:
    return core.ConfigMap(metadata=meta.ObjectMeta(name=name, namespace="default"))


async def test_owners_are_woken_and_failures_are_tried_again() -> None:
    Recorder.seen.clear()
    Recorder.errors[:] = [Conflict("late"), Forbidden("no"), ValueError("a mistake of ours")]
    async with cluster() as there, running(there.client, (Recorder,), clock=RealClock()) as (recorder,):
        story = Story(there.client)
        made = await there.client.create(config_map("a"))

        async def settled() -> bool:
            return len(Recorder.seen) >= 4

        await story.until(settled)
        assert set(Recorder.seen) == {Key("default", "a")}
        figures = recorder.statistics()
        assert figures.failures == 2
        assert figures.queue.retries == 3
        Recorder.seen.clear()
        owner = meta.OwnerReference(
            api_version="v1", kind="ConfigMap", name="a", uid=made.metadata.uid, controller=True
        )
        await there.client.create(
            core.Secret(metadata=meta.ObjectMeta(name="s", namespace="default", owner_references=[owner]))
        )

        async def woken() -> bool:
            return Recorder.seen == [Key("default", "a")]

        await story.until(woken)


async def test_a_key_at_rest_gathers_changes() -> None:
    async with cluster() as there:
        context = Context(there.client, Informers(there.client, clock=RealClock()), RealClock())
        controller = Recorder(context)
        key = Key("default", "big")
        controller.rest(key, 60)
        controller.wake(key)
        controller.wake(key)
        assert controller.queue.statistics().delayed == 1
        assert controller.queue.statistics().ready == 0
        controller.rest(key, 0)
        controller.wake(key)
        assert controller.queue.statistics().ready == 1


class CountingClient(Client):
    """Counts the pods that somebody tried to make."""

    def __init__(self, inner: Client) -> None:
        self.__dict__.update(inner.__dict__)
        self._lane = None  # all goes the usual way
        self.tries = 0

    async def request(self, method: str, path: str, **more: Any) -> Any:
        self.tries += method == "POST" and path.endswith("/pods")
        return await super().request(method, path, **more)


async def test_pods_that_are_refused_are_tried_one_at_a_time_and_told_of() -> None:
    async with cluster() as there:  # nobody makes the service account that pods need
        client = CountingClient(there.client)
        labels = {"app": "a"}
        wanted = apps.ReplicaSet(
            metadata=meta.ObjectMeta(name="rs", namespace="default"),
            spec=apps.ReplicaSetSpec(
                replicas=400, selector=meta.LabelSelector(match_labels=labels), template=template()
            ),
        )
        await there.client.create(wanted)
        async with running(client, (ReplicaSetController,), clock=RealClock()) as (controller,):

            async def told() -> list[apps.ReplicaSetCondition]:
                found = await there.client.get(apps.ReplicaSet, "rs", namespace="default")
                return found.status.conditions

            (condition,) = await Story(there.client).until(told)
            assert (condition.type, condition.reason) == ("ReplicaFailure", "FailedCreate")
            assert client.tries <= controller.statistics().reconciles
            assert client.tries < 12


async def test_all_controllers_come_to_rest() -> None:
    async with story() as there:

        async def furnished() -> bool:
            accounts = (await there.client.list(core.ServiceAccount)).items
            return {"default", "kube-system"} <= {item.metadata.namespace for item in accounts}

        await there.until(furnished)
