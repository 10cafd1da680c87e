"""Versions of custom resources that a webhook converts between: `hostPort` in v1, `host` and `port` in v2."""

import base64
import http.server
import json
import ssl
import threading

import pytest
from conformance_tools import wait_until

from bireme.aio.clock import RealClock
from bireme.http.certificates import Authority

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def converted(tree, wanted):
    made = {**tree, "apiVersion": wanted}
    if wanted.endswith("/v2") and "hostPort" in made:
        made["host"], _, made["port"] = made.pop("hostPort").partition(":")
    elif wanted.endswith("/v1") and "host" in made:
        made["hostPort"] = f"{made.pop('host')}:{made.pop('port')}"
    return made


class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["content-length"])))
        request = review["request"]
        self.server.asked.append(len(request["objects"]))
        self.server.spoken.append(review["apiVersion"])
        objects = [converted(tree, request["desiredAPIVersion"]) for tree in request["objects"]]
        response = {"uid": request["uid"], "convertedObjects": objects, "result": {"status": "Success"}}
        if self.server.broken:
            response = {"uid": request["uid"], "result": {"status": "Failed", "message": "it is broken"}}
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def webhook(tmp_path_factory):
    folder = tmp_path_factory.mktemp("webhook")
    now = RealClock().now()
    authority = Authority.create(folder, now=now)
    pair = authority.issue("webhook", hosts=("localhost", "127.0.0.1"), now=now, server=True)
    (folder / "pair.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    server.asked, server.spoken, server.broken = [], [], False
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.config = {
        "url": f"https://127.0.0.1:{server.server_address[1]}/convert",
        "caBundle": base64.b64encode(authority.certificate).decode(),
    }
    yield server
    server.shutdown()
    server.server_close()


def version(name, fields, *, storage):
    schema = {"type": "object", "properties": {field: {"type": "string"} for field in fields}}
    selectable = [{"jsonPath": f".{field}"} for field in fields]
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        "selectableFields": selectable,
    }


@pytest.fixture
def places(api, namespace, webhook):
    group = f"{namespace}.example.com"
    webhook_said = {"clientConfig": webhook.config, "conversionReviewVersions": ["v1", "v1beta1"]}
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": "places", "kind": "Place"},
        "conversion": {"strategy": "Webhook", "webhook": webhook_said},
        "versions": [version("v1", ["hostPort"], storage=True), version("v2", ["host", "port"], storage=False)],
    }
    path = f"{CRDS}/places.{group}"
    api.create(CRDS, {"metadata": {"name": f"places.{group}"}, "spec": spec})
    yield lambda version: f"/apis/{group}/{version}/namespaces/{namespace}/places"
    webhook.broken = False
    api.ask("DELETE", path)
    wait_until(lambda: api.ask("GET", path).status_code == 404)


def make(api, places, name, version="v1", **fields):
    return api.create(places(version), {"metadata": {"name": name}, **fields})


def switch(api, places):
    """Have objects stored as v2 from now on."""
    path = f"{CRDS}/places.{places('v1').split('/')[2]}"
    tree = api.get(path)
    for each in tree["spec"]["versions"]:
        each["storage"] = each["name"] == "v2"
    api.update(path, tree)


@pytest.mark.conformance("AM-031")
def test_an_object_is_read_in_the_other_version(api, places):
    make(api, places, "a", hostPort="localhost:8080")
    found = api.get(f"{places('v2')}/a")
    assert (found["host"], found["port"], found["apiVersion"][-2:]) == ("localhost", "8080", "v2")
    assert "hostPort" not in found
    found["port"] = "9090"
    api.update(f"{places('v2')}/a", found)
    assert api.get(f"{places('v1')}/a")["hostPort"] == "localhost:9090"
    made = make(api, places, "b", version="v2", host="h", port="1")
    assert (made["host"], made["port"]) == ("h", "1")
    assert api.get(f"{places('v1')}/b")["hostPort"] == "h:1"


