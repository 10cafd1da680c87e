"""Admission webhooks: a real one over HTTPS, asked by the server for what clients do."""

import itertools
import json

import pytest
from conformance_tools import manifest, wait_until
from webhook_server import WebhookServer, allow, deny, patch, slowly

GROUP = "/apis/admissionregistration.k8s.io/v1"
MUTATING, VALIDATING = f"{GROUP}/mutatingwebhookconfigurations", f"{GROUP}/validatingwebhookconfigurations"
KINDS = [pytest.param(MUTATING, id="mutating"), pytest.param(VALIDATING, id="validating")]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def hooks(tmp_path_factory):
    with WebhookServer(tmp_path_factory.mktemp("webhooks")).running() as server:
        yield server


@pytest.fixture
def configure(api, namespace):
    """Make configurations that concern the test's namespace alone; they go with the test."""
    made = []
    api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"webhooks-of": namespace}}})

    def make(path, *webhooks, name="", labels=None, everywhere=False):
        name = name or f"{namespace}-{next(_numbers)}"
        for number, webhook in enumerate(webhooks):
            webhook.setdefault("name", f"w{number}.{name}.example.com")
            webhook.setdefault("sideEffects", "None")
            webhook.setdefault("admissionReviewVersions", ["v1"])
            if not everywhere:
                webhook.setdefault("namespaceSelector", {"matchLabels": {"webhooks-of": namespace}})
        tree = {"metadata": {"name": name, "labels": labels or {}}, "webhooks": list(webhooks)}
        api.create(path, tree)
        made.append(f"{path}/{name}")
        return made[-1]

    yield make
    for path in made:
        api.ask("DELETE", path)


def rule(resources, *operations, group="", version="*"):
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": resources.split(),
        "operations": list(operations) or ["CREATE"],
    }


def config_map(name="m", **data):
    return {"metadata": {"name": name}, "data": data}


def add(key, value="yes"):
    return patch({"op": "add", "path": f"/data/{key}", "value": value})


def maps(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


def pod(name="p", **spec):
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


@pytest.mark.conformance("AM-014")
def test_webhook_configurations_are_in_discovery(api):
    groups = {group["name"]: group for group in api.get("/apis")["groups"]}
    assert "v1" in [each["version"] for each in groups["admissionregistration.k8s.io"]["versions"]]
    assert api.get("/apis/admissionregistration.k8s.io")["preferredVersion"]["version"] == "v1"
    names = {each["name"] for each in api.get(GROUP)["resources"]}
    assert {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} <= names


@pytest.mark.parametrize(
    ("path", "number"),
    [
        pytest.param(MUTATING, 0, marks=pytest.mark.conformance("AM-003"), id="mutating"),
        pytest.param(VALIDATING, 1, marks=pytest.mark.conformance("AM-004"), id="validating"),
    ],
)
def test_ten_configurations_are_listed_and_go_together(api, namespace, configure, hooks, path, number):
    answer = add("mutated") if number == 0 else deny("not so")
    for each in range(10):
        client = hooks.client(f"/{namespace}/{each}", answer if each == 0 else allow)
        configure(path, {"clientConfig": client, "rules": [rule("configmaps")]}, labels={"e2e": namespace})
    chosen = f"{path}?labelSelector=e2e%3D{namespace}"
    assert len(api.get(chosen)["items"]) == 10
    answer = api.ask("POST", maps(namespace), config_map("a", x="y"))
    assert answer.json()["data"].get("mutated") == "yes" if number == 0 else "not so" in answer.json()["message"]
    api.delete(chosen)
    assert api.get(chosen)["items"] == []
    assert api.create(maps(namespace), config_map("b", x="y"))["data"] == {"x": "y"}


@pytest.mark.parametrize(
    ("path", "number"),
    [
        pytest.param(MUTATING, 0, marks=pytest.mark.conformance("AM-005"), id="mutating"),
        pytest.param(VALIDATING, 1, marks=pytest.mark.conformance("AM-006"), id="validating"),
    ],
)
def test_changes_of_a_configuration_count_at_once(api, namespace, configure, hooks, path, number):
    client = hooks.client(f"/{namespace}/live", add("mutated") if number == 0 else deny("no"))
    place = configure(path, {"clientConfig": client, "rules": [rule("configmaps", "CREATE")]})
    names = itertools.count()

    def concerned():
        answer = api.ask("POST", maps(namespace), config_map(f"m{next(names)}", x="y"))
        return answer.status_code == 400 if number else "mutated" in answer.json()["data"]

    assert concerned()
    tree = api.get(place)
    tree["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    api.update(place, tree)
    assert not concerned()
    change = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
    api.patch(place, change, media="application/json-patch+json")
    assert concerned()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(MUTATING, marks=pytest.mark.conformance("AM-007"), id="mutating"),
        pytest.param(VALIDATING, marks=pytest.mark.conformance("AM-008"), id="validating"),
    ],
)
def test_match_conditions_are_kept_and_changed(api, namespace, configure, hooks, path):
    client = hooks.client(f"/{namespace}/kept", allow)
    first = [{"name": "first", "expression": "request.userInfo.username != 'x'"}]
    place = configure(path, {"clientConfig": client, "rules": [rule("configmaps")], "matchConditions": first})
    tree = api.get(place)
    assert tree["webhooks"][0]["matchConditions"] == first
    second = [{"name": "second", "expression": "has(object.data)"}]
    tree["webhooks"][0]["matchConditions"] = second
    assert api.update(place, tree)["webhooks"][0]["matchConditions"] == second


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(MUTATING, marks=pytest.mark.conformance("AM-022"), id="mutating"),
        pytest.param(VALIDATING, marks=pytest.mark.conformance("AM-023"), id="validating"),
    ],
)
def test_match_conditions_that_make_no_sense_are_refused(api, namespace, hooks, path):
    webhook = {
        "name": "w.example.example.com",
        "clientConfig": hooks.client(f"/{namespace}/bad", allow),
        "rules": [rule("configmaps")],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "matchConditions": [{"name": "bad", "expression": "... [] bad expression"}],
    }
    answer = api.ask("POST", path, {"metadata": {"name": f"{namespace}-bad"}, "webhooks": [webhook]})
    assert answer.status_code == 422
    assert "compilation failed" in answer.json()["message"]


