"""Aggregated APIs: a second server behind the one under test, asked through it by real clients."""

import socket
import ssl
from urllib.parse import urlsplit

import pytest
from conformance_tools import manifest, wait_until
from extension_server import BASE, GROUP, VERSION, ExtensionServer, own_address

APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = f"{VERSION}.{GROUP}"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def condition(api, name=NAME):
    conditions = (api.get(f"{APISERVICES}/{name}").get("status") or {}).get("conditions") or [{}]
    return conditions[0]


def api_service(namespace, **spec):
    return {
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 2000,
            "versionPriority": 200,
            "service": {"namespace": namespace, "name": "sample"},
            **spec,
        },
    }


def is_available(api):
    return condition(api).get("status") == "True"


@pytest.fixture
def gateways(api):
    """The authority of those whom servers behind the API server are to believe."""
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    wait_until(lambda: api.ask("GET", path).status_code == 200)
    data = api.get(path)["data"]
    assert data["requestheader-username-headers"] == '["X-Remote-User"]'
    assert data["requestheader-group-headers"] == '["X-Remote-Group"]'
    assert data["requestheader-extra-headers-prefix"] == '["X-Remote-Extra-"]'
    assert data["requestheader-allowed-names"] == '["front-proxy-client"]'
    assert "BEGIN CERTIFICATE" in data["client-ca-file"]
    return data["requestheader-client-ca-file"]


@pytest.fixture
def sample(api, namespace, gateways, tmp_path):
    """The server, with a service that leads to it; its APIService goes with the test."""
    address = own_address()
    if not address:
        pytest.skip("this machine has no address but loopback, where services may not lead")
    with ExtensionServer(tmp_path / "pki", address, f"sample.{namespace}.svc", gateways).running() as server:
        spec = {"ports": [{"name": "https", "port": 443, "targetPort": server.port}]}
        api.create(f"/api/v1/namespaces/{namespace}/services", {"metadata": {"name": "sample"}, "spec": spec})
        labels = {"kubernetes.io/service-name": "sample"}
        api.create(
            f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
            {
                "metadata": {"name": "sample", "labels": labels},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [address]}],
                "ports": [{"name": "https", "port": server.port}],
            },
        )
        yield server
        api.ask("DELETE", f"{APISERVICES}/{NAME}")


@pytest.fixture
def registered(api, namespace, sample):
    """The server, registered and found well."""
    api.create(APISERVICES, api_service(namespace, caBundle=sample.bundle))
    wait_until(lambda: is_available(api))
    assert condition(api)["reason"] == "Passed"
    return sample


@pytest.mark.conformance("AM-029")
def test_flunders_are_served_through_the_main_server(api, namespace, registered, kubectl, python):
    flunders = f"{BASE}/namespaces/{namespace}/flunders"
    watch = api.watch(f"{flunders}?watch=true")
    made = api.create(flunders, {"metadata": {"name": "one"}, "spec": {"reference": "r"}})
    assert made["kind"] == "Flunder"
    user, groups, _ = registered.users[-1]
    assert user
    assert "system:authenticated" in groups
    assert len(groups) > 1, "each group is a header of its own"
    assert "one" in kubectl("get", "flunders", "-o", "name")
    assert "one" in kubectl("get", "fl", "one", "-o", "json")
    from kubernetes.dynamic import DynamicClient

    resource = DynamicClient(python).resources.get(api_version=f"{GROUP}/{VERSION}", kind="Flunder")
    two = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Flunder", "metadata": {"name": "two"}}
    resource.create(body=two, namespace=namespace)
    assert {each.metadata.name for each in resource.get(namespace=namespace).items} == {"one", "two"}
    changed = api.patch(f"{flunders}/two/status", {"status": {"ready": True}})
    assert changed["status"] == {"ready": True}
    watch.wait(lambda seen: [event["type"] for event in seen] == ["ADDED", "ADDED", "MODIFIED"])
    watch.close()
    kubectl("delete", "flunders", "one", "two", "--wait=false")
    assert api.get(flunders)["items"] == []
    api.delete(f"{APISERVICES}/{NAME}")
    wait_until(lambda: api.ask("GET", flunders).status_code == 404)
    assert GROUP not in {group["name"] for group in api.get("/apis")["groups"]}


def test_discovery_and_schemas_tell_of_both_servers(api, namespace, registered, kubectl):
    assert GROUP in {group["name"] for group in api.get("/apis")["groups"]}
    assert api.get(f"/apis/{GROUP}")["preferredVersion"]["version"] == VERSION
    assert {each["name"] for each in api.get(BASE)["resources"]} == {"flunders", "flunders/status"}
    groups = {each["metadata"]["name"]: each for each in api.get("/apis", accept=AGGREGATED)["items"]}
    (version,) = groups[GROUP]["versions"]
    assert version["freshness"] == "Current"
    (flunders,) = version["resources"]
    assert flunders["responseKind"] == {"group": GROUP, "version": VERSION, "kind": "Flunder"}
    assert flunders["scope"] == "Namespaced"
    assert [each["subresource"] for each in flunders["subresources"]] == ["status"]
    place = api.get("/openapi/v3")["paths"][BASE.lstrip("/")]["serverRelativeURL"]
    assert "com.example.wardle.v1alpha1.Flunder" in api.get(place)["components"]["schemas"]
    whole = api.get("/openapi/v2")
    assert "com.example.wardle.v1alpha1.Flunder" in whole["definitions"]
    assert f"{BASE}/flunders" in whole["paths"]
    assert "io.k8s.api.core.v1.Pod" in whole["definitions"]
    assert "What is wanted of it." in kubectl("explain", "flunder.spec")


