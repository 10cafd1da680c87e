import asyncio
from typing import Any

import pytest

from bireme.http.interface import Identity

PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


def pod(name: str = "a", **labels: str) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]},
    }


def config(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


CONFIGS = "/api/v1/namespaces/default/configmaps"


async def test_a_new_pod_gets_what_the_server_decides(opened):
    async with opened() as door:
        made = await door.make(PODS, {**pod(app="x"), "status": {"phase": "Running"}})
        metadata = made["metadata"]
        assert metadata["namespace"] == "default"
        assert metadata["generation"] == 1
        assert metadata["uid"].startswith("00000000")
        assert metadata["resourceVersion"].isdigit()
        assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
        assert made["spec"]["serviceAccountName"] == "default"
        assert made["spec"]["priority"] == 0
        assert {t["key"] for t in made["spec"]["tolerations"]} == {
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        }
        got = await door.ask("GET", f"{PODS}/a")
        assert got.tree == made


async def test_the_same_name_twice_is_refused(opened):
    async with opened() as door:
        await door.make(CONFIGS, config("a"))
        reply = await door.ask("POST", CONFIGS, config("a"))
        assert (reply.status, reply.tree["reason"]) == (409, "AlreadyExists")
        assert reply.tree["message"] == 'configmaps "a" already exists'
        assert reply.tree["details"] == {"name": "a", "kind": "configmaps"}


async def test_generated_names_have_five_more_characters(opened):
    async with opened() as door:
        made = await door.make(CONFIGS, {"metadata": {"generateName": "job-"}})
        assert len(made["metadata"]["name"]) == len("job-") + 5


async def test_an_update_needs_the_version_it_read(opened):
    async with opened() as door:
        made = await door.make(CONFIGS, config("a", k="1"))
        first = await door.ask("PUT", f"{CONFIGS}/a", {**made, "data": {"k": "2"}})
        assert first.status == 200
        stale = await door.ask("PUT", f"{CONFIGS}/a", {**made, "data": {"k": "3"}})
        assert (stale.status, stale.tree["reason"]) == (409, "Conflict")
        assert "the object has been modified" in stale.tree["message"]
        unconditional = await door.ask("PUT", f"{CONFIGS}/a", config("a", k="4"))
        assert unconditional.tree["data"] == {"k": "4"}


async def test_an_update_that_changes_nothing_keeps_the_version(opened):
    async with opened() as door:
        made = await door.make(CONFIGS, config("a", k="1"))
        reply = await door.ask("PUT", f"{CONFIGS}/a", made)
        assert reply.tree["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("media", "patch", "expected"),
    [
        pytest.param(MERGE, {"data": {"k": None, "m": "2"}}, {"m": "2"}, id="merge"),
        pytest.param(STRATEGIC, {"data": {"m": "2"}}, {"k": "1", "m": "2"}, id="strategic"),
        pytest.param(JSON_PATCH, [{"op": "replace", "path": "/data/k", "value": "9"}], {"k": "9"}, id="json"),
    ],
)
async def test_patches(opened, media, patch, expected):
    async with opened() as door:
        await door.make(CONFIGS, config("a", k="1"))
        reply = await door.ask("PATCH", f"{CONFIGS}/a", patch, content_type=media)
        assert reply.tree["data"] == expected


async def test_concurrent_patches_all_count(opened):
    async with opened() as door:
        await door.make(CONFIGS, config("a"))
        async with asyncio.TaskGroup() as tasks:
            asked = [
                tasks.create_task(door.ask("PATCH", f"{CONFIGS}/a", {"data": {str(n): "x"}}, content_type=MERGE))
                for n in range(4)
            ]
        assert {task.result().status for task in asked} == {200}
        assert set((await door.ask("GET", f"{CONFIGS}/a")).tree["data"]) == {"0", "1", "2", "3"}


async def test_finalizers_hold_an_object(opened):
    async with opened() as door:
        await door.make(CONFIGS, {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
        marked = await door.ask("DELETE", f"{CONFIGS}/a")
        assert "deletionTimestamp" in marked.tree["metadata"]
        let_go = await door.ask("PATCH", f"{CONFIGS}/a", {"metadata": {"finalizers": None}}, content_type=MERGE)
        assert let_go.status == 200
        assert (await door.ask("GET", f"{CONFIGS}/a")).status == 404


async def test_foreground_deletion_leaves_a_finalizer(opened):
    async with opened() as door:
        await door.make(CONFIGS, config("a"))
        marked = await door.ask("DELETE", f"{CONFIGS}/a", {"propagationPolicy": "Foreground"})
        assert marked.tree["metadata"]["finalizers"] == ["foregroundDeletion"]


async def test_delete_preconditions(opened):
    async with opened() as door:
        await door.make(CONFIGS, config("a"))
        reply = await door.ask("DELETE", f"{CONFIGS}/a", {"preconditions": {"uid": "other"}})
        assert reply.status == 409
        assert "UID in precondition" in reply.tree["message"]


async def test_a_dry_run_stores_nothing(opened):
    async with opened() as door:
        reply = await door.ask("POST", f"{CONFIGS}?dryRun=All", config("a"))
        assert reply.status == 201
        assert "resourceVersion" not in reply.tree["metadata"]
        assert (await door.ask("GET", f"{CONFIGS}/a")).status == 404
        assert (await door.ask("POST", f"{CONFIGS}?dryRun=Some", config("a"))).status == 422


async def test_unknown_fields_are_warned_of_or_refused(opened):
    async with opened() as door:
        body = {**config("a"), "spce": 1}
        warned = await door.ask("POST", CONFIGS, body)
        assert warned.headers["warning"] == '299 - "unknown field \\"spce\\""'
        assert "spce" not in warned.tree
        refused = await door.ask("POST", f"{CONFIGS}?fieldValidation=Strict", body)
        assert refused.status == 400
        assert 'strict decoding error: unknown field "spce"' in refused.tree["message"]
        repeated = b'{"metadata":{"name":"b"},"data":{"k":"1","k":"2"}}'
        refused = await door.ask("POST", f"{CONFIGS}?fieldValidation=Strict", repeated)
        assert 'duplicate field "data.k"' in refused.tree["message"]


async def test_lists_are_paged_at_one_version(opened):
    async with opened() as door:
        for name in "abcde":
            await door.make(CONFIGS, config(name))
        first = (await door.ask("GET", f"{CONFIGS}?limit=2")).tree
        assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
        assert first["metadata"]["remainingItemCount"] == 3
        await door.ask("DELETE", f"{CONFIGS}/c")
        await door.make(CONFIGS, config("cc"))
        token = first["metadata"]["continue"]
        second = (await door.ask("GET", f"{CONFIGS}?limit=2&continue={token}")).tree
        assert [item["metadata"]["name"] for item in second["items"]] == ["c", "d"]
        assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        assert second["metadata"]["remainingItemCount"] == 1
        last = (await door.ask("GET", f"{CONFIGS}?limit=2&continue={second['metadata']['continue']}")).tree
        assert [item["metadata"]["name"] for item in last["items"]] == ["e"]
        assert "continue" not in last["metadata"]


async def test_an_old_token_is_answered_with_a_fresh_one(opened):
    async with opened() as door:
        for name in "abc":
            await door.make(CONFIGS, config(name))
        token = (await door.ask("GET", f"{CONFIGS}?limit=1")).tree["metadata"]["continue"]
        await door.clock.advance(1000)
        await door.make(CONFIGS, config("d"))
        await door.clock.advance(1000)
        expired = await door.ask("GET", f"{CONFIGS}?limit=1&continue={token}")
        assert (expired.status, expired.tree["reason"]) == (410, "Expired")
        fresh = expired.tree["metadata"]["continue"]
        rest = (await door.ask("GET", f"{CONFIGS}?continue={fresh}")).tree
        assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("labelSelector=app%3Dx", ["a"]),
        ("labelSelector=app+notin+(x)", ["b", "c"]),
        ("fieldSelector=metadata.name%3Db", ["b"]),
        ("fieldSelector=spec.nodeName%3Dn1", ["c"]),
        ("fieldSelector=spec.nodeName!%3Dn1,status.phase%3DPending", ["a", "b"]),
    ],
)
async def test_selectors(opened, query, names):
    async with opened() as door:
        await door.make(PODS, pod("a", app="x"))
        await door.make(PODS, pod("b", app="y"))
        await door.make(PODS, pod("c", app="z"))
        await door.make(f"{PODS}/c/binding", {"target": {"kind": "Node", "name": "n1"}})
        found = (await door.ask("GET", f"{PODS}?{query}")).tree["items"]
        assert [item["metadata"]["name"] for item in found] == names


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("fieldSelector=spec.nope%3D1", 400),
        ("labelSelector=)(", 400),
        ("limit=-1", 400),
        ("resourceVersion=abc", 400),
        ("resourceVersion=999999", 504),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422),
        ("resourceVersion=1&resourceVersionMatch=Nope", 422),
        ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", 422),
        ("resourceVersion=1&continue=bm90", 400),
        ("continue=bm90IGEgdG9rZW4", 400),
        ("continue=%00", 400),
    ],
)
async def test_reads_that_make_no_sense(opened, query, code):
    async with opened() as door:
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(door.ask("GET", f"{CONFIGS}?{query}"))
            await door.clock.advance(5)
        reply = asked.result()
        assert reply.status == code
        assert reply.tree["kind"] == "Status"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "resourceVersionMatch=Exact",
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            "resourceVersion=0&resourceVersionMatch=Exact",
            'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        (
            "resourceVersion=1&resourceVersionMatch=Nope",
            'resourceVersionMatch: Unsupported value: "Nope": supported values: "", "Exact", "NotOlderThan"',
        ),
        (
            "watch=1&sendInitialEvents=true",
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to "
            "NotOlderThan",
        ),
        (
            "watch=1&resourceVersion=1&resourceVersionMatch=NotOlderThan",
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents "
            "is provided",
        ),
        ("sendInitialEvents=true", "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
    ],
)
async def test_what_is_wrong_with_options_is_said_as_clients_know_it(opened, query, message):
    async with opened() as door:
        reply = await door.ask("GET", f"{CONFIGS}?{query}")
        assert reply.tree["message"] == f'ListOptions.meta.k8s.io "" is invalid: {message}'
        assert reply.tree["details"]["causes"][0]["field"] == message.partition(":")[0]


