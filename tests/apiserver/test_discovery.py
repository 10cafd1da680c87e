import orjson
import pytest

from bireme.api.scheme import Scheme, builtin
from bireme.apiserver import discovery
from bireme.apiserver.discovery import AGGREGATED, DiscoveryPages, storage_version_hash, wants_aggregated

KUBECTL = f"{AGGREGATED},application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("configmaps", "qFsyl6wFWjQ="),
        ("endpoints", "fWeeMqaN/OA="),
        ("events", "r2yiGXH7wu8="),
        ("nodes", "XwShjMxG9Fs="),
        ("pods", "xPOwRZ+Yhw8="),
        ("services", "0/CO1lhkEBI="),
    ],
)
def test_storage_version_hashes_are_those_of_kubernetes(plural: str, expected: str) -> None:
    resource = builtin().resource("", "v1", plural)
    assert resource is not None
    assert storage_version_hash(resource) == expected


def test_a_shared_storage_has_one_hash() -> None:
    versions = [builtin().resource("autoscaling", version, "horizontalpodautoscalers") for version in ("v1", "v2")]
    assert len({storage_version_hash(item) for item in versions if item is not None}) == 1


def test_groups() -> None:
    tree = discovery.group_list(builtin())
    names = [group["name"] for group in tree["groups"]]
    assert names[:3] == ["apiregistration.k8s.io", "apps", "events.k8s.io"]
    assert "" not in names
    autoscaling = discovery.group(builtin(), "autoscaling")
    assert autoscaling is not None
    assert [item["version"] for item in autoscaling["versions"]] == ["v2", "v1"]
    assert autoscaling["preferredVersion"] == {"groupVersion": "autoscaling/v2", "version": "v2"}
    assert discovery.group(builtin(), "nonsense") is None


def test_resources() -> None:
    tree = discovery.resource_list(builtin(), "", "v1")
    assert tree is not None
    rows = {row["name"]: row for row in tree["resources"]}
    assert rows["pods"] == {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["po"],
        "categories": ["all"],
        "storageVersionHash": "xPOwRZ+Yhw8=",
    }
    assert rows["pods/eviction"] == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "kind": "Eviction",
        "verbs": ["create"],
        "group": "policy",
        "version": "v1",
    }
    assert "deletecollection" not in rows["namespaces"]["verbs"]
    assert "storageVersionHash" not in rows["bindings"]
    assert discovery.resource_list(builtin(), "apps", "v2") is None


def test_aggregated() -> None:
    tree = discovery.aggregated(builtin(), core=False)
    assert (tree["kind"], tree["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    apps = next(item for item in tree["items"] if item["metadata"]["name"] == "apps")
    deployments = next(item for item in apps["versions"][0]["resources"] if item["resource"] == "deployments")
    assert deployments["scope"] == "Namespaced"
    assert deployments["responseKind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert deployments["subresources"][0] == {
        "subresource": "scale",
        "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
        "verbs": ["get", "patch", "update"],
    }
    core = discovery.aggregated(builtin(), core=True)
    assert [item["metadata"]["name"] for item in core["items"]] == [""]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (KUBECTL, True),
        ("application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io", True),
        ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", False),
        (f"application/json,{AGGREGATED}", False),
        ("application/json", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_who_wants_it_aggregated(accept: str, expected: bool) -> None:
    assert wants_aggregated(accept) is expected


def test_pages() -> None:
    pages = DiscoveryPages(builtin(), address="10.0.0.1:6443")
    found = {path: pages.page(path) for path in ("/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1/")}
    assert all(found.values())
    kinds = [orjson.loads(page.body())["kind"] for page in found.values() if page is not None]
    assert kinds == ["APIVersions", "APIGroupList", "APIResourceList", "APIGroup", "APIResourceList"]
    whole = pages.page("/apis", KUBECTL)
    assert whole is not None
    assert whole.media == AGGREGATED
    assert whole is pages.page("/apis", KUBECTL)
    assert whole is not pages.page("/apis")
    for path in ("/", "", "/api/v2", "/apis/none", "/apis/apps/v2", "/apis//v1", "/apis/apps/v1/deployments"):
        assert pages.page(path) is None


def test_pages_follow_the_scheme() -> None:
    scheme = Scheme(builtin().resources())
    pages = DiscoveryPages(scheme, address="")
    assert pages.page("/apis/batch/v1") is not None
    for resource in scheme.of_group_version("batch", "v1"):
        scheme.remove(resource)
    pages.forget()
    assert pages.page("/apis/batch/v1") is None
