"""The typed client against the real API in this process."""

import json

from tests.support.cluster import cluster

from bireme.api.kinds import core, meta
from bireme.client.client import Client

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
