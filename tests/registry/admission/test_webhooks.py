"""Admission webhooks over the real verbs and a real server: who is asked, with what, and what comes of it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from bireme.api.errors import ApiError, Invalid
from bireme.http.interface import Identity
from bireme.registry.field_managers import Apply
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.verbs import Registry
from support.webhook_server import HookServer, add, allow, deny, hook_server, patch

Tree = dict[str, Any]
USER = Identity("ann", ("people",), "u-1", {"team": ("red",)})
GROUP = "admissionregistration.k8s.io"
MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


@pytest.fixture(scope="module")
def running() -> Iterator[HookServer]:
    with hook_server() as server:
        yield server


@pytest.fixture
def server(running: HookServer) -> HookServer:
    running.paths.clear()
    running.asked.clear()
    running.open.clear()
    return running


def call(**said: Any) -> Call:
    return Call(USER, **said)


def rule(resource: str, *operations: str, group: str = "", version: str = "v1") -> Tree:
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": [resource],
        "operations": list(operations) or ["CREATE", "UPDATE"],
    }


async def configure(registry: Registry, kind: str, client: Tree, *, name: str = "h", **said: Any) -> None:
    hook = {
        "name": f"{name}.example.com",
        "clientConfig": client,
        "rules": [rule("configmaps")],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **said,
    }
    place = registry.kind(GROUP, "v1", f"{kind}webhookconfigurations")
    await registry.create(place, "", {"metadata": {"name": name}, "webhooks": [hook]}, Call())


async def mutating(registry: Registry, client: Tree, **said: Any) -> None:
    await configure(registry, "mutating", client, **said)


async def validating(registry: Registry, client: Tree, **said: Any) -> None:
    await configure(registry, "validating", client, **said)


async def make(registry: Registry, name: str = "c", *, by: Call | None = None, **tree: Any) -> Tree:
    body = {"metadata": {"name": name, **tree.pop("metadata", {})}, **tree}
    return (await registry.create(registry.kind("", "v1", "configmaps"), "default", body, by or call())).tree()


async def refused(registry: Registry, name: str = "c", **tree: Any) -> ApiError:
    with pytest.raises(ApiError) as refusal:
        await make(registry, name, **tree)
    return refusal.value


async def test_a_webhook_is_told_of_the_request_and_its_patch_is_stored(opened, server):
    async with opened() as registry:
        await mutating(registry, server.on("/add", patch(add("/data", {"b": "2"}))))
        made = await make(registry, data={"a": "1"}, by=call(field_manager="kubectl"))
        (asked,) = server.asked["/add"]
        assert made["data"] == {"b": "2"}
        assert asked["kind"] == asked["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
        assert asked["resource"] == asked["requestResource"]
        assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
        assert (asked["name"], asked["namespace"], asked["operation"]) == ("c", "default", "CREATE")
        assert asked["userInfo"] == {
            "username": "ann",
            "uid": "u-1",
            "groups": ["people"],
            "extra": {"team": ["red"]},
        }
        assert asked["object"]["data"] == {"a": "1"}
        assert asked["object"]["apiVersion"] == "v1"
        assert asked["oldObject"] is None
        assert asked["dryRun"] is False
        assert asked["options"]["kind"] == "CreateOptions"
        assert asked["options"]["fieldManager"] == "kubectl"


async def test_what_the_server_writes_for_itself_goes_past_dead_webhooks(opened, server):
    async with opened() as registry:
        dead = {"url": "https://127.0.0.1:1/dead"}
        every = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}
        await validating(registry, dead, rules=[every])
        await make(registry, by=Call())
        error = await refused(registry, "d")
        assert error.code == 500
        assert error.reason == "InternalError"
        assert error.message == (
            'Internal error occurred: failed calling webhook "h.example.com": failed to call webhook: '
            'Post "https://127.0.0.1:1/dead?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused'
        )


@pytest.mark.parametrize(
    ("status", "message", "code", "reason"),
    [
        pytest.param({"message": "no"}, ": no", 400, "", id="a message alone"),
        pytest.param({"reason": "Forbidden"}, ": Forbidden", 400, "Forbidden", id="a reason alone"),
        pytest.param({}, " without explanation", 400, "", id="nothing"),
        pytest.param({"code": 200, "message": "m"}, ": m", 400, "", id="a code that is no refusal"),
        pytest.param({"code": 402, "message": "pay", "reason": "Paid"}, ": pay", 402, "Paid", id="its own code"),
    ],
)
async def test_a_denial_is_worded_as_in_kubernetes(opened, server, status, message, code, reason):
    async with opened() as registry:
        await validating(registry, server.on("/deny", lambda request: {"allowed": False, "status": status}))
        error = await refused(registry)
        assert error.message == f'admission webhook "h.example.com" denied the request{message}'
        assert (error.code, error.reason) == (code, reason)


async def test_mutating_webhooks_see_what_those_before_them_made(opened, server):
    async with opened() as registry:
        await mutating(registry, server.on("/second", patch(add("/data/two", "2"))), name="b")
        await mutating(registry, server.on("/first", patch(add("/data/one", "1"))), name="a")
        made = await make(registry, data={"zero": "0"})
        assert made["data"] == {"zero": "0", "one": "1", "two": "2"}
        assert server.asked["/second"][0]["object"]["data"] == {"zero": "0", "one": "1"}


async def test_a_webhook_that_wants_it_sees_once_more_what_others_changed(opened, server):
    async with opened() as registry:
        await mutating(registry, server.on("/first", allow), name="a", reinvocationPolicy="IfNeeded")
        await mutating(registry, server.on("/second", patch(add("/data", {"two": "2"}))), name="b")
        await mutating(registry, server.on("/third", allow), name="c", reinvocationPolicy="IfNeeded")
        await make(registry)
        assert len(server.asked["/first"]) == 2
        assert server.asked["/first"][1]["object"]["data"] == {"two": "2"}
        assert len(server.asked["/second"]) == 1
        assert len(server.asked["/third"]) == 1


async def test_an_injected_container_gets_its_defaults_and_its_account(opened, server):
    async with opened() as registry:
        container = {"name": "init", "image": "i", "volumeMounts": []}
        inject = patch(add("/spec/initContainers", [container]))
        await mutating(registry, server.on("/inject", inject), rules=[rule("pods")])
        body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        pod = (await registry.create(registry.kind("", "v1", "pods"), "default", body, call())).tree()
        (init,) = pod["spec"]["initContainers"]
        assert init["terminationMessagePolicy"] == "File"
        assert init["imagePullPolicy"] == "Always"
        mounts = [each["mountPath"] for each in init["volumeMounts"]]
        assert mounts == ["/var/run/secrets/kubernetes.io/serviceaccount"]
        assert len([v for v in pod["spec"]["volumes"] if v["name"].startswith("kube-api-access")]) == 1


@pytest.mark.parametrize("verb", ["update", "patch", "apply"])
async def test_a_write_that_changes_nothing_may_be_refused_all_the_same(opened, server, verb):
    async with opened() as registry:
        kind = registry.kind("", "v1", "configmaps")
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}

        async def write(by: Call) -> None:
            if verb == "apply":
                await registry.apply(kind, "default", "c", Apply(config, force=False), by)
            elif verb == "patch":
                await registry.patch(kind, "default", "c", lambda tree: tree, by)
            else:
                await registry.update(kind, "default", "c", await got(registry), by)

        if verb == "apply":
            await write(Call(field_manager="ann"))  # the server itself may make what is not there
        else:
            await make(registry, data={"a": "1"}, by=call(field_manager="ann"))
        before = (await got(registry))["metadata"]["resourceVersion"]
        client = server.on("/deny", deny())
        await validating(registry, client, rules=[rule("configmaps", "UPDATE")])
        with pytest.raises(ApiError, match="denied the request"):
            await write(call(field_manager="ann"))
        (asked,) = server.asked["/deny"]
        assert asked["operation"] == "UPDATE"
        assert asked["object"]["data"] == asked["oldObject"]["data"] == {"a": "1"}
        server.on("/deny", allow)
        await write(call(field_manager="ann"))
        assert (await got(registry))["metadata"]["resourceVersion"] == before


async def got(registry: Registry) -> Tree:
    return (await registry.get(registry.kind("", "v1", "configmaps"), "default", "c")).tree()


async def test_a_patch_may_not_break_the_object(opened, server):
    async with opened() as registry:
        await mutating(registry, server.on("/patch", patch({"op": "remove", "path": "/nothing/there"})))
        error = await refused(registry)
        assert error.code == 500
        assert error.message.startswith("Internal error occurred: ")
        server.on("/patch", patch(add("/data", ["no", "map"])))
        assert (await refused(registry)).code == 500
        server.on("/patch", patch(add("", ["no object"])))
        assert (await refused(registry)).code == 500
        server.on("/patch", patch(add("/data", {"not a key!": "1"})))
        assert isinstance(await refused(registry), Invalid)
        server.on("/patch", patch(add("/unknown", 1), add("/metadata/uid", "other")))
        made = await make(registry)
        assert "unknown" not in made
        assert made["metadata"]["uid"] != "other"


async def test_a_patch_of_a_status_touches_the_status_alone(opened, server):
    async with opened() as registry:
        more = patch(add("/metadata/labels", {"a": "b"}), add("/spec/replicas", 7), add("/status/replicas", 3))
        rules = [rule("deployments/status", "UPDATE", group="apps")]
        await mutating(registry, server.on("/status", more), rules=rules)
        kind = registry.kind("apps", "v1", "deployments")
        labels = {"app": "a"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        made = (await registry.create(kind, "default", {"metadata": {"name": "d"}, "spec": spec}, call())).tree()
        made["status"] = {"observedGeneration": 1}
        document, _ = await registry.update(kind, "default", "d", made, call(), subresource="status")
        tree = document.tree()
        assert tree["status"]["replicas"] == 3
        assert tree["spec"]["replicas"] == 1
        assert tree["metadata"]["labels"] == {"a": "b"}


async def test_a_webhook_on_scales_sees_and_changes_scales(opened, server):
    from bireme.registry.scale import change_scale

    async with opened() as registry:
        rules = [rule("deployments/scale", "UPDATE", group="apps")]
        await mutating(registry, server.on("/scale", patch(add("/spec/replicas", 5))), rules=rules)
        kind = registry.kind("apps", "v1", "deployments")
        labels = {"app": "a"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        await registry.create(kind, "default", {"metadata": {"name": "d"}, "spec": spec}, call())
        change = lambda scale: {**scale, "spec": {"replicas": 3}}  # noqa: E731
        made = (await change_scale(registry, kind, "default", "d", change, call())).tree()
        (asked,) = server.asked["/scale"]
        assert made["spec"]["replicas"] == 5
        assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        assert asked["object"]["spec"] == {"replicas": 3}
        assert asked["oldObject"]["spec"] == {"replicas": 1}
        assert asked["subResource"] == "scale"
        server.on("/scale", patch(add("/spec/replicas", "many")))
        with pytest.raises(ApiError, match="no number of replicas"):
            await change_scale(registry, kind, "default", "d", change, call())


async def test_a_webhook_sees_the_version_that_it_asked_for(opened, server):
    async with opened() as registry:
        rules = [rule("horizontalpodautoscalers", group="autoscaling", version="v1")]
        change = patch(add("/spec/targetCPUUtilizationPercentage", 42))
        await mutating(registry, server.on("/v1", change), rules=rules)
        await validating(registry, server.on("/exact", deny()), rules=rules, name="exact", matchPolicy="Exact")
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
        body = {"metadata": {"name": "a"}, "spec": {"maxReplicas": 3, "scaleTargetRef": target}}
        kind = registry.kind("autoscaling", "v2", "horizontalpodautoscalers")
        made = (await registry.create(kind, "default", body, call())).tree()
        (asked,) = server.asked["/v1"]
        assert asked["object"]["apiVersion"] == "autoscaling/v1"
        assert asked["kind"]["version"] == asked["resource"]["version"] == "v1"
        assert asked["requestKind"]["version"] == asked["requestResource"]["version"] == "v2"
        assert made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 42
        assert "/exact" not in server.asked


async def test_deletes_show_what_is_deleted_and_how(opened, server):
    async with opened() as registry:
        await validating(registry, server.on("/delete", deny("keep it")), rules=[rule("configmaps", "DELETE")])
        made = await make(registry, data={"a": "1"})
        kind = registry.kind("", "v1", "configmaps")
        options = DeleteOptions(grace_period_s=0, uid=made["metadata"]["uid"])
        with pytest.raises(ApiError, match="keep it"):
            await registry.delete(kind, "default", "c", options, call())
        (asked,) = server.asked["/delete"]
        assert asked["object"] is None
        assert asked["oldObject"]["data"] == {"a": "1"}
        assert asked["oldObject"]["metadata"]["resourceVersion"]
        assert asked["options"]["gracePeriodSeconds"] == 0
        assert asked["options"]["preconditions"] == {"uid": made["metadata"]["uid"]}


async def test_selectors_and_conditions_leave_requests_out(opened, server):
    async with opened() as registry:
        client = server.on("/deny", deny())
        await validating(
            registry,
            client,
            objectSelector={"matchLabels": {"check": "yes"}},
            namespaceSelector={"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
            matchConditions=[{"name": "not-me", "expression": "object.metadata.name != 'skip-me'"}],
        )
        checked = {"labels": {"check": "yes"}}
        await make(registry, "unlabelled")
        await make(registry, "skip-me", metadata=checked)
        assert "denied" in (await refused(registry, "c", metadata=checked)).message
        spaces = registry.kind("", "v1", "namespaces")
        space = (await registry.get(spaces, "", "default")).tree()
        space["metadata"]["labels"]["skip"] = "1"
        await registry.update(spaces, "", "default", space, Call())
        made = await make(registry, "c", metadata=checked)
        assert made


async def test_a_condition_that_fails_refuses_where_the_webhook_must_not_fail(opened, server):
    async with opened() as registry:
        client = server.on("/allow", allow)
        broken = [{"name": "broken", "expression": "object.nothing.there"}]
        await validating(registry, client, matchConditions=broken, name="a", failurePolicy="Ignore")
        await make(registry, "ok")
        await validating(registry, client, matchConditions=broken, name="b")
        error = await refused(registry)
        assert error.code == 403
        assert error.message.startswith('configmaps "c" is forbidden: ')
        assert "/allow" not in server.asked


async def let_go(server: HookServer) -> None:
    """Let what hangs answer, so that both ends close their connections before the loop is gone."""
    server.open.set()
    await asyncio.sleep(0.1)


async def test_a_webhook_that_hangs_ends_with_its_time(opened, server):
    async with opened() as registry:
        client = server.on("/hang", server.hang)
        await validating(registry, client, timeoutSeconds=1)
        async with asyncio.timeout(30):  # the server would hang for 60
            error = await refused(registry)
        assert "context deadline exceeded" in error.message
        await let_go(server)


async def test_webhooks_that_only_refuse_are_asked_at_once(opened, server):
    async with opened() as registry:
        client = server.on("/hang", server.hang)
        for name in ("a", "b", "c"):
            await validating(registry, client, name=name, timeoutSeconds=30)
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            making = tasks.create_task(make(registry))
            while len(server.asked.get("/hang", ())) < 3:  # none of them has answered yet
                assert not making.done()
                await asyncio.sleep(0.01)
            server.open.set()
        await let_go(server)


@pytest.mark.parametrize(
    ("respond", "text"),
    [
        pytest.param(lambda _: (200, b"not json"), "failed to call webhook", id="not JSON"),
        pytest.param(lambda _: (500, b"SECRET"), "an error on the server", id="an error"),
        pytest.param(lambda _: (302, b"SECRET"), "status code 302", id="a redirect"),
        pytest.param(lambda _: (200, b"x" * 10_000_000), "answer too large", id="10 MB"),
        pytest.param(lambda _: {"allowed": True, "uid": "x"}, 'expected response.uid="', id="another's uid"),
        pytest.param(
            lambda _: {"allowed": True, "patch": "W10="}, "response.patch but not response.patchType", id="no type"
        ),
        pytest.param(
            lambda _: {"allowed": True, "patch": "?", "patchType": "JSONPatch"},
            "received invalid webhook response",
            id="a patch that is none",
        ),
        pytest.param(None, "the server could not find the requested resource", id="no such path"),
    ],
)
async def test_bad_answers_fail_closed_or_open(opened, server, respond, text):
    async with opened() as registry:
        client = server.on("/bad", respond) if respond else server.client("/bad")
        await mutating(registry, client, name="open", failurePolicy="Ignore")
        caller = call()
        await make(registry, "open", by=caller)
        assert "failed-open.mutating.webhook.admission.k8s.io/round_0_index_0" in caller.audit
        await mutating(registry, client, name="shut")
        error = await refused(registry)
        assert error.message.startswith('Internal error occurred: failed calling webhook "shut.example.com": ')
        assert text in error.message
        assert "SECRET" not in error.message
        await let_go(server)


async def test_a_server_that_nobody_vouches_for_is_not_asked(opened, server):
    async with opened() as registry:
        await validating(registry, {"url": server.on("/allow", allow)["url"]})
        error = await refused(registry)
        assert "x509: certificate signed by unknown authority" in error.message
        assert "/allow" not in server.asked


async def test_a_webhook_with_effects_is_not_asked_in_a_dry_run(opened, server):
    async with opened() as registry:
        await validating(registry, server.on("/none", allow), sideEffects="NoneOnDryRun")
        await make(registry, by=call(dry_run=True))
        assert server.asked["/none"][0]["dryRun"] is True
        assert server.asked["/none"][0]["options"]["dryRun"] == ["All"]


async def test_the_first_version_of_reviews_that_is_known_is_spoken(opened, server):
    async with opened() as registry:
        client = server.on("/old", patch(add("/data", {"a": "1"})))
        await mutating(registry, client, admissionReviewVersions=["v9", "v1beta1", "v1"])
        assert (await make(registry))["data"] == {"a": "1"}
        assert server.versions[-1] == "admission.k8s.io/v1beta1"


async def test_warnings_and_annotations_come_along(opened, server):
    async with opened() as registry:
        said = {"allowed": True, "warnings": ["careful"], "auditAnnotations": {"k": "v"}}
        await validating(registry, server.on("/warn", lambda _: dict(said)))
        caller = call()
        await make(registry, by=caller)
        assert caller.warnings == ["careful"]
        assert caller.audit["h.example.com/k"] == "v"


async def test_configurations_count_from_their_next_request_on_and_are_never_asked_about(opened, server):
    async with opened() as registry:
        every = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}
        await validating(registry, server.on("/deny", deny()), rules=[every])
        await refused(registry)
        kind = registry.kind(GROUP, "v1", "validatingwebhookconfigurations")
        tree = (await registry.get(kind, "", "h")).tree()
        tree["webhooks"][0]["rules"][0]["operations"] = ["DELETE"]
        await registry.update(kind, "", "h", tree, call())
        await make(registry)
        await registry.delete(kind, "", "h", DeleteOptions(), call())
        await registry.delete(registry.kind("", "v1", "configmaps"), "default", "c", DeleteOptions(), call())
        assert {each["resource"]["resource"] for each in server.asked["/deny"]} == {"configmaps"}


async def test_a_service_is_reached_at_its_ready_endpoints_only(opened, server):
    async with opened() as registry:
        service = {"namespace": "default", "name": "hooks", "path": "/deny", "port": 443}
        await validating(registry, {"service": service, "caBundle": server.bundle})
        where = 'Post "https://hooks.default.svc:443/deny?timeout=10s": '
        assert f'{where}service "hooks" not found' in (await refused(registry)).message
        spec = {"ports": [{"port": 443, "targetPort": 8443}]}
        body = {"metadata": {"name": "hooks"}, "spec": spec}
        await registry.create(registry.kind("", "v1", "services"), "default", body, Call())
        labels = {"kubernetes.io/service-name": "hooks"}
        endpoints = [{"addresses": ["192.0.2.7"], "conditions": {"ready": False}}]
        pieces = {"addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 8443}]}
        body = {"metadata": {"name": "hooks", "labels": labels}, **pieces}
        await registry.create(registry.kind("discovery.k8s.io", "v1", "endpointslices"), "default", body, Call())
        assert f'{where}no endpoints available for service "hooks"' in (await refused(registry)).message


async def test_a_webhook_that_asks_the_server_to_do_the_same_ends(opened, server):
    async with opened() as registry:
        loop = asyncio.get_running_loop()
        depth = 0

        def again(request: Tree) -> Tree:
            nonlocal depth
            depth += 1
            if depth < 5:
                made = asyncio.run_coroutine_threadsafe(make(registry, f"c{depth}"), loop)
                try:
                    made.result(5)
                except ApiError as error:
                    return {"allowed": False, "status": {"message": error.message[:100]}}
            return {"allowed": True}

        await validating(registry, server.on("/again", again), timeoutSeconds=2)
        await make(registry)
        assert depth == 5


async def test_webhooks_are_counted(opened, server):
    async with opened() as registry:
        await mutating(registry, server.on("/add", patch(add("/data", {"b": "2"}))), name="m")
        await validating(registry, server.on("/no", deny("no", code=409)), name="v")
        await refused(registry)
        dead = {"url": "https://127.0.0.1:1/"}
        await mutating(registry, dead, name="z")
        await refused(registry)
        page = "\n".join(figures() for figures in registry.figures)
    total, rejections = "apiserver_admission_webhook_request_total", "apiserver_admission_webhook_rejection_count"
    admitted = 'name="m.example.com",operation="CREATE",rejected="false",type="admit"'
    assert f'{total}{{code="200",{admitted}}} 2\n' in page
    assert f"apiserver_admission_webhook_admission_duration_seconds_count{{{admitted}}} 2\n" in page
    by_answer = 'error_type="no_error",rejection_code="409",name="v.example.com",operation="CREATE",type="validating"'
    assert f"{rejections}{{{by_answer}}} 1" in page
    by_fault = 'error_type="calling_webhook_error",rejection_code="0",name="z.example.com"'
    assert f'{rejections}{{{by_fault},operation="CREATE",type="admit"}} 1' in page