async def test_a_version_that_is_not_reached_in_time(opened):
    async with opened() as door:
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(door.ask("GET", f"{CONFIGS}?resourceVersion=999999"))
            await door.clock.advance(5)
        status = asked.result().tree
        assert status["message"].startswith("Timeout: Too large resource version: 999999, current: ")
        assert status["details"] == {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }


async def test_a_list_can_show_the_past(opened):
    async with opened() as door:
        made = await door.make(CONFIGS, config("a", k="1"))
        version = made["metadata"]["resourceVersion"]
        await door.ask("PATCH", f"{CONFIGS}/a", {"data": {"k": "2"}}, content_type=MERGE)
        await door.make(CONFIGS, config("b"))
        past = (await door.ask("GET", f"{CONFIGS}?resourceVersion={version}&resourceVersionMatch=Exact")).tree
        assert [item["data"] for item in past["items"]] == [{"k": "1"}]
        assert past["items"][0]["metadata"]["resourceVersion"] == version


async def test_a_cluster_scoped_kind_is_not_found_in_a_namespace(opened):
    async with opened() as door:
        assert (await door.ask("GET", "/api/v1/namespaces/default/nodes")).status == 404
        assert (await door.ask("GET", "/api/v1/namespaces/default/pods/../../kube-system/pods")).status == 404
        assert (await door.ask("GET", f"{PODS}/a/nope")).status == 404
        assert (await door.ask("GET", "/apis/apps/v1/nopes")).status == 404


