"""What is served, as clients ask for it: groups, versions and resources, piece by piece or all at once.

Plain functions from the scheme to the documents, and `DiscoveryPages`, which keeps them as bytes. Source: the
discovery documents and aggregated discovery (apidiscovery.k8s.io/v2) of Kubernetes.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import orjson

from bireme.api.scheme import Resource, Scheme, Subresource
from bireme.apiserver.pages import Page

Tree = dict[str, Any]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def api_versions(scheme: Scheme, address: str) -> Tree:
    """The document at `/api`; the address is the server's own, host:port."""
    return {
        "kind": "APIVersions",
        "versions": scheme.versions(""),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(scheme: Scheme) -> Tree:
    """The document at `/apis`: all groups but the core."""
    groups = [_group(scheme, group) for group in scheme.groups() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(scheme: Scheme, name: str) -> Tree | None:
    """The document at `/apis/GROUP`; None if no such group is served."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(scheme, name)} if scheme.versions(name) else None


def resource_list(scheme: Scheme, name: str, version: str) -> Tree | None:
    """The document at `/api/v1` or `/apis/GROUP/VERSION`; None if that is not served."""
    served = scheme.of_group_version(name, version)
    if not served:
        return None
    rows: list[Tree] = []
    for resource in served:
        rows.append(_resource_row(resource))
        rows += (_subresource_row(resource, item) for item in resource.subresources)
    group_version = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows}


def aggregated(scheme: Scheme, *, core: bool) -> Tree:
    """All that is served in one document: of the core group for `/api`, of the others for `/apis`."""
    items = [_discovered_group(scheme, name) for name in scheme.groups() if core is not bool(name)]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def storage_version_hash(resource: Resource) -> str:
    """What changes when objects come to be stored in another version."""
    stored = resource.stored_as
    digest = hashlib.sha256(f"{stored.group}/{stored.version}/{stored.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def wants_aggregated(accept: str) -> bool:
    """Whether the first entry of an Accept header that we serve asks for aggregated discovery."""
    for entry in accept.split(","):
        media, *said = (part.strip() for part in entry.split(";"))
        if media in ("application/json", "*/*", "application/*"):
            asked = {"as=APIGroupDiscoveryList", "v=v2", "g=apidiscovery.k8s.io"}
            if asked <= set(said):
                return True
            if not any(part.startswith("as=") for part in said):
                return False
    return False


class DiscoveryPages:
    """The documents as bytes, each made when it is first asked for."""

    def __init__(self, scheme: Scheme, *, address: str) -> None:
        self._scheme = scheme
        self._address = address
        self._pages: dict[tuple[str, bool], Page] = {}
        self.others: tuple[list[Tree], list[Tree]] = ([], [])  # what servers behind this one serve, in both forms

    def forget(self) -> None:
        """Make all anew: the scheme has changed."""
        self._pages.clear()

    def page(self, path: str, accept: str = "") -> Page | None:
        """The document at a path, in the form that the client takes; None if there is none."""
        path = path.rstrip("/")
        whole = path in ("/api", "/apis") and wants_aggregated(accept)
        if (path, whole) not in self._pages:
            tree = self._whole(path) if whole else self._tree(path)
            if tree is None:
                return None
            self._pages[path, whole] = Page.of(
                orjson.dumps(tree), AGGREGATED if whole else "application/json", {"vary": "Accept"}
            )
        return self._pages[path, whole]

    def _whole(self, path: str) -> Tree:
        tree = aggregated(self._scheme, core=path == "/api")
        if path == "/apis":
            tree["items"] = _joined(tree["items"], self.others[1], lambda group: str(group["metadata"]["name"]))
        return tree

    def _tree(self, path: str) -> Tree | None:
        match path.split("/")[1:]:
            case ["api"]:
                return api_versions(self._scheme, self._address)
            case ["apis"]:
                tree = group_list(self._scheme)
                tree["groups"] = _joined(tree["groups"], self.others[0], lambda group: str(group["name"]))
                return tree
            case ["api", version]:
                return resource_list(self._scheme, "", version)
            case ["apis", name] if name:
                own = group(self._scheme, name)
                others = [each for each in self.others[0] if each["name"] == name]
                joined = _joined([own] if own else [], others, lambda each: str(each["name"]))
                return {"kind": "APIGroup", "apiVersion": "v1", **joined[0]} if joined else None
            case ["apis", name, version] if name:
                return resource_list(self._scheme, name, version)
        return None


def _joined(own: list[Tree], others: list[Tree], name_of: Callable[[Tree], str]) -> list[Tree]:
    """Groups of this server and of others; where both serve versions of one, ours come first."""
    made = {name_of(group): group for group in own}
    for group in others:
        name = name_of(group)
        known = made.get(name)
        if known is None:
            made[name] = group
            continue
        there = {version["version"] for version in group["versions"]}
        kept = [version for version in known["versions"] if version["version"] not in there]
        made[name] = {**known, "versions": [*kept, *group["versions"]]}
    return list(made.values())


def _group(scheme: Scheme, name: str) -> Tree:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in scheme.versions(name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resource_row(resource: Resource) -> Tree:
    row: Tree = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        row["shortNames"] = list(resource.short_names)
    if resource.categories:
        row["categories"] = list(resource.categories)
    if "watch" in resource.verbs:
        row["storageVersionHash"] = storage_version_hash(resource)
    return row


def _subresource_row(resource: Resource, item: Subresource) -> Tree:
    row: Tree = {
        "name": f"{resource.plural}/{item.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": item.kind.kind,
        "verbs": sorted(item.verbs),
    }
    if (item.kind.group, item.kind.version) != (resource.group, resource.version):
        row |= {"group": item.kind.group, "version": item.kind.version}
    return row


def _discovered_group(scheme: Scheme, name: str) -> Tree:
    versions = [
        {
            "version": version,
            "resources": [_discovered(resource) for resource in scheme.of_group_version(name, version)],
            "freshness": "Current",
        }
        for version in scheme.versions(name)
    ]
    return {"metadata": {"name": name, "creationTimestamp": None}, "versions": versions}


def _discovered(resource: Resource) -> Tree:
    found: Tree = {
        "resource": resource.plural,
        "responseKind": resource.gvk._asdict(),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    if resource.subresources:
        found["subresources"] = [
            {"subresource": item.name, "responseKind": item.kind._asdict(), "verbs": sorted(item.verbs)}
            for item in resource.subresources
        ]
    return found