@pytest.mark.conformance("AM-009")
def test_attaching_is_refused(api, namespace, configure, hooks, kubectl):
    api.create(f"/api/v1/namespaces/{namespace}/pods", pod())
    wait_until(lambda: api.get(f"/api/v1/namespaces/{namespace}/pods/p")["status"]["phase"] == "Running")
    client = hooks.client(f"/{namespace}/attach", deny("attaching to pod 'p' is not allowed"))
    configure(VALIDATING, {"clientConfig": client, "rules": [rule("pods/attach", "CONNECT")]})
    said = kubectl("attach", "p", "-i", fails=True)
    assert "attaching to pod 'p' is not allowed" in said
    (request,) = hooks.seen[f"/{namespace}/attach"][:1]
    assert (request["operation"], request["subResource"]) == ("CONNECT", "attach")
    assert request["object"]["kind"] == "PodAttachOptions"


@pytest.fixture
def widgets(api, namespace):
    """A custom kind in two versions; v1 is stored at first."""
    group = f"{namespace}.example.com"

    def version(name, *, storage, extra=()):
        data = {"type": "object", "properties": {key: {"type": "string"} for key in ("start", "first", *extra)}}
        schema = {"type": "object", "properties": {"data": data}}
        return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}}

    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": names,
        "versions": [version("v1", storage=True), version("v2", storage=False)],
    }
    api.create(CRDS, {"metadata": {"name": f"widgets.{group}"}, "spec": spec})
    path = f"/apis/{group}/v1/namespaces/{namespace}/widgets"
    wait_until(lambda: api.ask("GET", path).status_code == 200)
    yield path
    api.delete(f"{CRDS}/widgets.{group}")


