"""What servers behind this one say of themselves: their part of discovery and of the schemas.

Fetched whenever such a server was found well, and kept when it no longer is: discovery then says that it is stale.
A server may know aggregated discovery or only the older lists, and may have schemas or none. What they send is
judged and never trusted to be of the right form. Source: the Kubernetes documentation on discovery and OpenAPI.
"""

from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from bireme.api.errors import ApiError
from bireme.http.answers import Reply
from bireme.registry.api_services import Remote

Tree = dict[str, Any]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Ask(Protocol):
    """Fetches a document of a server. Raises ApiError."""

    def __call__(self, remote: Remote, path: str, *, accept: str, timeout_s: float = ...) -> Awaitable[Reply]: ...


@dataclass(slots=True)
class Known:
    """What one server last said of one group and version."""

    resources: list[Tree] = field(default_factory=list)
    v3: str = ""
    v2: Tree = field(default_factory=dict)


class RemoteDocuments:
    """The documents by path; `generation` rises when they change."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self.generation = 0

    def of(self, remote: Remote) -> Known:
        """What is known of a group and version."""
        return self._known.get(remote.path) or Known()

    def keep(self, paths: Iterable[str]) -> None:
        """Forget all but these."""
        wanted = set(paths)
        for path in [path for path in self._known if path not in wanted]:
            del self._known[path]
            self.generation += 1

    async def fetch(self, remote: Remote, resource_list: bytes, ask: Ask) -> None:
        """Take the documents of a server that answers."""
        found = Known(
            await _aggregated(remote, ask) or discovered(remote, _object(resource_list)),
            await _schema_v3(remote, ask),
            await _schema_v2(remote, ask),
        )
        if found != self._known.get(remote.path):
            self._known[remote.path] = found
            self.generation += 1


async def _aggregated(remote: Remote, ask: Ask) -> list[Tree]:
    tree = await _get(remote, "/apis", ask, accept=f"{AGGREGATED},application/json")
    if tree.get("kind") != "APIGroupDiscoveryList":
        return []
    for group in _trees(tree.get("items")):
        if (group.get("metadata") or {}).get("name") == remote.group:
            for version in _trees(group.get("versions")):
                if version.get("version") == remote.version:
                    return _trees(version.get("resources"))
    return []


async def _schema_v3(remote: Remote, ask: Ask) -> str:
    """The address of the v3 schema, as the server's index has it."""
    paths = (await _get(remote, "/openapi/v3", ask)).get("paths")
    said = paths.get(remote.path.lstrip("/")) if isinstance(paths, dict) else None
    address = said.get("serverRelativeURL") if isinstance(said, dict) else None
    return address if isinstance(address, str) and address.startswith("/openapi/v3/") else ""


async def _schema_v2(remote: Remote, ask: Ask) -> Tree:
    """The paths and definitions of the group and version in the server's v2 document."""
    whole = await _get(remote, "/openapi/v2", ask)
    paths, definitions = whole.get("paths"), whole.get("definitions")
    if not isinstance(paths, dict) or not isinstance(definitions, dict):
        return {}
    prefix = f"{remote.path}/"
    chosen = {path: item for path, item in paths.items() if f"{path}/".startswith(prefix)}
    return {"paths": chosen, "definitions": definitions} if chosen else {}


async def _get(remote: Remote, path: str, ask: Ask, *, accept: str = "application/json") -> Tree:
    try:
        reply = await ask(remote, path, accept=accept)
    except ApiError:
        return {}
    return _object(reply.body) if reply.status == 200 else {}


def _object(body: bytes) -> Tree:
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return tree if isinstance(tree, dict) else {}


def _trees(said: Any) -> list[Tree]:
    return [each for each in said if isinstance(each, dict)] if isinstance(said, list) else []


def discovered(remote: Remote, resource_list: Tree) -> list[Tree]:
    """The resources of an APIResourceList as aggregated discovery has them."""
    found: dict[str, Tree] = {}
    rows = [row for row in _trees(resource_list.get("resources")) if isinstance(row.get("name"), str)]
    for row in rows:
        if "/" not in row["name"]:
            found[row["name"]] = _resource(remote, row)
    for row in rows:
        plural, slash, part = row["name"].partition("/")
        if slash and plural in found:
            said = {"subresource": part, "responseKind": _kind(remote, row), "verbs": row.get("verbs") or []}
            found[plural].setdefault("subresources", []).append(said)
    return list(found.values())


def _resource(remote: Remote, row: Mapping[str, Any]) -> Tree:
    made: Tree = {
        "resource": row["name"],
        "responseKind": _kind(remote, row),
        "scope": "Namespaced" if row.get("namespaced") else "Cluster",
        "singularResource": row.get("singularName") or "",
        "verbs": row.get("verbs") or [],
    }
    for name in ("shortNames", "categories"):
        if row.get(name):
            made[name] = row[name]
    return made


def _kind(remote: Remote, row: Mapping[str, Any]) -> Tree:
    return {
        "group": row.get("group") or remote.group,
        "version": row.get("version") or remote.version,
        "kind": row.get("kind") or "",
    }


def group_documents(remotes: Iterable[Remote]) -> list[Tree]:
    """The groups of other servers as `/apis` lists them."""
    by_group: dict[str, list[Remote]] = {}
    for remote in sorted(remotes, key=lambda each: (-each.priorities[0], each.group, -each.priorities[1])):
        by_group.setdefault(remote.group, []).append(remote)
    made = []
    for group, found in by_group.items():
        versions = [{"groupVersion": f"{group}/{each.version}", "version": each.version} for each in found]
        made.append({"name": group, "versions": versions, "preferredVersion": versions[0]})
    return made


def aggregated_groups(remotes: Iterable[Remote], documents: RemoteDocuments) -> list[Tree]:
    """The groups of other servers as aggregated discovery lists them."""
    by_path = {(each.group, each.version): each for each in remotes}
    made = []
    for group in group_documents(by_path.values()):
        versions = []
        for said in group["versions"]:
            remote = by_path[group["name"], said["version"]]
            freshness = "Current" if remote.available else "Stale"
            resources = documents.of(remote).resources
            versions.append({"version": remote.version, "resources": resources, "freshness": freshness})
        made.append({"metadata": {"name": group["name"], "creationTimestamp": None}, "versions": versions})
    return made
