"""The short way in for parts of this process answers as the usual one does."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api.errors import Expired, Forbidden
from bireme.api.kinds import core, meta
from bireme.api.scheme import builtin
from bireme.apiserver.app import ApiServer
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.client.transport import InProcessTransport
from bireme.http.interface import Identity, Response

SCHEDULER = Identity("system:kube-scheduler")
NOBODY = Identity("nobody")
ADMIN = Identity("admin", ("system:masters",))
AGENT = "a-part"
POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"generateName": "web-", "namespace": "default"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
NAMESPACE = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "n"}}
TAKEN = {**NAMESPACE, "metadata": {"name": "default"}}
BAD = {**POD, "spec": {"containers": []}}
AWAY = {**POD, "metadata": {"generateName": "web-", "namespace": "away"}}


def lane_of(server: ApiServer, user: Identity) -> Any:
    lane = server.lane(user, AGENT)
    assert lane is not None
    return lane


def alike(status: int, body: bytes) -> tuple[int, Any]:
    """The answer without what no two answers share."""
    tree = json.loads(body)
    for field in ("uid", "name", "resourceVersion"):
        tree["metadata"].pop(field, None)
    return status, tree


@pytest.mark.parametrize("user", [ADMIN, SCHEDULER, NOBODY], ids=lambda user: user.name)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(POD, id="a pod"),
        pytest.param(BAD, id="a pod that is wrong"),
        pytest.param(AWAY, id="a pod of a namespace that is not there"),
        pytest.param(NAMESPACE, id="a namespace"),
        pytest.param(TAKEN, id="a name that is taken"),
    ],
)
async def test_an_object_is_made_as_by_post(opened, user, body):
    namespace = body["metadata"].get("namespace", "")
    resource = builtin().of_type(core.Pod if body["kind"] == "Pod" else core.Namespace)
    path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/namespaces"
    async with opened() as door:
        usual = await door.ask("POST", path, body, user=user, user_agent=AGENT, content_type="application/json")
    async with opened() as door:
        short = await lane_of(door.server, user).create(resource, namespace, json.dumps(body).encode())
    assert alike(short.status, short.body) == alike(usual.status, usual.body)


def binding(name: str, node: str = "n1") -> core.Binding:
    metadata = meta.ObjectMeta(name=name, namespace="default")
    return core.Binding(metadata=metadata, target=core.ObjectReference(kind="Node", name=node))


@pytest.mark.parametrize("user", [SCHEDULER, NOBODY], ids=lambda user: user.name)
@pytest.mark.parametrize("name", ["there", "missing"])
async def test_a_pod_is_bound_as_by_post(opened, user, name):
    pod = {**POD, "metadata": {"name": "there"}}
    said = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}}
    told, stored = [], []
    for short in (True, False):
        async with opened() as door:
            await door.make("/api/v1/namespaces/default/pods", pod)
            if short:
                answer: Response = await lane_of(door.server, user).bind(binding(name))
            else:
                path = f"/api/v1/namespaces/default/pods/{name}/binding"
                answer = await door.ask("POST", path, said, user=user)
            told.append(alike(answer.status, answer.body))
            stored.append((await door.ask("GET", "/api/v1/namespaces/default/pods/there")).tree["spec"])
    assert told[0] == told[1]
    assert stored[0] == stored[1]


async def test_what_is_done_there_is_counted(opened):
    async with opened() as door:
        await door.make("/api/v1/namespaces/default/pods", {**POD, "metadata": {"name": "there"}})
        await lane_of(door.server, SCHEDULER).bind(binding("there"))
        page = (await door.ask("GET", "/metrics")).body.decode()
        assert 'code="201"' in next(line for line in page.splitlines() if 'subresource="binding"' in line)


async def test_questions_go_the_usual_way(opened):
    async with opened() as door:
        lane = lane_of(door.server, ADMIN)
        resource = builtin().of_kind("authorization.k8s.io", "v1", "SelfSubjectAccessReview")
        assert await lane.create(resource, "", b"{}") is None
        assert await lane.create(builtin().of_type(core.Pod), "", b"{}") is None


PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"
names = st.sampled_from(["a", "b", "c"])
deeds = st.one_of(
    st.tuples(st.just("make"), names, st.sampled_from(["x", "y"])),
    st.tuples(st.just("label"), names, st.sampled_from(["x", "y"])),
    st.tuples(st.just("bind"), names, st.just("")),
    st.tuples(st.just("delete"), names, st.just("")),
)


async def done(door: Any, deed: str, name: str, label: str) -> None:
    match deed:
        case "make":
            metadata = {"name": name, "labels": {"app": label}}
            await door.ask("POST", PODS, {**POD, "metadata": metadata})
        case "label":
            patch = {"metadata": {"labels": {"app": label}}}
            await door.ask("PATCH", f"{PODS}/{name}", patch, content_type=MERGE)
        case "bind":
            target = {"kind": "Node", "name": "n1"}
            await door.ask("POST", f"{PODS}/{name}/binding", {"metadata": {"name": name}, "target": target})
        case "delete":
            await door.ask("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")


def written(pod: core.Pod | None) -> bytes:
    if pod is None:
        return b""
    metadata = msgspec.structs.replace(pod.metadata, uid="")  # a request draws one for itself
    return msgspec.json.encode(msgspec.structs.replace(pod, metadata=metadata))


@given(
    story=st.lists(deeds, min_size=1, max_size=12),
    labels=st.sampled_from(["", "app=x", "app!=x"]),
    fields=st.sampled_from(["", "spec.nodeName!="]),
)
@settings(max_examples=40, deadline=None)
def test_an_informer_is_told_the_same_by_calls_as_by_a_watch(opened_now, story, labels, fields):
    async def told(*, short: bool) -> list[tuple[bytes, bytes]]:
        heard: list[tuple[bytes, bytes]] = []
        async with opened_now() as door, asyncio.TaskGroup() as tasks:
            transport = InProcessTransport(door.server.handle, ADMIN)
            lane = lane_of(door.server, ADMIN) if short else None
            client = Client(transport, lane=lane)
            informer = Informer(client, core.Pod, clock=door.clock, labels=labels, fields=fields)
            informer.on_change(lambda old, new: heard.append((written(old), written(new))))
            running = tasks.create_task(informer.run())
            await informer.wait_synced()
            for deed in story:
                await done(door, *deed)
            await done(door, "make", "last", "x")
            await done(door, "bind", "last", "")
            await done(door, "label", "last", "y")
            await done(door, "delete", "last", "")
            before = -1
            while before != len(heard):  # all that is told is told by then
                before = len(heard)
                for _ in range(50):
                    await asyncio.sleep(0)
            running.cancel()
        return heard

    assert asyncio.run(told(short=True)) == asyncio.run(told(short=False))


async def test_who_is_told_is_asked_first_and_not_of_a_past_that_is_gone(opened):
    async with opened() as door:
        resource = builtin().of_type(core.Pod)
        heard: list[str] = []

        async def follow(user: Identity, version: str) -> bool:
            lane = lane_of(door.server, user)
            return await lane.follow(
                resource, "", (), lambda *told: heard.append(told[1]), kind=core.Pod, version=version
            )

        with pytest.raises(Forbidden):
            await follow(NOBODY, "1")
        door.registry.cache.of(resource).oldest = 100
        with pytest.raises(Expired):
            await follow(ADMIN, "1")
        one = (("fieldSelector", "spec.nodeName=n"),)
        assert not await lane_of(door.server, ADMIN).follow(
            resource, "", one, lambda *told: None, kind=core.Pod, version="100"
        )


async def test_who_is_told_and_fails_is_told_why(opened):
    async with opened() as door:
        resource = builtin().of_type(core.Pod)

        def fail(*told: Any) -> None:
            raise ValueError("no")

        version = str(door.registry.store.revision)

        async def follow() -> None:
            with pytest.raises(ValueError, match="no"):
                await lane_of(door.server, ADMIN).follow(resource, "", (), fail, kind=core.Pod, version=version)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow())
            await door.make(PODS, {**POD, "metadata": {"name": "a"}})