def widget(path, name="w", **data):
    group = path.split("/")[2]
    return {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": name}, "data": data}


@pytest.mark.conformance("AM-010")
def test_custom_objects_are_refused_for_create_update_and_delete(api, namespace, configure, hooks, widgets):
    group = widgets.split("/")[2]

    def judge(request):
        tree = request["object"] or request["oldObject"]
        bad = (tree.get("data") or {}).get("first") == "bad"
        return {"allowed": not bad, "status": {"message": "the custom object contains unwanted data"}}

    api.create(widgets, widget(widgets, first="bad"))
    operations = ("CREATE", "UPDATE", "DELETE")
    client = hooks.client(f"/{namespace}/custom", judge)
    configure(VALIDATING, {"clientConfig": client, "rules": [rule("widgets", *operations, group=group)]})
    refused = "the custom object contains unwanted data"
    assert refused in api.ask("POST", widgets, widget(widgets, "x", first="bad")).json()["message"]
    api.create(widgets, widget(widgets, "y", first="good"))
    change = {"data": {"first": "bad"}}
    answer = api.ask("PATCH", f"{widgets}/y", change, media="application/merge-patch+json")
    assert refused in answer.json()["message"]
    assert refused in api.ask("DELETE", f"{widgets}/w").json()["message"]
    api.patch(f"{widgets}/w", {"data": {"first": "good"}})
    api.delete(f"{widgets}/w")


@pytest.mark.conformance("AM-011")
def test_pods_and_config_maps_are_refused(api, namespace, configure, hooks):
    def judge(request):
        text = json.dumps(request["object"])
        return {"allowed": "unwanted" not in text, "status": {"message": "contains unwanted data", "reason": "no"}}

    client = hooks.client(f"/{namespace}/judge", judge)
    configure(VALIDATING, {"clientConfig": client, "rules": [rule("configmaps pods", "CREATE", "UPDATE")]})
    hang = {"clientConfig": hooks.client(f"/{namespace}/hang", slowly(3)), "timeoutSeconds": 1}
    configure(VALIDATING, {**hang, "rules": [rule("secrets")]})
    pods = f"/api/v1/namespaces/{namespace}/pods"
    answer = api.ask("POST", pods, {**pod("unwanted"), "kind": "Pod", "apiVersion": "v1"})
    assert answer.status_code == 400
    assert "denied the request: contains unwanted data" in answer.json()["message"]
    assert api.ask("POST", maps(namespace), config_map(a="unwanted")).status_code == 400
    api.create(maps(namespace), config_map("fine", a="wanted"))
    tree = config_map("fine", a="unwanted")
    assert api.ask("PUT", f"{maps(namespace)}/fine", tree).status_code == 400
    change = {"data": {"a": "unwanted"}}
    answer = api.ask("PATCH", f"{maps(namespace)}/fine", change, media="application/merge-patch+json")
    assert answer.status_code == 400
    late = api.ask("POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "s"}})
    assert late.status_code == 500
    assert "context deadline exceeded" in late.json()["message"]
    assert "failed calling webhook" in late.json()["message"]
    api.create("/api/v1/namespaces/default/configmaps", config_map(f"{namespace}-exempt", a="unwanted"))
    api.delete(f"/api/v1/namespaces/default/configmaps/{namespace}-exempt")


@pytest.mark.conformance("AM-012")
def test_definitions_of_custom_kinds_are_refused(api, namespace, configure, hooks):
    group = f"denied-{namespace}.example.com"
    client = hooks.client(f"/{namespace}/crd", deny("the crd contains unwanted label"))
    webhook = {"clientConfig": client, "rules": [rule("customresourcedefinitions", group="apiextensions.k8s.io")]}
    configure(VALIDATING, {**webhook, "objectSelector": {"matchLabels": {"denied": namespace}}}, everywhere=True)
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    tree = {"metadata": {"name": f"things.{group}", "labels": {"denied": namespace}}, "spec": spec}
    answer = api.ask("POST", CRDS, tree)
    assert answer.status_code == 400
    assert "the crd contains unwanted label" in answer.json()["message"]


@pytest.mark.conformance("AM-013")
def test_the_time_given_to_a_webhook(api, namespace, configure, hooks):
    slow = {"clientConfig": hooks.client(f"/{namespace}/slow", slowly(1.5)), "rules": [rule("configmaps")]}

    def outcome(**more):
        place = configure(VALIDATING, {**slow, **more})
        code = api.ask("POST", maps(namespace), config_map(f"m{next(_numbers)}")).status_code
        api.delete(place)
        return code

    assert outcome(timeoutSeconds=1, failurePolicy="Fail") == 500
    assert outcome(timeoutSeconds=1, failurePolicy="Ignore") == 201
    assert outcome(timeoutSeconds=5, failurePolicy="Fail") == 201
    assert outcome(failurePolicy="Fail") == 201, "ten seconds by default"


@pytest.mark.conformance("AM-015")
def test_the_second_sees_what_the_first_added(api, namespace, configure, hooks):
    def second(request):
        assert request["object"]["data"]["first"] == "yes"
        return add("second")(request)

    one = {"clientConfig": hooks.client(f"/{namespace}/one", add("first")), "rules": [rule("configmaps")]}
    two = {"clientConfig": hooks.client(f"/{namespace}/two", second), "rules": [rule("configmaps")]}
    configure(MUTATING, one, name=f"{namespace}-a")
    configure(MUTATING, two, name=f"{namespace}-b")
    made = api.create(maps(namespace), config_map(x="y"))
    assert made["data"] == {"x": "y", "first": "yes", "second": "yes"}


@pytest.mark.conformance("AM-016", "AM-018")
def test_custom_objects_are_changed_and_pruned(api, namespace, configure, hooks, widgets):
    group = widgets.split("/")[2]
    known = {
        "clientConfig": hooks.client(f"/{namespace}/first", add("first")),
        "rules": [rule("widgets", group=group)],
    }
    other = {"clientConfig": hooks.client(f"/{namespace}/none", add("none")), "rules": known["rules"]}
    configure(MUTATING, known, other)
    made = api.create(widgets, widget(widgets, start="x"))
    assert made["data"] == {"start": "x", "first": "yes"}
    assert api.get(f"{widgets}/w")["data"] == {"start": "x", "first": "yes"}


@pytest.mark.conformance("AM-017")
def test_custom_objects_of_an_older_stored_version(api, namespace, configure, hooks, widgets):
    group = widgets.split("/")[2]
    client = hooks.client(f"/{namespace}/stored", add("first"))
    place = configure(MUTATING, {"clientConfig": client, "rules": [rule("widgets", "UPDATE", group=group)]})
    api.create(widgets, widget(widgets, start="x"))
    definition = api.get(f"{CRDS}/widgets.{group}")
    for version in definition["spec"]["versions"]:
        version["storage"] = version["name"] == "v2"
    api.update(f"{CRDS}/widgets.{group}", definition)
    changed = api.patch(f"{widgets.replace('/v1/', '/v2/')}/w", {"data": {"start": "later"}})
    assert changed["data"] == {"start": "later", "first": "yes"}
    assert changed["apiVersion"] == f"{group}/v2"
    api.delete(place)


@pytest.mark.conformance("AM-019")
def test_all_but_one_are_changed(api, namespace, configure, hooks):
    webhook = {
        "clientConfig": hooks.client(f"/{namespace}/most", add("mutated")),
        "rules": [rule("configmaps")],
        "matchConditions": [{"name": "not-that", "expression": "object.metadata.name != 'skip-me'"}],
    }
    configure(MUTATING, webhook)
    assert "mutated" not in api.create(maps(namespace), config_map("skip-me", x="y"))["data"]
    assert "mutated" in api.create(maps(namespace), config_map("change-me", x="y"))["data"]


@pytest.mark.conformance("AM-020")
def test_what_is_injected_gets_defaults(api, namespace, configure, hooks):
    container = {"name": "webhook-added", "image": "init"}
    answer = patch({"op": "add", "path": "/spec/initContainers", "value": [container]})
    configure(MUTATING, {"clientConfig": hooks.client(f"/{namespace}/pod", answer), "rules": [rule("pods")]})
    made = api.create(f"/api/v1/namespaces/{namespace}/pods", pod())
    (injected,) = made["spec"]["initContainers"]
    assert injected["terminationMessagePolicy"] == "File"
    assert injected["imagePullPolicy"] == "Always"
    mounts = [mount["mountPath"] for mount in injected["volumeMounts"]]
    assert mounts == ["/var/run/secrets/kubernetes.io/serviceaccount"], "service accounts are asked once more"


@pytest.mark.conformance("AM-021")
def test_webhook_configurations_are_exempt(api, namespace, configure, hooks):
    everything = rule("*", "*", group="*")
    client = hooks.client(f"/{namespace}/all", deny("never"))
    selector = {"matchLabels": {"dummy": namespace}}
    webhook = {"clientConfig": client, "rules": [everything], "objectSelector": selector}
    configure(VALIDATING, dict(webhook), everywhere=True)
    configure(MUTATING, dict(webhook), everywhere=True)
    dummy = {"clientConfig": hooks.client(f"/{namespace}/dummy", allow), "rules": [rule("configmaps")]}
    for path in (MUTATING, VALIDATING):
        place = configure(path, dict(dummy), labels={"dummy": namespace})
        assert api.get(place)["metadata"]["labels"] == {"dummy": namespace}
        api.delete(place)
        assert api.ask("GET", place).status_code == 404
    assert hooks.seen[f"/{namespace}/all"] == []


@pytest.mark.conformance("AM-024")
def test_what_cannot_be_asked_refuses(api, namespace, configure, hooks):
    client = {key: value for key, value in hooks.client(f"/{namespace}/x", allow).items() if key != "caBundle"}
    configure(VALIDATING, {"clientConfig": client, "rules": [rule("configmaps")], "failurePolicy": "Fail"})
    answer = api.ask("POST", maps(namespace), config_map())
    assert answer.status_code == 500
    assert "failed calling webhook" in answer.json()["message"]
    assert hooks.seen[f"/{namespace}/x"] == []


def test_a_dry_run_needs_a_webhook_without_side_effects(api, namespace, configure, hooks):
    client = hooks.client(f"/{namespace}/dry", allow)
    configure(VALIDATING, {"clientConfig": client, "rules": [rule("configmaps")], "sideEffects": "NoneOnDryRun"})
    api.create(f"{maps(namespace)}?dryRun=All", config_map())
    assert hooks.seen[f"/{namespace}/dry"][0]["dryRun"] is True
    assert hooks.seen[f"/{namespace}/dry"][0]["options"]["dryRun"] == ["All"]


def test_warnings_reach_kubectl_and_codes_the_client(api, namespace, configure, hooks, kubectl):
    def judge(request):
        return {"allowed": True, "warnings": ["think again"]}

    configure(VALIDATING, {"clientConfig": hooks.client(f"/{namespace}/warn", judge), "rules": [rule("configmaps")]})
    text = manifest({"apiVersion": "v1", "kind": "ConfigMap", **config_map()})
    kubectl("create", "-f", "-", text=text)
    answer = api.ask("POST", maps(namespace), config_map("n"))
    assert '299 - "think again"' in answer.headers["warning"]

    def forbid(request):
        return {"allowed": False, "status": {"code": 418, "reason": "Teapot", "message": "short and stout"}}

    configure(VALIDATING, {"clientConfig": hooks.client(f"/{namespace}/code", forbid), "rules": [rule("secrets")]})
    refused = api.ask("POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "s"}})
    assert (refused.status_code, refused.json()["reason"]) == (418, "Teapot")


def test_an_earlier_webhook_is_asked_again_if_it_wants(api, namespace, configure, hooks):
    def counting(request):
        again = "late" in request["object"]["data"]
        return add("seen", "late" if again else "early")(request)

    first = {"clientConfig": hooks.client(f"/{namespace}/again", counting), "rules": [rule("configmaps")]}
    late = {"clientConfig": hooks.client(f"/{namespace}/late", add("late")), "rules": [rule("configmaps")]}
    configure(MUTATING, {**first, "reinvocationPolicy": "IfNeeded"}, late)
    made = api.create(maps(namespace), config_map(x="y"))
    assert made["data"] == {"x": "y", "late": "yes", "seen": "late"}
    assert len(hooks.seen[f"/{namespace}/again"]) == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param({"uid": "other", "allowed": True}, "expected response.uid=", id="another uid"),
        pytest.param({"allowed": True, "patch": "e30="}, "not response.patchType", id="no patch type"),
        pytest.param(
            {"allowed": True, "patch": "bm90IGpzb24=", "patchType": "JSONPatch"},
            "the patch is not JSON",
            id="no patch",
        ),
    ],
)
def test_answers_that_make_no_sense_refuse(api, namespace, configure, hooks, answer, why):
    client = hooks.client(f"/{namespace}/odd", lambda _: answer)
    configure(MUTATING, {"clientConfig": client, "rules": [rule("configmaps")]})
    refused = api.ask("POST", maps(namespace), config_map(x="y"))
    assert refused.status_code == 500
    assert why in refused.json()["message"]
