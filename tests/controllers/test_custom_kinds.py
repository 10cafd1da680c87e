"""Controllers that deal with every kind deal with those that users bring."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from tests.support.cluster import Cluster, cluster

Tree = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TABS = "/apis/example.com/v1/namespaces/default/tabs"
MAPS = "/api/v1/namespaces/default/configmaps"


def definition(*versions: str, storage: str = "v1") -> Tree:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    made = [{"name": name, "served": True, "storage": name == storage, "schema": schema} for name in versions]
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "tabs", "kind": "Tab"},
        "versions": made,
    }
    return {"metadata": {"name": "tabs.example.com"}, "spec": spec}


async def ask(here: Cluster, method: str, path: str, body: Tree | None = None) -> Tree:
    data = b"" if body is None else orjson.dumps(body)
    headers = {"content-type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
    made: Tree = orjson.loads((await here.client.request(method, path, body=data, headers=headers)).body)
    return made


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await look():
            await asyncio.sleep(0.02)


async def names(here: Cluster, path: str) -> list[str]:
    return [item["metadata"]["name"] for item in (await ask(here, "GET", path))["items"]]


async def test_what_a_custom_object_owns_goes_with_it() -> None:
    async with cluster(with_controllers=True) as here:
        await ask(here, "POST", CRDS, definition("v1"))
        owner = await ask(here, "POST", TABS, {"metadata": {"name": "owner"}})
        reference = {"apiVersion": "example.com/v1", "kind": "Tab", "name": "owner", "uid": owner["metadata"]["uid"]}
        owned = {"metadata": {"name": "owned", "ownerReferences": [reference]}}
        await ask(here, "POST", MAPS, owned)
        await ask(here, "POST", TABS, owned)
        await asyncio.sleep(0.2)
        assert await names(here, TABS) == ["owned", "owner"]
        await ask(here, "DELETE", f"{TABS}/owner")

        async def is_gone() -> bool:
            return not await names(here, TABS) and "owned" not in await names(here, MAPS)

        await until(is_gone)


async def test_a_namespace_is_emptied_of_custom_objects() -> None:
    async with cluster(with_controllers=True) as here:
        await ask(here, "POST", CRDS, definition("v1"))
        await ask(here, "POST", "/api/v1/namespaces", {"metadata": {"name": "left"}})
        await ask(here, "POST", TABS.replace("default", "left"), {"metadata": {"name": "a"}})
        await ask(here, "DELETE", "/api/v1/namespaces/left")

        async def is_gone() -> bool:
            return "left" not in await names(here, "/api/v1/namespaces")

        await until(is_gone)
        assert await names(here, "/apis/example.com/v1/tabs") == []


async def test_a_migration_rewrites_what_is_stored_in_an_old_version() -> None:
    async with cluster(with_controllers=True) as here:
        made = await ask(here, "POST", CRDS, definition("v1", "v2"))
        await ask(here, "POST", TABS, {"metadata": {"name": "a"}})
        made["spec"]["versions"] = definition("v1", "v2", storage="v2")["spec"]["versions"]
        made = await ask(here, "PUT", f"{CRDS}/tabs.example.com", made)
        assert made["status"]["storedVersions"] == ["v1", "v2"]
        item = here.api.store.get("/registry/example.com/tabs/default/a")
        assert item is not None
        assert b'"apiVersion":"example.com/v1"' in item.value
        migrations = "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
        spec = {"resource": {"group": "example.com", "resource": "tabs"}}
        await ask(here, "POST", migrations, {"metadata": {"name": "m"}, "spec": spec})

        async def is_over() -> bool:
            found = (await ask(here, "GET", f"{migrations}/m")).get("status", {}).get("conditions", [])
            return any(each["type"] == "Succeeded" and each["status"] == "True" for each in found)

        await until(is_over)
        item = here.api.store.get("/registry/example.com/tabs/default/a")
        assert item is not None
        assert b'"apiVersion":"example.com/v2"' in item.value
