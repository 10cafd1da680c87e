"""The short way in for parts of this process answers as the usual one does."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.aio.overdue import Overdue
from bireme.api.errors import Expired, Forbidden
from bireme.api.kinds import core, meta
from bireme.api.scheme import builtin
from bireme.apiserver import lane as lane_module
from bireme.apiserver.app import ApiServer
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.client.transport import InProcessTransport
from bireme.http.interface import Identity, Response
from bireme.registry import watch_cache

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
        (short,) = await lane_of(door.server, user).create(resource, namespace, json.dumps(body).encode())
    assert alike(short.status, short.body) == alike(usual.status, usual.body)


async def test_no_more_is_written_while_those_who_listen_are_far_behind(opened, monkeypatch):
    monkeypatch.setattr(watch_cache, "AT_ONCE", 1)
    monkeypatch.setattr(lane_module, "MOST_BEHIND", 4)
    async with opened() as door:
        lane, store, cache = lane_of(door.server, ADMIN), door.server.registry.store, door.server.registry.cache
        pods, body, behind = builtin().of_type(core.Pod), json.dumps(POD).encode(), []
        for _ in range(40):
            await lane.create(pods, "default", body, number=32)
            behind.append(store.revision - cache.revision)
        assert max(behind) <= 4 + 32
        await cache.wait_fresh(store.revision)


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
                answer: Response
                (answer,) = await lane_of(door.server, user).bind([binding(name)])
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
        await lane_of(door.server, SCHEDULER).bind([binding("there")])
        page = (await door.ask("GET", "/metrics")).body.decode()
        assert 'code="201"' in next(line for line in page.splitlines() if 'subresource="binding"' in line)


async def counted(door: Any, *labels: str) -> int:
    """How many requests of that kind were answered."""
    page = (await door.ask("GET", "/metrics")).body.decode()
    lines = [line for line in page.splitlines() if line.startswith("apiserver_request_total{")]
    return sum(int(line.rpartition(" ")[2]) for line in lines if all(label in line for label in labels))


async def test_many_of_one_kind_are_made_and_counted_each(opened):
    async with opened() as door:
        lane, resource = lane_of(door.server, ADMIN), builtin().of_type(core.Pod)
        before = door.registry.store.statistics().commits
        answers = await lane.create(resource, "default", json.dumps(POD).encode(), number=10)
        assert [answer.status for answer in answers] == [201] * 10
        assert len({json.loads(answer.body)["metadata"]["name"] for answer in answers}) == 10
        assert door.registry.store.statistics().commits == before + 3
        assert await counted(door, 'resource="pods"', 'verb="POST"', 'code="201"') == 10
        refused = await lane.create(resource, "default", json.dumps(BAD).encode(), number=2)
        assert [answer.status for answer in refused] == [422] * 2


ONE_POD = {"apiGroups": [""], "resources": ["pods/binding"], "resourceNames": ["mine"], "verbs": ["create"]}


async def test_a_binding_that_is_refused_is_refused_alone(opened):
    async with opened() as door:
        rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
        await door.make(f"{rbac}/roles", {"metadata": {"name": "one"}, "rules": [ONE_POD]})
        binds = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": NOBODY.name}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "one"}
        await door.make(f"{rbac}/rolebindings", {"metadata": {"name": "one"}, "roleRef": role, "subjects": [binds]})
        for name in ("mine", "theirs"):
            await door.make(PODS, {**POD, "metadata": {"name": name}})
        wanted = [binding("theirs"), binding("mine"), binding("missing"), binding("mine", "n2")]
        elsewhere = core.Binding(metadata=meta.ObjectMeta(name="mine", namespace="away"), target=wanted[0].target)
        answers = await lane_of(door.server, NOBODY).bind([*wanted, elsewhere])
        assert [answer.status for answer in answers] == [403, 201, 403, 409, 403]
        posts = ('resource="pods"', 'subresource="binding"')
        assert await counted(door, *posts) == 5
        assert await counted(door, *posts, 'code="403"') == 3


async def test_a_pod_gets_the_labels_of_its_binding(opened):
    async with opened() as door:
        await door.make(PODS, {**POD, "metadata": {"name": "there", "labels": {"app": "web"}}})
        said = binding("there")
        said.metadata.labels, said.metadata.annotations = {"zone": "a"}, {"by": "me"}
        await lane_of(door.server, SCHEDULER).bind([said])
        metadata = (await door.ask("GET", f"{PODS}/there")).tree["metadata"]
        assert (metadata["labels"], metadata["annotations"]) == ({"app": "web", "zone": "a"}, {"by": "me"})


async def test_a_write_is_as_wide_as_usual_and_under_way(opened, monkeypatch):
    async with opened() as door:
        for name in ("a", "b"):
            await door.make(PODS, {**POD, "metadata": {"name": name}})
        lane, seats, under_way = lane_of(door.server, SCHEDULER), [], []
        flows, put_all = door.server._flows, door.registry.put_all
        enter = flows.enter

        async def noted(flow: Any, user: Any, attempt: Any, wide: int = 1, *, requests: int = 1) -> None:
            seats.append((wide, requests))
            await enter(flow, user, attempt, wide, requests=requests)

        async def put(*args: Any) -> Any:
            under_way.append(door.server.metrics.in_flight["mutating"])
            return await put_all(*args)

        monkeypatch.setattr(flows, "enter", noted)
        monkeypatch.setattr(door.registry, "put_all", put)
        door.registry.cache.of(builtin().of_type(core.Pod)).broad = 25
        await lane.bind([binding("a"), binding("b")])
        assert (seats, under_way) == ([(6, 2)], [2])
        assert door.server.metrics.in_flight["mutating"] == 0
        assert all(level.in_use == 0 for level in flows.levels())
        assert all(flow.executing == 0 for flow in flows.flows())


async def test_what_takes_too_long_is_told_so(opened, monkeypatch):
    async with opened() as door:
        await door.make(PODS, {**POD, "metadata": {"name": "a"}})
        door.server._overdue = Overdue(0.0)

        async def never(*args: Any) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(door.registry, "put_all", never)
        (answer,) = await lane_of(door.server, SCHEDULER).bind([binding("a")])
        assert (answer.status, json.loads(answer.body)["reason"]) == (504, "Timeout")


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
