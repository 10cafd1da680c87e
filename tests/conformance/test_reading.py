"""Lists in chunks, watches, and the forms of answers."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conformance_tools import wait_until

TEMPLATE = {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}


def fill(api, path, number):
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: api.create(path, {"metadata": {"name": f"template-{n:04}"}, **TEMPLATE}), range(number)
            )
        )


@pytest.mark.conformance("AM-087")
def test_a_list_in_chunks_shows_one_state(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/podtemplates"
    fill(api, path, 400)
    seen, token, versions, left = [], "", set(), 400
    while True:
        page = api.get(f"{path}?limit=57&continue={token}")
        names = [item["metadata"]["name"] for item in page["items"]]
        left -= len(names)
        seen += names
        versions.add(page["metadata"]["resourceVersion"])
        assert page["metadata"].get("remainingItemCount", 0) == left
        api.create(path, {"metadata": {"generateName": "later-"}, **TEMPLATE})
        token = page["metadata"].get("continue", "")
        if not token:
            break
        assert len(names) == 57
    assert seen == [f"template-{n:04}" for n in range(400)]
    assert len(versions) == 1
    assert len(api.get(path)["items"]) > 400


@pytest.mark.conformance("AM-088")
def test_a_walk_that_took_too_long_goes_on_with_what_is_there_now(forgetful):
    path = "/api/v1/namespaces/default/podtemplates"
    fill(forgetful, path, 40)
    first = forgetful.get(f"{path}?limit=4")
    token = first["metadata"]["continue"]

    def expired():
        forgetful.create(path, {"metadata": {"generateName": "x-"}, **TEMPLATE})
        answer = forgetful.ask("GET", f"{path}?limit=4&continue={token}")
        return answer.json() if answer.status_code == 410 else None

    status = wait_until(expired)
    assert status["reason"] == "Expired"
    assert "use the continue token in this response" in status["message"]
    names, token, versions = [], status["metadata"]["continue"], set()
    while token:
        page = forgetful.get(f"{path}?limit=4&continue={token}")
        names += [item["metadata"]["name"] for item in page["items"] if item["metadata"]["name"].startswith("t")]
        versions.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue", "")
    assert names == [f"template-{n:04}" for n in range(4, 40)]
    assert len(versions) == 1
    assert versions != {first["metadata"]["resourceVersion"]}


@pytest.mark.conformance("AM-089")
def test_a_review_is_not_shown_as_a_table(api):
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    refused = api.ask("POST", path, review, accept=table)
    assert (refused.status_code, refused.json()["reason"]) == (406, "NotAcceptable")
    assert "only the following media types are accepted" in refused.json()["message"]


def deeds(api, path, names):
    """Make, change and delete; the resource versions of what follows each make."""
    for name in names:
        api.create(path, {"metadata": {"name": name, "labels": {"watched": "yes"}}})
        api.patch(f"{path}/{name}", {"data": {"turn": "1"}})
        api.delete(f"{path}/{name}")


def told(events):
    return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


@pytest.mark.conformance("AM-095")
def test_a_watch_goes_on_where_another_stopped(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    selected = f"{path}?labelSelector=watched%3Dyes"
    first = api.watch(selected)
    deeds(api, path, ["a"])
    seen = first.wait(lambda events: len(events) == 3)
    first.close()
    deeds(api, path, ["b"])
    last = seen[1]["object"]["metadata"]["resourceVersion"]
    second = api.watch(f"{selected}&resourceVersion={last}")
    second.wait(lambda events: len(events) >= 4)
    assert told(second.seen) == [("DELETED", "a"), ("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]
    second.close()


@pytest.mark.conformance("AM-096")
def test_a_watch_from_a_version_tells_what_came_after(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = api.create(path, {"metadata": {"name": "a", "labels": {"watched": "yes"}}})
    version = api.patch(f"{path}/a", {"data": {"turn": "1"}})["metadata"]["resourceVersion"]
    api.patch(f"{path}/a", {"data": {"turn": "2"}})
    api.delete(f"{path}/a")
    watch = api.watch(f"{path}?labelSelector=watched%3Dyes&resourceVersion={version}")
    watch.wait(lambda events: len(events) == 2)
    assert told(watch.seen) == [("MODIFIED", "a"), ("DELETED", "a")]
    assert watch.seen[0]["object"]["data"] == {"turn": "2"}
    assert int(watch.seen[1]["object"]["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    watch.close()


@pytest.mark.conformance("AM-097")
def test_each_watcher_is_told_what_it_asked_for(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    watches = {
        "a": api.watch(f"{path}?labelSelector=who%3Da"),
        "b": api.watch(f"{path}?labelSelector=who%3Db"),
        "both": api.watch(f"{path}?labelSelector=who+in+(a,b)"),
    }
    for who in ("a", "b"):
        api.create(path, {"metadata": {"name": who, "labels": {"who": who}}})
        api.patch(f"{path}/{who}", {"data": {"turn": "1"}})
        api.patch(f"{path}/{who}", {"data": {"turn": "2"}})
        api.delete(f"{path}/{who}")
    expected = {who: [(kind, who) for kind in ("ADDED", "MODIFIED", "MODIFIED", "DELETED")] for who in ("a", "b")}
    expected["both"] = expected["a"] + expected["b"]
    for name, watch in watches.items():
        watch.wait(lambda events, wanted=expected[name]: told(events) == wanted)
        watch.close()


@pytest.mark.conformance("AM-099")
def test_all_watches_see_the_same_order(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    selected = f"{path}?labelSelector=watched%3Dyes"
    watches = [api.watch(selected)]
    with ThreadPoolExecutor(4) as pool:
        for turn in range(5):
            names = [f"m-{turn}-{number}" for number in range(4)]
            list(pool.map(lambda name: deeds(api, path, [name]), names))
            from_start = api.get(selected)["metadata"]["resourceVersion"]
            watches.append(api.watch(f"{selected}&resourceVersion={from_start}"))
            time.sleep(0.01)
    deeds(api, path, ["last"])
    for watch in watches:
        watch.wait(lambda events: events and told(events)[-1] == ("DELETED", "last"))
    whole = [(event["type"], event["object"]["metadata"]["resourceVersion"]) for event in watches[0].seen]
    assert len(whole) == len(set(whole)) == 63
    assert [int(version) for _, version in whole] == sorted(int(version) for _, version in whole)
    for watch in watches:
        seen = [(event["type"], event["object"]["metadata"]["resourceVersion"]) for event in watch.seen]
        assert seen == whole[len(whole) - len(seen) :]
        watch.close()
