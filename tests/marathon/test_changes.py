"""Groups before and after a request, and the steps between."""

import pytest

from bireme.marathon import changes, deployment
from bireme.marathon.changes import Policy, settle
from bireme.marathon.errors import MarathonError
from bireme.marathon.model import App, Group, Root, Tree

T1, T2, T3 = (f"2026-01-0{day}T00:00:00.000Z" for day in (1, 2, 3))
SLEEP: Tree = {"cmd": "sleep 1", "portDefinitions": []}


def group(root: Root, path: str, update: Tree, version: str = T1, policy: Policy | None = None) -> Root:
    policy = policy or Policy()
    return settle(root, changes.update_group(root, path, update, policy), version=version, policy=policy)


def steps(old: Root, new: Root) -> list[list[str]]:
    plan = deployment.plan(old, new, id="d", version=T2)
    return [[f"{each.kind} {each.app}" for each in step] for step in plan.steps]


def shop() -> Root:
    apps = [{"id": name, **SLEEP} for name in ("db", "web", "old")]
    apps[1] |= {"dependencies": ["db"]}
    return group(Root(), "/shop", {"apps": apps})


def test_a_new_group_starts_level_by_level() -> None:
    assert steps(Root(), shop()) == [
        ["StartApplication /shop/db", "StartApplication /shop/old", "StartApplication /shop/web"],
        ["ScaleApplication /shop/db", "ScaleApplication /shop/old"],
        ["ScaleApplication /shop/web"],
    ]


def test_only_what_changed_is_touched() -> None:
    before = shop()
    update = {
        "apps": [
            {"id": "db", **SLEEP, "instances": 2},
            {"id": "web", **SLEEP, "cmd": "sleep 2", "dependencies": ["db"]},
            {"id": "new", **SLEEP},
        ]
    }
    assert steps(before, group(before, "/shop", update, T2)) == [
        ["StopApplication /shop/old"],
        ["StartApplication /shop/new"],
        ["ScaleApplication /shop/db", "ScaleApplication /shop/new"],
        ["RestartApplication /shop/web"],
    ]


def test_the_same_again_is_no_change() -> None:
    before = shop()
    apps = [{"id": name, **SLEEP} for name in ("db", "web", "old")]
    apps[1] |= {"dependencies": ["db"]}
    after = group(before, "/shop", {"apps": apps}, T2)
    assert after == before
    assert steps(before, after) == []


def test_scaling_keeps_the_stamp_of_the_configuration() -> None:
    before = shop()
    after = group(before, "/shop", {"scaleBy": 1.5}, T2)
    assert after.apps["/shop/db"].instances == 2
    assert (after.apps["/shop/db"].version, after.apps["/shop/db"].config_version) == (T2, T1)


def test_groups_depend_too() -> None:
    root = group(
        Root(),
        "/",
        {
            "groups": [
                {"id": "front", "dependencies": ["/back"], "apps": [{"id": "web", **SLEEP}]},
                {"id": "back", "apps": [{"id": "db", **SLEEP}]},
            ]
        },
    )
    assert deployment.levels(root) == {"/back/db": 0, "/front/web": 1}


def test_lists_that_are_missing_leave_things_be() -> None:
    before = group(shop(), "/shop", {"groups": [{"id": "deep", "apps": [{"id": "x", **SLEEP}]}]}, T2)
    assert set(before.apps) == {"/shop/db", "/shop/web", "/shop/old", "/shop/deep/x"}
    assert set(group(before, "/shop", {"groups": []}, T3).apps) == {"/shop/db", "/shop/web", "/shop/old"}


def test_service_ports_are_unique_and_stay() -> None:
    ports = [{"port": 0}, {"port": 10001}, {"port": 0}]
    before = group(Root(), "/a", {"apps": [{"id": "x", "cmd": "y", "portDefinitions": ports}]})
    assert before.apps["/a/x"].service_ports == [10000, 10001, 10002]
    after = group(before, "/a", {"apps": [{"id": "x", "cmd": "z", "portDefinitions": ports}]}, T2)
    assert after.apps["/a/x"].service_ports == [10000, 10001, 10002]
    few = Policy(ports=range(1, 2))
    with pytest.raises(MarathonError, match="already in use"):
        group(Root(), "/a", {"apps": [{"id": "x", "cmd": "y", "portDefinitions": ports}]}, policy=few)


def test_a_group_may_enforce_its_role() -> None:
    root = group(Root(), "/prod", {"enforceRole": True, "apps": [{"id": "x", **SLEEP}]})
    assert root.apps["/prod/x"].role == "prod"
    with pytest.raises(MarathonError, match="not valid"):
        group(Root(), "/prod", {"enforceRole": True, "apps": [{"id": "x", "role": "dev", **SLEEP}]})


def test_what_goes_back_keeps_its_tasks() -> None:
    before = shop()
    changed = group(before, "/shop", {"apps": [{"id": "db", **SLEEP, "cmd": "broken"}]}, T2)
    plan = deployment.plan(before, changed, id="d", version=T2)
    back = deployment.revert(changed, plan)
    settled = settle(changed, back, version=T3, policy=Policy(), known=plan.original.apps)
    assert settled.apps["/shop/db"].config_version == T1
    assert settled.apps["/shop/db"].version == T3
    assert set(settled.apps) == set(before.apps)


def test_an_app_may_not_stand_where_a_group_is() -> None:
    with pytest.raises(MarathonError) as caught:
        settle(
            Root(), shop().with_app(App(shop().apps["/shop/db"].tree | {"id": "/shop"})), version=T2, policy=Policy()
        )
    assert caught.value.status == 409


def test_a_restart_stamps_the_configuration() -> None:
    before = shop()
    after = settle(before, before, version=T2, policy=Policy(), restart=("/shop/db",))
    assert steps(before, after) == [["RestartApplication /shop/db"]]


def test_apply_and_revert_are_each_others_opposite() -> None:
    before = shop().with_group(Group("/empty", T1))
    after = group(before, "/shop", {"apps": []}, T2)
    plan = deployment.plan(before, after, id="d", version=T2)
    assert deployment.apply(before, plan.target) == after
    assert deployment.apply(after, plan.original) == before
    assert deployment.revert(after, plan) == before