async def test_methods_that_a_resource_lacks(opened):
    async with opened() as door:
        assert (await door.ask("HEAD", f"{PODS}/a")).status == 405
        assert (await door.ask("POST", f"{PODS}/a", pod())).status == 405
        assert (await door.ask("DELETE", "/api/v1/namespaces")).status == 405
        assert (await door.ask("POST", "/api/v1/pods", pod())).status == 405


async def test_nothing_new_in_a_missing_or_going_namespace(opened):
    async with opened() as door:
        missing = await door.ask("POST", "/api/v1/namespaces/nope/configmaps", config("a"))
        assert (missing.status, missing.tree["message"]) == (404, 'namespaces "nope" not found')
        await door.make("/api/v1/namespaces", {"metadata": {"name": "going"}})
        marked = await door.ask("DELETE", "/api/v1/namespaces/going")
        assert marked.tree["status"] == {"phase": "Terminating"}
        refused = await door.ask("POST", "/api/v1/namespaces/going/configmaps", config("a"))
        assert refused.tree["details"]["causes"][0]["reason"] == "NamespaceTerminating"
        finalized = await door.ask("PUT", "/api/v1/namespaces/going/finalize", {**marked.tree, "spec": {}})
        assert finalized.status == 200
        assert (await door.ask("GET", "/api/v1/namespaces/going")).status == 404
        assert (await door.ask("DELETE", "/api/v1/namespaces/default")).status == 403


