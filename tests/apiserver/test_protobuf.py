"""Answers and watches in protobuf, and which form a client gets."""

import struct
from collections.abc import AsyncIterator

import pytest

from bireme.api.codec import protobuf, protobuf_encoder
from bireme.api.errors import NotAcceptable
from bireme.apiserver.negotiation import JSON, PROTOBUF, YAML, Accepted, accepted
from bireme.http.interface import Response, Stream

CONFIGS = "/api/v1/namespaces/default/configmaps"
APPS = "/apis/marathon.bireme.dev/v1/apps"
PARTIAL = f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIALS = f"{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def config(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"a": "b"}}, "data": data}


async def ask(door, method, path, tree=None, *, accept=PROTOBUF):
    """The answer read from protobuf."""
    body = None if tree is None else protobuf_encoder.encode(tree)
    made = await door.raw(method, path, body, content_type=PROTOBUF, accept=accept)
    assert isinstance(made, Response | Stream)
    assert made.content_type == PROTOBUF, made
    whole = made.body if isinstance(made, Response) else b"".join([chunk async for chunk in made.chunks])
    return made.status, protobuf.decode(whole)


async def frames(made: Stream) -> AsyncIterator[tuple[str, dict]]:
    async for chunk in made.chunks:
        while chunk:
            (size,) = struct.unpack(">I", chunk[:4])
            event = protobuf.decode(chunk[4 : 4 + size])
            chunk = chunk[4 + size :]
            yield event["type"], event["object"]


async def test_an_object_is_made_read_listed_and_deleted(opened):
    async with opened() as door:
        status, made = await ask(door, "POST", CONFIGS, config("a", k="v"))
        assert (status, made["data"], made["kind"]) == (201, {"k": "v"}, "ConfigMap")
        status, found = await ask(door, "GET", f"{CONFIGS}/a")
        assert (status, found) == (200, made)
        json = (await door.ask("GET", f"{CONFIGS}/a")).tree
        assert {**json["metadata"], "creationTimestamp": ""} == {**found["metadata"], "creationTimestamp": ""}
        await ask(door, "POST", CONFIGS, config("b"))
        _, listed = await ask(door, "GET", f"{CONFIGS}?limit=1")
        assert listed["kind"] == "ConfigMapList"
        assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]
        assert listed["metadata"]["remainingItemCount"] == 1
        again = await ask(door, "GET", f"{CONFIGS}?continue={listed['metadata']['continue']}")
        assert [item["metadata"]["name"] for item in again[1]["items"]] == ["b"]
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "other"}}
        status, refused = await ask(door, "DELETE", f"{CONFIGS}/a", options)
        assert (status, refused["kind"], refused["reason"]) == (409, "Status", "Conflict")
        status, gone = await ask(door, "DELETE", f"{CONFIGS}/a", {**options, "preconditions": {}})
        assert (status, gone["status"], gone["details"]["name"]) == (200, "Success", "a")


