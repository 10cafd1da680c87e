"""Events in both their groups."""

import pytest


def event(name, namespace, **more):
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"tried": "yes"}},
        "eventTime": "2026-01-01T00:00:00.123456Z",
        "reportingController": "tried",
        "reportingInstance": "tried-1",
        "action": "Do",
        "reason": "Test",
        "type": "Normal",
        "note": "This is a test",
        "regarding": {"kind": "Pod", "namespace": namespace, "name": "p"},
        **more,
    }


@pytest.mark.conformance("IN-001")
def test_a_collection_of_new_events_is_deleted(api, namespace):
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    for name in ("a", "b", "c"):
        api.create(path, event(name, namespace))
    assert len(api.get(f"{path}?labelSelector=tried%3Dyes")["items"]) == 3
    api.delete(f"{path}?labelSelector=tried%3Dyes")
    assert api.get(f"{path}?labelSelector=tried%3Dyes")["items"] == []


@pytest.mark.conformance("IN-002")
def test_a_new_event_lives(api, namespace):
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    made = api.create(path, event("a", namespace))
    everywhere = api.get("/apis/events.k8s.io/v1/events?labelSelector=tried%3Dyes")["items"]
    assert "a" in [one["metadata"]["name"] for one in everywhere if one["metadata"]["namespace"] == namespace]
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.654321Z"}
    patched = api.patch(f"{path}/a", {"series": series})
    assert patched["series"] == series
    assert api.get(f"{path}/a")["series"] == series
    series["count"] = 100
    assert api.update(f"{path}/a", {**patched, "series": series})["series"]["count"] == 100
    assert made["note"] == api.get(f"/api/v1/namespaces/{namespace}/events/a")["message"]
    api.delete(f"{path}/a")
    assert api.ask("GET", f"{path}/a").status_code == 404


def core_event(name, namespace):
    return {
        "metadata": {"name": name, "labels": {"tried": "yes"}},
        "involvedObject": {"namespace": namespace, "kind": "Pod", "name": "p"},
        "message": "This is a test event",
        "reason": "Test",
        "type": "Normal",
        "count": 1,
    }


@pytest.mark.conformance("IN-003")
def test_a_collection_of_events_is_deleted(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/events"
    for name in ("a", "b", "c"):
        api.create(path, core_event(name, namespace))
    api.delete(f"{path}?labelSelector=tried%3Dyes")
    assert api.get(f"{path}?labelSelector=tried%3Dyes")["items"] == []


@pytest.mark.conformance("IN-004")
def test_an_event_lives(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/events"
    api.create(path, core_event("a", namespace))
    everywhere = api.get("/api/v1/events?labelSelector=tried%3Dyes")["items"]
    assert "a" in [one["metadata"]["name"] for one in everywhere if one["metadata"]["namespace"] == namespace]
    assert api.patch(f"{path}/a", {"message": "patched"})["message"] == "patched"
    found = api.get(f"{path}/a")
    series = {"count": 1, "lastObservedTime": "2026-01-01T00:01:00.654321Z"}
    assert api.update(f"{path}/a", {**found, "series": series})["series"] == series
    selected = api.get(f"{path}?fieldSelector=involvedObject.name%3Dp,reason%3DTest")["items"]
    assert [one["metadata"]["name"] for one in selected] == ["a"]
    api.delete(f"{path}/a")
    assert api.ask("GET", f"{path}/a").status_code == 404


def test_kubectl_shows_them(api, namespace, kubectl):
    api.create(f"/api/v1/namespaces/{namespace}/events", core_event("a", namespace))
    assert "This is a test event" in kubectl("get", "events")
    assert "This is a test event" in kubectl("events")