async def test_delete_collection_tells_what_it_deleted(opened):
    async with opened() as door:
        await door.make(CONFIGS, config("a"))
        await door.make(CONFIGS, config("b"))
        reply = await door.ask("DELETE", f"{CONFIGS}?fieldSelector=metadata.name%3Da")
        assert [item["metadata"]["name"] for item in reply.tree["items"]] == ["a"]
        assert [i["metadata"]["name"] for i in (await door.ask("GET", CONFIGS)).tree["items"]] == ["b"]


async def test_events_expire_after_an_hour(opened):
    async with opened() as door:
        event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}, "reason": "x"}
        await door.make("/api/v1/namespaces/default/events", event)
        await door.clock.advance(3500)
        assert (await door.ask("GET", "/api/v1/namespaces/default/events/e")).status == 200
        await door.clock.advance(200)
        assert (await door.ask("GET", "/api/v1/namespaces/default/events/e")).status == 404


@pytest.mark.parametrize(
    ("user", "path", "code"),
    [
        (None, PODS, 401),
        (None, "/healthz", 200),
        (None, "/version", 200),
        (Identity("system:kube-scheduler"), PODS, 200),
        (Identity("system:node:n1", ("system:nodes",)), f"{PODS}?fieldSelector=spec.nodeName%3Dn1", 200),
        (Identity("system:node:n1", ("system:nodes",)), PODS, 403),
        (Identity("eve"), PODS, 403),
        (Identity("eve"), "/metrics", 403),
        (Identity("system:serviceaccount:a:b", ("system:serviceaccounts",)), "/livez", 200),
    ],
)
async def test_who_may_do_what(opened, user, path, code):
    async with opened() as door:
        assert (await door.ask("GET", path, user=user)).status == code


async def test_a_refusal_says_what_was_tried(opened):
    async with opened() as door:
        reply = await door.ask("GET", f"{PODS}/a", user=Identity("eve"))
        assert reply.tree["message"] == (
            'pods "a" is forbidden: User "eve" cannot get resource "pods" in API group "" in the namespace "default"'
        )


async def test_access_reviews_answer_truthfully(opened):
    async with opened() as door:
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        asked = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}}
        assert (await door.make(path, asked))["status"]["allowed"] is True
        eve = await door.ask("POST", path, asked, user=Identity("eve"))
        assert eve.tree["status"] == {"allowed": False}
        me = await door.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, user=Identity("eve"))
        assert me.tree["status"]["userInfo"] == {"username": "eve", "groups": ["system:authenticated"]}


