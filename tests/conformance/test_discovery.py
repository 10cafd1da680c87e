"""What is served: piece by piece, all at once, and described."""

import pytest

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
BUILT_IN = {
    ("", "v1", "pods"),
    ("", "v1", "nodes"),
    ("apps", "v1", "deployments"),
    ("batch", "v1", "cronjobs"),
    ("rbac.authorization.k8s.io", "v1", "clusterroles"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
    ("flowcontrol.apiserver.k8s.io", "v1", "flowschemas"),
    ("events.k8s.io", "v1", "events"),
    ("networking.k8s.io", "v1", "ingresses"),
}


def lasting_groups(api):
    """The groups that are not of custom kinds or of other servers: those may go while the test looks."""
    definitions = api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
    services = api.get("/apis/apiregistration.k8s.io/v1/apiservices")["items"]
    passing = {item["spec"]["group"] for item in definitions}
    passing |= {item["spec"]["group"] for item in services if item["spec"].get("service")}
    return {group["name"] for group in api.get("/apis")["groups"]} - passing


def piece_by_piece(api, lasting):
    """Group, version and plural of all that the plain documents name of these groups."""
    found = set()
    for group, base in [("", "/api"), *((name, f"/apis/{name}") for name in lasting)]:
        versions = api.get(base)["versions"]
        for version in versions if group == "" else [one["version"] for one in versions]:
            found |= {(group, version, one["name"]) for one in api.get(f"{base}/{version}")["resources"]}
    return found


def at_once(api, lasting):
    found = set()
    for path in ("/api", "/apis"):
        for group in api.get(path, accept=AGGREGATED)["items"]:
            if group["metadata"].get("name", "") not in lasting | {""}:
                continue
            for version in group["versions"]:
                place = (group["metadata"].get("name", ""), version["version"])
                for one in version["resources"]:
                    found.add((*place, one["resource"]))
                    found |= {
                        (*place, f"{one['resource']}/{sub['subresource']}") for sub in one.get("subresources", ())
                    }
    return found


@pytest.mark.conformance("AM-025")
def test_aggregated_discovery_tells_all_that_the_pieces_tell(api):
    lasting = lasting_groups(api)
    assert at_once(api, lasting) == piece_by_piece(api, lasting)
    assert at_once(api, lasting) >= BUILT_IN


@pytest.mark.conformance("AM-027")
def test_aggregated_discovery_is_asked_for_by_its_media_type(api):
    for path in ("/api", "/apis"):
        answer = api.ask("GET", path, accept=f"{AGGREGATED},application/json")
        assert answer.headers["content-type"] == AGGREGATED
        assert answer.json()["kind"] == "APIGroupDiscoveryList"
        again = api.ask("GET", path, accept=AGGREGATED, if_none_match=answer.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")
        gone = api.ask(
            "GET",
            path,
            accept="application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
        )
        assert gone.json()["kind"] in ("APIVersions", "APIGroupList")
    pods = next(
        one
        for version in api.get("/api", accept=AGGREGATED)["items"][0]["versions"]
        for one in version["resources"]
        if one["resource"] == "pods"
    )
    assert (pods["scope"], pods["responseKind"]["kind"], pods["singularResource"]) == ("Namespaced", "Pod", "pod")


@pytest.mark.conformance("AM-048")
def test_every_group_has_resources_of_its_own(api):
    lasting = lasting_groups(api)
    groups = [one for one in api.get("/apis")["groups"] if one["name"] in lasting]
    assert {"apps", "batch", "policy", "storage.k8s.io"} <= {one["name"] for one in groups}
    for group in groups:
        for version in group["versions"]:
            listed = api.get(f"/apis/{version['groupVersion']}")
            assert listed["groupVersion"] == version["groupVersion"]
            assert listed["resources"]


@pytest.mark.conformance("AM-049")
def test_every_group_prefers_one_of_its_versions(api):
    lasting = lasting_groups(api)
    for group in (one for one in api.get("/apis")["groups"] if one["name"] in lasting):
        alone = api.get(f"/apis/{group['name']}")
        assert alone["preferredVersion"] == group["preferredVersion"]
        assert alone["preferredVersion"] in alone["versions"]


def test_schemas_are_kept_for_good_under_their_hash(api):
    index = api.get("/openapi/v3")["paths"]
    assert {"api/v1", "apis/apps/v1"} <= index.keys()
    place = index["apis/apps/v1"]["serverRelativeURL"]
    answer = api.ask("GET", place)
    assert "immutable" in answer.headers["cache-control"]
    assert "/apis/apps/v1/namespaces/{namespace}/deployments" in answer.json()["paths"]
    assert api.ask("GET", place, if_none_match=answer.headers["etag"]).status_code == 304


def test_kubectl_explains_and_looks_up(kubectl):
    assert "terminationGracePeriodSeconds" in kubectl("explain", "pod.spec", "--recursive")
    assert "FIELD: replicas" in kubectl("explain", "deployment.spec.replicas")
    assert "deployments" in kubectl("api-resources", "--api-group=apps", "--namespaced=true")
    assert "livez check passed" in kubectl("get", "--raw", "/livez?verbose")
    assert '"kind": "NodeList"' in kubectl("cluster-info", "dump")


def test_the_page_of_metrics_is_for_dashboards(api):
    text = api.ask("GET", "/metrics").text
    for name in ("apiserver_request_total", "apiserver_request_duration_seconds_bucket", "apiserver_storage_objects"):
        assert f"\n{name}{{" in text
    assert "kubernetes_healthcheck" in api.ask("GET", "/metrics/slis").text
