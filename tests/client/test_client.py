"""The typed client against the real API in this process."""

import json

import pytest
from tests.support.cluster import cluster

from bireme.api.errors import Invalid, NotFound
from bireme.api.kinds import core, meta
from bireme.client.client import Client
from bireme.client.transport import InProcessTransport
from bireme.http.interface import Identity

ADMIN = Identity("admin", ("system:masters",))
APPLY = "application/apply-patch+yaml"
PATH = "/api/v1/namespaces/default/configmaps/a"


async def owners(client: Client) -> set[str]:
    reply = await client.request("GET", PATH)
    return {entry["manager"] for entry in json.loads(reply.body)["metadata"]["managedFields"]}


async def test_a_write_of_a_struct_leaves_the_account_of_owners_as_it_is() -> None:
    async with cluster() as c:
        made = core.ConfigMap(metadata=meta.ObjectMeta(name="a", namespace="default"), data={"mine": "1"})
        await c.client.create(made)
        applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"theirs": "1"}}
        body = json.dumps(applied).encode()
        query = [("fieldManager", "theirs")]
        await c.client.request("PATCH", PATH, query=query, headers={"content-type": APPLY}, body=body)
        before = await owners(c.client)
        assert "theirs" in before
        read = await c.client.get(core.ConfigMap, "a", namespace="default")
        read.data["mine"] = "2"
        await c.client.update(read)
        assert await owners(c.client) == before
        assert (await c.client.get(core.ConfigMap, "a", namespace="default")).data == {"mine": "2", "theirs": "1"}


@pytest.mark.parametrize("short", [True, False], ids=["the short way", "the usual way"])
async def test_many_are_made_and_bound_by_one_call_and_fail_alone(short: bool) -> None:
    async with cluster() as c:
        transport = InProcessTransport(c.api.server.handle, ADMIN)
        client = Client(transport, lane=c.api.server.lane(ADMIN, "a-part") if short else None)
        account = core.ServiceAccount(metadata=meta.ObjectMeta(name="default", namespace="default"))
        await client.create(account)
        container = core.Container(name="c", image="i")
        pod = core.Pod(
            metadata=meta.ObjectMeta(generate_name="web-", namespace="default"),
            spec=core.PodSpec(containers=[container]),
        )
        made = [each for each in await client.create_alike(pod, 4) if isinstance(each, core.Pod)]
        assert len({each.metadata.name for each in made}) == 4
        assert {each.spec.service_account_name for each in made} == {"default"}
        names = [made[0].metadata.name, "missing", made[1].metadata.name]
        target = core.ObjectReference(kind="Node", name="n")
        errors = await client.bind(
            [core.Binding(metadata=meta.ObjectMeta(name=n, namespace="default"), target=target) for n in names]
        )
        assert [type(error) for error in errors] == [type(None), NotFound, type(None)]
        assert (await client.get(core.Pod, names[2], namespace="default")).spec.node_name == "n"
        pod.spec.containers = []
        assert [type(each) for each in await client.create_alike(pod, 3)] == [Invalid] * 3
