"""Which flow a request is of, and who gets a seat when."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.errors import TooManyRequests
from bireme.api.selectors import FieldSelector
from bireme.apiserver import flows
from bireme.apiserver.fair_queues import Level, LevelSpec, deal, level_spec, share_out
from bireme.apiserver.flowcontrol import FlowControl
from bireme.apiserver.routes import find_route
from bireme.apiserver.widths import list_seats, width, write_seats
from bireme.http.interface import Identity, Query
from bireme.registry.access import Attempt
from bireme.registry.flow_defaults import default_levels, default_schemas, keep_flow_objects
from bireme.registry.selection import Selection
from bireme.store.interface import Revision

MAPS = "/api/v1/namespaces/default/configmaps"
ROOT = "/apis/flowcontrol.apiserver.k8s.io/v1"
SCHEMAS = flows.in_order(map(flows.compiled, default_schemas()))
EVERYBODY = ("system:authenticated",)


def user(name, *groups):
    return Identity(name, (*groups, *EVERYBODY))


NODE = user("system:node:n", "system:nodes")


@pytest.mark.parametrize(
    ("who", "attempt", "expected"),
    [
        (user("root", "system:masters"), Attempt("get", resource="pods", namespace="a"), "exempt"),
        (user("eve"), Attempt("get", path="/livez"), "probes"),
        (user("eve"), Attempt("get", path="/livez/ping"), "global-default"),
        (user("eve"), Attempt("get", path="/apis"), "global-default"),
        (
            user("system:kube-scheduler"),
            Attempt("update", "coordination.k8s.io", resource="leases", namespace="kube-system"),
            "system-leader-election",
        ),
        (user("system:kube-scheduler"), Attempt("create", resource="pods", namespace="a"), "kube-scheduler"),
        (NODE, Attempt("patch", resource="nodes", subresource="status"), "system-node-high"),
        (
            NODE,
            Attempt("update", "coordination.k8s.io", resource="leases", namespace="kube-node-lease"),
            "system-node-high",
        ),
        (NODE, Attempt("list", resource="pods"), "system-nodes"),
        (
            user("system:serviceaccount:kube-system:dns", "system:serviceaccounts"),
            Attempt("list", resource="pods"),
            "kube-system-service-accounts",
        ),
        (
            user("system:serviceaccount:a:b", "system:serviceaccounts"),
            Attempt("list", resource="pods", namespace="a"),
            "service-accounts",
        ),
        (Identity("nobody"), Attempt("list", resource="pods"), None),
    ],
)  # fmt: skip
def test_the_first_schema_that_matches(who, attempt, expected):
    assert next((schema.name for schema in SCHEMAS if schema.matches(who, attempt)), None) == expected


def test_flows_are_told_apart_by_user_or_namespace():
    by_name = {schema.name: schema for schema in SCHEMAS}
    attempt = Attempt("list", resource="pods", namespace="a")
    assert flows.flow_of(by_name["global-default"], user("eve"), attempt) == "eve"
    assert flows.flow_of(by_name["kube-scheduler"], user("eve"), attempt) == "a"
    assert flows.flow_of(by_name["exempt"], user("eve"), attempt) == ""


def test_shares_of_the_seats():
    levels: dict[str, Level] = {}
    for spec in map(level_spec, default_levels()):
        levels[spec.name] = Level(spec, levels.values())
    share_out(levels.values(), 600)
    assert {name: level.nominal for name, level in levels.items()} == {
        "exempt": 0,
        "system": 74,
        "node-high": 98,
        "leader-election": 25,
        "workload-high": 98,
        "workload-low": 245,
        "global-default": 49,
        "catch-all": 13,
    }
    assert levels["workload-low"].lendable == 220


@given(st.text(), st.integers(1, 128), st.integers(1, 10))
def test_a_hand_has_no_card_twice(flow, cards, hand):
    dealt = deal(flow, cards, min(hand, cards))
    assert len(set(dealt)) == len(dealt) == min(hand, cards)
    assert all(0 <= card < cards for card in dealt)


def level(nominal=1, **spec):
    made = Level(LevelSpec("l", **{"queues": 8, "hand": 2, "length": 50} | spec))
    made.nominal = nominal
    return made


def test_a_flow_that_floods_does_not_keep_others_from_their_turn():
    one = level()
    assert one.take(1)
    served: list[str] = []
    for _ in range(20):
        assert one.join("flood", 1, lambda: served.append("flood"))
    quiet = next(name for name in map(str, range(99)) if not set(deal(name, 8, 2)) & set(deal("flood", 8, 2)))
    for _ in range(2):
        assert one.join(quiet, 1, lambda: served.append("quiet"))
    for _ in range(6):
        one.give_back(1)
    assert Counter(served)["quiet"] == 2
    assert one.in_use == 1


def test_a_full_queue_and_a_level_without_queues_refuse():
    one = level(length=1, hand=1, queues=1)
    assert one.take(1)
    assert one.join("a", 1, lambda: None)
    assert one.join("b", 1, lambda: None) is None
    assert level(queues=0).join("a", 1, lambda: None) is None


def test_who_comes_while_others_wait_waits_too():
    one = level(nominal=2)
    assert one.take(2)
    waiting = one.join("a", 2, lambda: None)
    one.give_back(1)
    assert not one.take(1)
    assert waiting
    assert one.leave(waiting)
    assert not one.leave(waiting)
    assert one.take(1)


def test_a_request_wider_than_its_level_is_served_alone():
    one = level(nominal=2)
    assert one.take(10)
    assert not one.take(1)


def test_seats_are_borrowed_from_who_lends_and_does_not_use_them():
    levels: list[Level] = []
    lender = Level(LevelSpec("lender", lendable_percent=50), levels)
    other = Level(LevelSpec("other", queues=1, hand=1, length=9), levels)
    levels += [lender, other]
    lender.nominal, other.nominal = 4, 1
    assert [other.take(1) for _ in range(4)] == [True, True, True, False]
    assert lender.take(3)
    other.give_back(1)
    assert not other.take(1)  # the lender has taken back what it lent
    calls: list[int] = []
    other.join("a", 1, lambda: calls.append(1))
    lender.give_back(3)
    assert calls == [1]


def test_writes_take_a_seat_for_each_ten_watchers():
    assert [write_seats(watchers) for watchers in (0, 1, 10, 11, 99, 100_000)] == [1, 1, 1, 2, 10, 10]


async def test_what_requests_take_by_the_work_they_make(opened):
    async with opened() as door:
        for number in range(150):
            await door.make(MAPS, {"metadata": {"name": f"c{number}"}})
        kind = door.registry.kind("", "v1", "configmaps")
        level = Level(LevelSpec("some"))
        level.nominal = 100

        def seats(method: str, path: str) -> int:
            path, _, query = path.partition("?")
            asked = Query.parse(query)
            route = find_route(door.registry.kinds, method, path, watching=asked.flag("watch"))
            return width(route, asked, door.registry.cache, level)

        assert seats("GET", MAPS) == 2
        assert seats("GET", f"{MAPS}?limit=10") == 1
        assert seats("GET", f"{MAPS}/c1") == 1
        assert seats("GET", f"{MAPS}?fieldSelector=metadata.name%3Dc1") == 1
        assert seats("GET", f"{MAPS}?watch=1") == 2
        assert seats("GET", f"{MAPS}?watch=1&resourceVersion=7&sendInitialEvents=true") == 2
        assert seats("GET", f"{MAPS}?watch=1&resourceVersion=7") == 1
        cache = door.registry.cache.of(kind.stored)
        everything = Selection(kind.stored, "default")
        one = Selection(kind.stored, fields=FieldSelector.parse("metadata.name=c1", kind.resource.selectable))
        view = SimpleNamespace(key="v", frame=lambda *_: b"")
        watchers = [cache.watch(everything, view, after=cache.revision()) for _ in range(25)]
        watchers += [cache.watch(one, view, after=cache.revision()) for _ in range(25)]
        assert [seats(method, f"{MAPS}/c1") for method in ("PUT", "PATCH", "DELETE")] == [3, 3, 3]
        assert seats("POST", MAPS) == 3
        assert seats("POST", "/api/v1/namespaces/default/serviceaccounts/default/token") == 1
        level.nominal = 14
        assert seats("POST", MAPS) == 2, "no more than its part of the level"
        for watcher in watchers:
            watcher.close()
            watcher.close()
        assert (cache.broad, seats("POST", MAPS)) == (0, 1)


async def test_a_write_takes_its_seats_and_gives_them_back(opened):
    async with opened() as door:
        door.registry.cache.of(door.registry.kind("", "v1", "configmaps").stored).broad = 25
        control, taken = door.server._flows, []
        enter = control.enter

        async def noted(flow: Any, user: Any, attempt: Any, seats: int = 1) -> None:
            await enter(flow, user, attempt, seats)
            taken.append((seats, flow.level.in_use))

        control.enter = noted
        assert (await door.ask("POST", MAPS, {"metadata": {"name": "c"}}, user=user("eve"))).status == 403
        assert taken == [(3, 3)]
        assert all(level.in_use == 0 for level in control.levels() if not level.exempt)


def test_lists_take_a_seat_for_each_hundred_objects():
    assert [list_seats(objects, limit) for objects, limit in ((0, 0), (101, 0), (9999, 0), (9999, 50))] == [
        1,
        2,
        10,
        1,
    ]


async def test_answers_name_their_flow(opened):
    async with opened() as door:
        schema = (await door.ask("GET", f"{ROOT}/flowschemas/exempt")).tree
        level = (await door.ask("GET", f"{ROOT}/prioritylevelconfigurations/exempt")).tree
        for path, status in (("/api/v1/nodes", 200), ("/api/v1/nodes/none", 404), ("/apis", 200)):
            reply = await door.ask("GET", path)
            assert reply.status == status
            assert reply.headers["x-kubernetes-pf-flowschema-uid"] == schema["metadata"]["uid"]
            assert reply.headers["x-kubernetes-pf-prioritylevel-uid"] == level["metadata"]["uid"]


async def test_the_default_objects_are_there_and_put_right(opened):
    async with opened() as door:
        names = [item["metadata"]["name"] for item in (await door.ask("GET", f"{ROOT}/flowschemas")).tree["items"]]
        assert {"catch-all", "exempt", "probes", "global-default", "system-nodes"} <= set(names)
        conditions = (await door.ask("GET", f"{ROOT}/flowschemas/probes")).tree["status"]["conditions"]
        assert (conditions[0]["type"], conditions[0]["status"], conditions[0]["reason"]) == (
            "Dangling",
            "False",
            "Found",
        )
        await door.ask("DELETE", f"{ROOT}/flowschemas/catch-all")
        await door.ask("DELETE", f"{ROOT}/prioritylevelconfigurations/system")
        mine = {
            "metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}},
            "spec": {"matchingPrecedence": 7},
        }
        theirs = {"spec": {"matchingPrecedence": 7}}
        for name, change in (("probes", mine), ("service-accounts", theirs)):
            reply = await door.ask(
                "PATCH", f"{ROOT}/flowschemas/{name}", change, content_type="application/merge-patch+json"
            )
            assert reply.status == 200
        await keep_flow_objects(door.registry)
        for path in ("flowschemas/catch-all", "prioritylevelconfigurations/system"):
            assert (await door.ask("GET", f"{ROOT}/{path}")).status == 200
        kept = {
            name: (await door.ask("GET", f"{ROOT}/flowschemas/{name}")).tree["spec"]["matchingPrecedence"]
            for name in ("probes", "service-accounts")
        }
        assert kept == {"probes": 7, "service-accounts": 9000}


async def test_a_level_made_at_run_time_refuses_at_once(opened):
    async with opened() as door:
        limited = {"nominalConcurrencyShares": 0, "limitResponse": {"type": "Reject"}}
        await door.make(
            f"{ROOT}/prioritylevelconfigurations",
            {
                "metadata": {"name": "none"},
                "spec": {"type": "Limited", "limited": {**limited, "borrowingLimitPercent": 0}},
            },
        )
        rule = {
            "subjects": [{"kind": "User", "user": {"name": "eve"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }
        spec = {"priorityLevelConfiguration": {"name": "none"}, "matchingPrecedence": 5, "rules": [rule]}
        eve = Identity("eve")
        assert (await door.ask("GET", "/apis", user=eve)).status == 200
        await door.make(f"{ROOT}/flowschemas", {"metadata": {"name": "eve"}, "spec": spec})
        await door.ask("GET", f"{ROOT}/flowschemas")  # the watch cache has come that far
        refused = await door.ask("GET", "/apis", user=eve)
        assert (refused.status, refused.tree["reason"], refused.headers["retry-after"]) == (
            429,
            "TooManyRequests",
            "1",
        )
        await door.ask("DELETE", f"{ROOT}/flowschemas/eve")
        await door.ask("GET", f"{ROOT}/flowschemas")
        assert (await door.ask("GET", "/apis", user=eve)).status == 200


async def test_requests_wait_for_their_turn_and_are_counted(opened):
    async with opened() as door:
        control = FlowControl(door.registry, seats=1)
        eve, attempt = user("eve"), Attempt("get", resource="pods", namespace="a")
        flow = control.flow(eve, attempt)
        assert control.flow(eve, attempt) is flow
        taken = 0
        while flow.level.take(1):
            taken += 1
        order: list[int] = []

        async def one(number: int) -> None:
            await control.enter(flow, eve, attempt)
            order.append(number)

        async with asyncio.TaskGroup() as tasks:
            for number in range(3):
                tasks.create_task(one(number))
            gone = tasks.create_task(one(9))
            await asyncio.sleep(0)
            assert flow.in_queue == 4
            gone.cancel()
            for _ in range(3):
                flow.level.give_back(1)
        assert sorted(order) == [0, 1, 2]
        assert (flow.dispatched, flow.in_queue, flow.rejected["cancelled"]) == (3, 0, 1)
        assert flow.level.in_use == taken


async def test_a_request_that_waits_too_long_is_refused(opened, monkeypatch):
    monkeypatch.setattr("bireme.apiserver.flowcontrol.LONGEST_WAIT_S", 0.01)
    async with opened() as door:
        control = FlowControl(door.registry, seats=1)
        eve, attempt = user("eve"), Attempt("get", resource="pods", namespace="a")
        flow = control.flow(eve, attempt)
        while flow.level.take(1):
            pass
        with pytest.raises(TooManyRequests):
            await control.enter(flow, eve, attempt)
        assert (flow.level.waiting, flow.rejected["time-out"]) == (0, 1)


@pytest.mark.parametrize(
    ("plural", "spec", "field", "words"),
    [
        ("flowschemas", {"matchingPrecedence": 0}, "spec.matchingPrecedence", "must be a positive value"),
        ("flowschemas", {"matchingPrecedence": 1}, "spec.matchingPrecedence", "only the schema named 'exempt'"),
        ("flowschemas", {}, "spec.priorityLevelConfiguration.name", "must reference a priority level"),
        ("flowschemas", {"rules": [{"subjects": []}]}, "spec.rules[0].subjects", "must contain at least one value"),
        ("prioritylevelconfigurations", {"type": "Limited"}, "spec.limited", "must not be empty"),
        (
            "prioritylevelconfigurations",
            {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": 2}}}},
            "spec.limited.limitResponse.queuing.handSize",
            "should not be greater than queues (2)",
        ),
        (
            "prioritylevelconfigurations",
            {
                "type": "Limited",
                "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": 10**7, "handSize": 10**6}}},
            },
            "spec.limited.limitResponse.queuing.handSize",
            "required entropy bits",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused(opened, plural, spec, field, words):
    async with opened() as door:
        reply = await door.ask("POST", f"{ROOT}/{plural}", {"metadata": {"name": "tried"}, "spec": spec})
        assert reply.status == 422
        causes = {cause["field"]: cause["message"] for cause in reply.tree["details"]["causes"]}
        assert words in causes[field]


async def test_a_kept_object_that_makes_no_sense_stops_nobody(opened):
    async with opened() as door:
        kind = door.registry.kind("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
        kept = b'{"kind":"FlowSchema","apiVersion":"flowcontrol.apiserver.k8s.io/v1","metadata":{"name":"odd"}}'
        await door.registry.store.put(kind.key("", "odd"), kept, expect=Revision(0))
        assert "odd" in str((await door.ask("GET", f"{ROOT}/flowschemas")).tree)
        assert (await door.ask("GET", "/apis")).status == 200