@pytest.mark.conformance("AM-030")
def test_a_list_of_objects_that_are_stored_in_two_versions(api, places, webhook):
    make(api, places, "a", hostPort="localhost:1")
    switch(api, places)
    make(api, places, "b", hostPort="localhost:2")
    webhook.asked.clear()
    for name, field in (("v1", "hostPort"), ("v2", "host")):
        listed = api.get(places(name))
        assert [each["metadata"]["name"] for each in listed["items"]] == ["a", "b"]
        assert all(each["apiVersion"].endswith(name) and field in each for each in listed["items"])
    # Each was asked for once at most: what others have had converted is remembered.
    assert webhook.asked in ([], [1], [1, 1])


@pytest.mark.conformance("AM-038")
def test_lists_and_watches_by_selectable_fields_of_each_version(api, places):
    make(api, places, "a", hostPort="host1:80")
    make(api, places, "b", hostPort="host1:8080")
    make(api, places, "c", version="v2", host="host2", port="80")

    def names(version, selector):
        return [each["metadata"]["name"] for each in api.get(f"{places(version)}?fieldSelector={selector}")["items"]]

    assert names("v1", "hostPort%3Dhost1:80") == ["a"]
    assert names("v2", "host%3Dhost1") == ["a", "b"]
    assert names("v2", "host%3Dhost1,port%3D80") == ["a"]
    assert names("v2", "port!%3D80") == ["b"]
    assert api.ask("GET", f"{places('v1')}?fieldSelector=host%3Dx").status_code == 400
    first = api.watch(f"{places('v1')}?fieldSelector=hostPort%3Dhost1:80")
    second = api.watch(f"{places('v2')}?fieldSelector=host%3Dhost1")
    second.wait(lambda seen: [event["object"]["metadata"]["name"] for event in seen] == ["a", "b"])
    api.patch(f"{places('v2')}/a", {"host": "elsewhere"})
    api.patch(f"{places('v2')}/c", {"host": "host1"})
    api.delete(f"{places('v1')}/b")

    def told(events):
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]

    first.wait(lambda seen: told(seen) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "c")])
    second.wait(
        lambda seen: (
            told(seen) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a"), ("ADDED", "c"), ("DELETED", "b")]
        )
    )
    assert all(event["object"]["apiVersion"].endswith("/v2") for event in second.seen)
    first.close()
    second.close()


def test_a_webhook_that_fails_fails_the_request_alone(api, places, webhook):
    make(api, places, "a", hostPort="localhost:1")
    webhook.broken = True
    answer = api.ask("GET", f"{places('v2')}/a")
    assert answer.status_code == 500
    assert "conversion webhook for" in answer.json()["message"]
    assert "it is broken" in answer.json()["message"]
    assert api.get(f"{places('v1')}/a")["hostPort"] == "localhost:1"


def test_a_watch_whose_objects_cannot_be_converted_says_so_and_ends(api, places, webhook):
    make(api, places, "a", hostPort="localhost:1")
    version = api.get(places("v2"))["metadata"]["resourceVersion"]
    watch = api.watch(f"{places('v2')}?resourceVersion={version}", seconds=120)
    api.patch(f"{places('v1')}/a", {"hostPort": "localhost:2"})
    watch.wait(lambda seen: watch.types() == ["MODIFIED"], seconds=60)
    webhook.broken = True
    api.patch(f"{places('v1')}/a", {"hostPort": "localhost:3"})
    watch.wait(lambda seen: watch.types() == ["MODIFIED", "ERROR"], seconds=60)
    watch.wait_over()
    said = watch.seen[-1]["object"]
    assert (said["kind"], said["status"], said["code"]) == ("Status", "Failure", 500)
    assert "conversion webhook for" in said["message"]
    for path in (places("v2"), f"{places('v2')}?watch=true"):
        answer = api.ask("GET", path)
        assert (answer.status_code, answer.json()["message"]) == (500, said["message"])


@pytest.mark.parametrize(
    ("wanted", "spoken"), [(["v1beta1", "v1"], "v1beta1"), (["v2", "v1", "v1beta1"], "v1"), (["v1beta1"], "v1beta1")]
)
def test_the_first_review_version_that_is_known_is_spoken(api, places, webhook, wanted, spoken):
    path = f"{CRDS}/places.{places('v1').split('/')[2]}"
    api.patch(path, {"spec": {"conversion": {"webhook": {"conversionReviewVersions": wanted}}}})
    make(api, places, "a", hostPort="localhost:1")
    assert api.get(f"{places('v2')}/a")["host"] == "localhost"
    assert webhook.spoken[-1] == f"apiextensions.k8s.io/{spoken}"