async def test_a_watch_sends_frames(opened):
    async with opened() as door:
        _, made = await ask(door, "POST", CONFIGS, config("a", k="v"))
        query = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        watch = await door.raw("GET", f"{CONFIGS}?{query}", accept=f"{PROTOBUF},{JSON}")
        assert watch.content_type == f"{PROTOBUF};stream=watch"
        events = frames(watch)
        assert await anext(events) == ("ADDED", made)
        kind, mark = await anext(events)
        assert (kind, mark["kind"]) == ("BOOKMARK", "ConfigMap")
        assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        await door.ask("DELETE", f"{CONFIGS}/a")
        kind, gone = await anext(events)
        assert (kind, gone["data"]) == ("DELETED", {"k": "v"})
        assert int(gone["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        await watch.chunks.aclose()


async def test_metadata_alone_of_any_kind(opened):
    async with opened() as door:
        await ask(door, "POST", CONFIGS, config("a", k="v"))
        await door.make(APPS, {"metadata": {"name": "app"}, "spec": {"id": "/app"}})
        for path, name in ((CONFIGS, "a"), (APPS, "app")):
            _, one = await ask(door, "GET", f"{path}/{name}", accept=PARTIAL)
            assert (one["kind"], one["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
            assert "data" not in one
            assert one["metadata"]["uid"]
            _, several = await ask(door, "GET", path, accept=f"{PARTIALS},{JSON}")
            assert several["kind"] == "PartialObjectMetadataList"
            assert [item["metadata"]["name"] for item in several["items"]] == [name]
            watch = await door.raw("GET", f"{path}?watch=1", accept=PARTIAL)
            kind, seen = await anext(frames(watch))
            assert (kind, seen) == ("ADDED", one)
            await watch.chunks.aclose()


async def test_other_kinds_have_json_only(opened):
    async with opened() as door:
        await door.make(APPS, {"metadata": {"name": "app"}, "spec": {"id": "/app"}})
        assert (await door.ask("GET", APPS, accept=f"{PROTOBUF},{JSON}")).tree["kind"] == "AppList"
        status, refused = await ask(door, "GET", APPS)
        assert (status, refused["reason"]) == (406, "NotAcceptable")


async def test_reviews_and_deeds_are_answered(opened):
    async with opened() as door:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
        }
        _, made = await ask(door, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        assert made["status"]["allowed"] is True
        deployment = {
            "metadata": {"name": "d"},
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": [{"name": "c", "image": "i"}]},
                },
            },
        }
        path = "/apis/apps/v1/namespaces/default/deployments"
        await door.make(path, deployment)
        _, scale = await ask(door, "GET", f"{path}/d/scale")
        assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 1})
        status, scaled = await ask(door, "PUT", f"{path}/d/scale", {**scale, "spec": {"replicas": 0}})
        assert (status, scaled["spec"]) == (200, {})
        assert (await door.ask("GET", f"{path}/d")).tree["spec"]["replicas"] == 0


async def test_events_of_both_groups(opened):
    async with opened() as door:
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "e", "namespace": "default"},
            "eventTime": "2026-01-01T00:00:00.123456Z",
            "reportingController": "c",
            "reportingInstance": "i",
            "action": "a",
            "reason": "r",
            "type": "Normal",
            "note": "n",
            "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
        }
        await ask(door, "POST", "/apis/events.k8s.io/v1/namespaces/default/events", event)
        _, new = await ask(door, "GET", "/apis/events.k8s.io/v1/namespaces/default/events/e")
        assert (new["note"], new["eventTime"]) == ("n", "2026-01-01T00:00:00.123456Z")
        _, old = await ask(door, "GET", "/api/v1/namespaces/default/events/e")
        assert (old["message"], old["involvedObject"]["name"]) == ("n", "p")


async def test_errors_without_a_form_are_json(opened):
    async with opened() as door:
        assert (await door.ask("GET", f"{CONFIGS}/none", accept="text/html")).tree["reason"] == "NotAcceptable"
        yaml = await door.ask("GET", f"{CONFIGS}/none", accept=YAML)
        assert (yaml.status, b"reason: NotFound" in yaml.body) == (404, True)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("", Accepted(JSON), id="nothing said"),
        pytest.param("*/*", Accepted(JSON), id="anything"),
        pytest.param(f"{PROTOBUF},{JSON}", Accepted(PROTOBUF), id="the first wins"),
        pytest.param(f"{PROTOBUF};q=0.5,{JSON};q=0.8", Accepted(JSON), id="the better wins"),
        pytest.param(f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,{JSON}", Accepted(JSON), id="no tables in protobuf"),
        pytest.param(f"{JSON};as=Table;v=v1;g=meta.k8s.io", Accepted(JSON, "Table"), id="a table"),
        pytest.param(PARTIAL, Accepted(PROTOBUF, "Partial"), id="metadata"),
    ],
)
def test_negotiation(header, expected):
    assert accepted(header) == expected


def test_watches_are_not_in_yaml():
    with pytest.raises(NotAcceptable, match="json;stream=watch, application/vnd"):
        accepted(YAML, watch=True)


async def test_watchers_share_what_was_encoded(opened, monkeypatch):
    async with opened() as door:
        made = []
        real = protobuf_encoder.body
        monkeypatch.setattr(protobuf_encoder, "body", lambda name, tree: made.append(name) or real(name, tree))
        watches = [await door.raw("GET", f"{CONFIGS}?watch=1", accept=PROTOBUF) for _ in range(3)]
        await door.make(CONFIGS, config("a"))
        seen = [await anext(frames(watch)) for watch in watches]
        assert len({event["metadata"]["uid"] for _, event in seen}) == 1
        assert made.count("api.core.v1.ConfigMap") == 1
        for watch in watches:
            await watch.chunks.aclose()
