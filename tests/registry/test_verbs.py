import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api.errors import AlreadyExists, Forbidden, Invalid, ServiceUnavailable
from bireme.registry.options import Call, DeleteOptions, ListOptions, WatchOptions
from bireme.registry.pods import bind
from bireme.registry.selection import Selection
from bireme.store.interface import StoreFull


class Kinds:
    """A view that only tells what happened."""

    key = "told"

    def frame(self, kind: str, record: Any, revision: int) -> bytes:
        return f"{kind} {record.name} {revision}\n".encode()


def config(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


async def test_two_writers_of_one_name_and_one_wins(opened):
    async with opened() as registry:
        kind = registry.kind("", "v1", "configmaps")

        async def create(value: str) -> bool:
            try:
                await registry.create(kind, "default", config("a", by=value), Call())
            except AlreadyExists:
                return False
            return True

        async with asyncio.TaskGroup() as tasks:
            tries = [tasks.create_task(create(str(number))) for number in range(5)]
        assert sum(task.result() for task in tries) == 1


async def test_a_full_store_is_told_plainly(opened, monkeypatch):
    async with opened() as registry:

        async def full(*args: Any, **kwargs: Any) -> None:
            raise StoreFull("no room")

        monkeypatch.setattr(registry.store, "put", full)
        kind = registry.kind("", "v1", "configmaps")
        with pytest.raises(ServiceUnavailable, match="no room"):
            await registry.create(kind, "default", config("a"), Call())


async def test_a_pod_of_a_missing_account_is_refused(opened):
    async with opened() as registry:
        kind = registry.kind("", "v1", "pods")
        spec = {"serviceAccountName": "nope", "containers": [{"name": "c", "image": "i"}]}
        with pytest.raises(Exception, match='serviceaccount "nope" not found'):
            await registry.create(kind, "default", {"metadata": {"name": "a"}, "spec": spec}, Call())


async def test_priority_comes_from_the_class(opened):
    async with opened() as registry:
        kind = registry.kind("", "v1", "pods")
        spec = {"priorityClassName": "system-node-critical", "containers": [{"name": "c", "image": "i"}]}
        made = await registry.create(kind, "default", {"metadata": {"name": "a"}, "spec": spec}, Call())
        assert made.tree()["spec"]["priority"] == 2_000_001_000


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["put", "delete"]), st.sampled_from("xyz")),
        max_size=25,
    ),
    stop=st.integers(0, 25),
)
@settings(max_examples=30, deadline=None)
def test_a_list_and_the_watch_from_it_tell_the_same(opened_now, steps, stop):
    async def story() -> None:
        async with opened_now() as registry:
            kind = registry.kind("", "v1", "configmaps")
            selection = Selection(kind.resource, "default")
            listed = None
            for number, (name, what, value) in enumerate(steps):
                if number == stop:
                    listed = await registry.list(kind, selection, ListOptions())
                present = registry.find("", "v1", "configmaps", "default", name) is not None
                if what == "put" and present:
                    await registry.update(kind, "default", name, config(name, k=value), Call())
                elif what == "put":
                    await registry.create(kind, "default", config(name, k=value), Call())
                elif present:
                    await registry.delete(kind, "default", name, DeleteOptions(), Call())
            if listed is None:
                return
            after = WatchOptions(resource_version=str(listed.revision))
            watching = await registry.watch(kind, selection, after, Kinds())
            state = {record.name for record in listed.records}
            last = listed.revision
            for frame in watching.watcher.take().decode().splitlines():
                event, name, revision = frame.split()
                assert int(revision) > last
                last = int(revision)
                assert (name in state) is (event != "ADDED")
                (state.discard if event == "DELETED" else state.add)(name)
            now = await registry.list(kind, selection, ListOptions())
            assert state == {record.name for record in now.records}
            past = await registry.list(
                kind, selection, ListOptions(resource_version=str(listed.revision), match="Exact")
            )
            assert [(r.name, r.value) for r in past.records] == [(r.name, r.value) for r in listed.records]

    asyncio.run(story())


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


async def test_a_refusal_does_not_change_with_the_generated_name(opened):
    async with opened() as registry:
        kind = registry.kind("", "v1", "pods")
        told = set()
        for _ in range(3):
            tree = {**pod(serviceAccountName="nope"), "metadata": {"generateName": "web-"}}
            with pytest.raises(Forbidden) as refused:
                await registry.create(kind, "default", tree, Call())
            told.add(refused.value.message)
        (message,) = told
        assert message.startswith('pods "web-" is forbidden')


async def test_only_a_binding_gives_a_pod_its_node(opened):
    async with opened() as registry:
        kind = registry.kind("", "v1", "pods")
        made = (await registry.create(kind, "default", pod(), Call())).tree()
        made["spec"]["nodeName"] = "n1"
        with pytest.raises(Invalid, match="pod updates may not change fields"):
            await registry.update(kind, "default", "p", made, Call())
        await bind(registry, kind, "default", "p", {"target": {"kind": "Node", "name": "n1"}}, Call())
        assert registry.find("", "v1", "pods", "default", "p")["spec"]["nodeName"] == "n1"


async def test_a_resize_changes_amounts_and_never_the_quality_of_service(opened):
    async with opened() as registry:
        kind = registry.kind("", "v1", "pods")
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
        made = (await registry.create(kind, "default", pod(containers=[container]), Call())).tree()
        made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}}
        document, _ = await registry.update(kind, "default", "p", made, Call(), subresource="resize")
        resized = document.tree()
        assert resized["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "2"}}
        assert resized["metadata"]["generation"] == 2
        resized["spec"]["containers"][0]["resources"] = {}
        with pytest.raises(Invalid, match="Pod QOS Class may not change"):
            await registry.update(kind, "default", "p", resized, Call(), subresource="resize")


async def test_ephemeral_containers_may_be_added(opened):
    async with opened() as registry:
        kind = registry.kind("", "v1", "pods")
        made = (await registry.create(kind, "default", pod(), Call())).tree()
        made["spec"]["ephemeralContainers"] = [{"name": "d", "image": "i"}]
        document, _ = await registry.update(kind, "default", "p", made, Call(), subresource="ephemeralcontainers")
        assert [each["name"] for each in document.tree()["spec"]["ephemeralContainers"]] == ["d"]


async def test_a_resize_is_said_to_change_only_what_it_may(opened):
    async with opened() as registry:
        kind = registry.kind("", "v1", "pods")
        made = (await registry.create(kind, "default", pod(), Call())).tree()
        made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
        with pytest.raises(Invalid) as refused:
            await registry.update(kind, "default", "p", made, Call(), subresource="resize")
        assert [cause.field for cause in refused.value.causes] == ["metadata"]


async def test_labels_are_read_as_they_are_now(opened):
    async with opened() as registry:
        kind, place = registry.kind("", "v1", "nodes"), ("", "v1", "nodes", "", "n")
        assert registry.labels(*place) is None
        await registry.create(kind, "", {"metadata": {"name": "n"}}, Call())
        assert registry.labels(*place) == {}
        labels = {"zone": "a"}
        await registry.patch(
            kind, "", "n", lambda tree: {**tree, "metadata": {**tree["metadata"], "labels": labels}}, Call()
        )
        assert registry.labels(*place) == labels