def test_some_review_version_must_be_known(api, places):
    path = f"{CRDS}/places.{places('v1').split('/')[2]}"
    change = {"spec": {"conversion": {"webhook": {"conversionReviewVersions": ["v2", "v3"]}}}}
    answer = api.ask("PATCH", path, change, media="application/merge-patch+json")
    assert answer.status_code == 422
    assert "must include at least one of v1, v1beta1" in answer.json()["message"]


@pytest.fixture
def applied(api, places):
    """Apply fields of a place in a version, as a manager; `code` is what must be answered."""
    group = places("v1").split("/")[2]

    def run(manager, version, *, code=200, query="", labels=None, **fields):
        metadata = {"name": "a", **({"labels": labels} if labels else {})}
        tree = {"apiVersion": f"{group}/{version}", "kind": "Place", "metadata": metadata, **fields}
        path = f"{places(version)}/a?fieldManager={manager}{query}"
        answer = api.ask("PATCH", path, tree, media="application/apply-patch+yaml")
        assert answer.status_code in ((200, 201) if code == 200 else (code,)), answer.text
        return answer.json()

    return run


def owners(tree):
    entries = tree["metadata"]["managedFields"]
    return {entry["manager"]: sorted(name for name in entry["fieldsV1"] if name != "f:metadata") for entry in entries}


def test_a_field_that_has_another_name_in_another_version_is_a_conflict(applied):
    applied("one", "v1", hostPort="localhost:1")
    shared = applied("two", "v2", host="localhost", port="1")
    assert owners(shared) == {"one": ["f:hostPort"], "two": ["f:host", "f:port"]}
    refused = applied("two", "v2", host="localhost", port="2", code=409)
    assert refused["message"] == 'Apply failed with 1 conflict: conflict with "one": .hostPort'
    refused = applied("one", "v1", hostPort="elsewhere:1", code=409)
    assert refused["message"] == 'Apply failed with 1 conflict: conflict with "two": .host'
    forced = applied("two", "v2", host="localhost", port="2", query="&force=true")
    assert owners(forced) == {"two": ["f:host", "f:port"]}


def test_who_changes_a_field_in_another_version_takes_it(api, places, applied):
    applied("one", "v1", hostPort="localhost:1", labels={"a": "1"})
    patched = api.patch(f"{places('v2')}/a?fieldManager=other", {"port": "2"})
    assert owners(patched) == {"one": [], "other": ["f:port"]}
    assert applied("one", "v1", hostPort="localhost:2", labels={"a": "1"})["hostPort"] == "localhost:2"
    refused = applied("two", "v2", labels={"a": "2"}, code=409)
    assert refused["details"]["causes"][0]["field"] == ".metadata.labels.a"


def test_what_was_applied_in_another_version_goes_when_it_is_said_no_more(applied):
    applied("one", "v1", hostPort="localhost:1", labels={"a": "1"})
    moved = applied("one", "v2", host="localhost", port="1")
    assert (moved["host"], moved["port"]) == ("localhost", "1")
    assert "labels" not in moved["metadata"]
    assert owners(moved) == {"one": ["f:host", "f:port"]}
    applied("two", "v1", hostPort="localhost:1")
    kept = applied("one", "v2")
    assert (kept["host"], kept["port"]) == ("localhost", "1"), "another owns what it is in v1"
    gone = applied("two", "v2")
    assert "host" not in gone
    assert "port" not in gone


def test_an_ordinary_write_does_not_wait_for_the_owners_of_another_version(api, places, applied, webhook):
    applied("one", "v2", host="localhost", port="1")
    webhook.broken = True
    assert api.patch(f"{places('v1')}/a?fieldManager=other", {"hostPort": "h:2"})["hostPort"] == "h:2"
    assert "conversion webhook" in applied("two", "v1", hostPort="h:3", code=500)["message"]
