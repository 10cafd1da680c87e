"""The short way in for parts of this process answers as the usual one does."""

import json
from typing import Any

import pytest

from bireme.api.kinds import core, meta
from bireme.api.scheme import builtin
from bireme.apiserver.app import ApiServer
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