def test_who_may_not_is_refused_before_the_server_is_asked(api, namespace, registered, as_user):
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    api.create(account, {"metadata": {"name": "nobody"}})
    token = api.create(f"{account}/nobody/token", {"spec": {}})["status"]["token"]
    asked = len(registered.users)
    other = as_user(token=token)
    forged = {"x_remote_user": "admin", "x_remote_group": "system:masters"}
    answer = other.ask("GET", f"{BASE}/namespaces/{namespace}/flunders", **forged)
    assert answer.status_code == 403
    assert f'cannot list resource "flunders" in API group "{GROUP}"' in answer.json()["message"]
    assert len(registered.users) == asked


def test_nobody_speaks_for_another_through_headers(api, namespace, registered):
    api.ask("GET", f"{BASE}/namespaces/{namespace}/flunders", x_remote_user="eve", x_remote_extra_a="b")
    user, _, extra = registered.users[-1]
    assert user != "eve"
    assert not any("b" in values for values in extra.values())
    assert "authorization" not in registered.headers[-1]
    assert registered.headers[-1]["x-forwarded-proto"] == "https"


def test_a_redirect_is_neither_followed_nor_handed_on(api, namespace, registered):
    path = f"{BASE}/namespaces/{namespace}/flunders/away"
    registered.odd[path] = (302, {"location": "https://169.254.169.254/latest"}, b"SECRET")
    answer = api.session.get(api.url + path, allow_redirects=False, timeout=20)
    assert answer.status_code == 502
    assert "location" not in answer.headers
    assert "SECRET" not in answer.text


def test_an_upgrade_becomes_a_tunnel(api, namespace, registered, server):
    where = urlsplit(api.url)
    context = ssl.create_default_context(cafile=str(server.pki / "ca.crt"))
    context.load_cert_chain(server.pki / "admin.crt", server.pki / "admin.key")
    path = f"{BASE}/namespaces/{namespace}/flunders/one/echo"
    head = [f"GET {path} HTTP/1.1", f"host: {where.netloc}", "connection: Upgrade", "upgrade: echo", "", ""]
    with socket.create_connection((where.hostname, where.port), 10) as plain:
        with context.wrap_socket(plain, server_hostname=where.hostname) as connection:
            connection.sendall("\r\n".join(head).encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 101 ")
            connection.sendall(b"hello")
            assert connection.recv(100) == b"HELLO"
    assert registered.users[-1][0]


def test_a_refused_upgrade_ends_the_connection(api, namespace, registered):
    path = f"{BASE}/namespaces/{namespace}/flunders/up"
    registered.odd[path] = (403, {}, b"{}")
    headers = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}
    answer = api.session.get(api.url + path, headers=headers, timeout=20)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"service": {"namespace": "default", "name": "nowhere"}}, "ServiceNotFound", id="no service"),
        pytest.param(
            {"service": {"namespace": "default", "name": "kubernetes", "port": 1}}, "ServicePortError", id="no port"
        ),
        pytest.param({"caBundle": ""}, "FailedDiscoveryCheck", id="nobody vouches for it"),
    ],
)
def test_a_server_that_is_not_there(api, namespace, sample, kubectl, change, reason):
    api.create(APISERVICES, api_service(namespace, **{"caBundle": sample.bundle, **change}))
    wait_until(lambda: condition(api).get("reason") == reason)
    assert condition(api)["status"] == "False"
    answer = api.ask("GET", f"{BASE}/flunders")
    assert answer.status_code == 503
    assert answer.json()["reason"] == "ServiceUnavailable"
    assert f"False ({reason})" in kubectl("get", "apiservice", NAME)
    assert sample.users == []
    assert api.get("/apis/apps/v1")["resources"], "the others are not touched"


def test_an_endpoint_that_is_taken_away_is_missed(api, namespace, registered):
    api.delete(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/sample")
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    labels = {"kubernetes.io/service-name": "sample"}
    body = {"metadata": {"name": "none", "labels": labels}, "addressType": "IPv4", "endpoints": [], "ports": []}
    api.create(slices, body)
    wait_until(lambda: condition(api).get("reason") == "EndpointsNotFound")
    groups = {each["metadata"]["name"]: each for each in api.get("/apis", accept=AGGREGATED)["items"]}
    assert groups[GROUP]["versions"][0]["freshness"] == "Stale"


def test_every_group_and_version_has_an_api_service(api, namespace, kubectl):
    def settled():
        found = {each["metadata"]["name"]: each for each in api.get(APISERVICES)["items"]}
        return "v1.apps" in found and "v1." in found and found["v1.apps"].get("status")

    wait_until(settled)
    apps = api.get(f"{APISERVICES}/v1.apps")
    assert apps["spec"] == {"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15}
    assert apps["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    wait_until(lambda: condition(api, "v1.apps").get("reason") == "Local")
    assert "Local" in kubectl("get", "apiservices", "v1.apps")
    group = f"{namespace}.example.com"
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "things", "singular": "thing", "kind": "Thing"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    text = manifest(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"things.{group}"},
            "spec": spec,
        }
    )
    kubectl("create", "-f", "-", text=text)
    wait_until(lambda: api.ask("GET", f"{APISERVICES}/v1.{group}").status_code == 200)
    assert api.get(f"{APISERVICES}/v1.{group}")["spec"]["groupPriorityMinimum"] == 1000
    api.delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.{group}")
    wait_until(lambda: api.ask("GET", f"{APISERVICES}/v1.{group}").status_code == 404)