async def test_every_answer_has_an_audit_id(opened):
    async with opened() as door:
        assert (await door.ask("GET", "/healthz")).headers["audit-id"].startswith("00000000")
        assert (await door.ask("GET", "/healthz", audit_id="mine")).headers["audit-id"] == "mine"


async def test_large_bodies_are_refused(opened):
    async with opened() as door:
        reply = await door.ask("POST", CONFIGS, b" " * (3 << 20) + b"{}")
        assert (reply.status, reply.tree["reason"]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"a":' * 2000 + b"1" + b"}" * 2000, b"\xff", b'{"metadata":1}']
)
async def test_bodies_that_are_no_objects(opened, body):
    async with opened() as door:
        reply = await door.ask("POST", CONFIGS, body)
        assert (reply.status, reply.tree["reason"]) == (400, "BadRequest")


async def test_bodies_and_answers_in_yaml(opened):
    async with opened() as door:
        body = b"metadata:\n  name: a\ndata:\n  k: v\n"
        reply = await door.ask("POST", CONFIGS, body, content_type="application/yaml", accept="application/yaml")
        assert reply.status == 201
        assert b"k: v" in reply.body
        other = await door.ask("POST", CONFIGS, body, content_type="text/plain")
        assert other.status == 415
        unknown = await door.ask("GET", CONFIGS, accept="application/xml")
        assert (unknown.status, unknown.tree["reason"]) == (406, "NotAcceptable")


async def test_tables_and_metadata_alone(opened):
    async with opened() as door:
        await door.make(PODS, pod("a"))
        table = (
            await door.ask("GET", PODS, accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
        ).tree
        assert table["kind"] == "Table"
        assert table["columnDefinitions"][0]["name"] == "Name"
        assert table["rows"][0]["cells"][0] == "a"
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
        partial = (
            await door.ask("GET", f"{PODS}/a", accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
        ).tree
        assert set(partial) == {"kind", "apiVersion", "metadata"}


async def test_the_door_survives_what_it_did_not_expect(opened, monkeypatch):
    async with opened() as door:

        async def fail(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr(door.registry, "list", fail)
        reply = await door.ask("GET", PODS)
        assert (reply.status, reply.tree["reason"]) == (500, "InternalError")
        assert "secret" not in reply.tree["message"]


async def test_a_list_asked_for_again_shows_what_was_written_since(opened):
    async with opened() as door:
        path = "/api/v1/namespaces/default/configmaps"
        for name in ("a", "b", "c"):
            await door.make(path, {"metadata": {"name": name}, "data": {"turn": "0"}})
        for turn in ("1", "2", "3"):
            written = await door.ask("PATCH", f"{path}/b", {"data": {"turn": turn}}, content_type=MERGE)
            listed = (await door.ask("GET", path)).tree["items"]
            assert [item["data"]["turn"] for item in listed] == ["0", turn, "0"]
            assert listed[1]["metadata"] == written.tree["metadata"]
        await door.ask("DELETE", f"{path}/b")
        await door.make(path, {"metadata": {"name": "b"}, "data": {"turn": "again"}})
        listed = (await door.ask("GET", path)).tree["items"]
        assert [item["data"]["turn"] for item in listed] == ["0", "again", "0"]


async def test_the_versions_of_an_object_are_not_mixed_up_in_lists(opened):
    async with opened() as door:
        event = {
            "metadata": {"name": "e", "namespace": "default"},
            "involvedObject": {"kind": "Pod", "name": "a", "namespace": "default"},
        }
        await door.make("/api/v1/namespaces/default/events", event)
        for _ in range(3):
            old = (await door.ask("GET", "/api/v1/namespaces/default/events")).tree["items"][0]
            new = (await door.ask("GET", "/apis/events.k8s.io/v1/namespaces/default/events")).tree["items"][0]
            assert old["involvedObject"]["name"] == new["regarding"]["name"] == "a"
            assert "regarding" not in old
