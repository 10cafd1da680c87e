"""State as objects of the real API, and back."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from marathon_build import NOW, app, instance  # noqa: E402

from bireme.api.kinds import marathon as kinds  # noqa: E402
from bireme.marathon import deployment, records  # noqa: E402
from bireme.marathon.model import Group, Root  # noqa: E402
from bireme.marathon.records import Past  # noqa: E402
from support.cluster import cluster  # noqa: E402

T1, T2 = "2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"


async def test_a_deployment_comes_back_as_it_was() -> None:
    same = app("/g/same", config=T1)
    before = Root({"/g/gone": app("/g/gone"), "/g/same": same}, {"/g": Group("/g", T1, ("/x",), True)})
    after = Root({"/g/new": app("/g/new", env={"A": ""}), "/g/same": app("/g/same", cmd="y", config=T2)}, {})
    plan = deployment.plan(before, after, id="d", version=T2)
    async with cluster() as here:
        obj = records.deployment_object(plan, 1)
        obj.metadata.name = plan.id
        stored = await here.client.create(obj)
    assert records.read_deployment(stored) == (plan, 1)


async def test_an_instance_comes_back_as_it_was() -> None:
    checked = app(healthChecks=[{"protocol": "MESOS_TCP"}], portDefinitions=[{"port": 0}, {"port": 0}])
    one = instance(
        checked, "shop_cart.instance-1", mesos_healthy=False, addresses=["10.0.0.9"], goal="Decommissioned"
    )
    one.host_ports, one.started_at = (31000, None), NOW
    one.attributes = [{"name": "rack", "type": "TEXT", "text": {"value": "r1"}}]
    async with cluster() as here:
        obj = records.instance_object(one)
        obj.metadata.name = records.instance_name(one)
        stored = await here.client.create(obj)
    assert records.read_instance(stored) == replace(one)


async def test_history_comes_back_with_its_deletions() -> None:
    past = Past(most=3)
    key = past.note("App", "/a", T1, app("/a").tree)
    past.note("App", "/a", T2, None)
    async with cluster() as here:
        obj = past.history_object(key)
        obj.metadata.name = records.history_name(key)
        stored = await here.client.create(obj)
    again = Past(most=3)
    again.restore(stored)
    assert again.versions("App", "/a") == []
    assert again.as_of("App", T1) == {"/a": app("/a").tree}
    assert again.as_of("App", T2) == {}


def test_history_forgets_the_oldest() -> None:
    past = Past(most=2)
    for number in range(4):
        past.note("App", "/a", f"2026-01-0{number + 1}T00:00:00.000Z", {"n": number})
    assert past.versions("App", "/a") == ["2026-01-04T00:00:00.000Z", "2026-01-03T00:00:00.000Z"]


@pytest.mark.parametrize("paths", [("/a.b/c", "/a/b.c", "/a/b/c"), ("/" + "x/" * 200 + "a", "/" + "x/" * 200 + "b")])
def test_names_of_objects_differ(paths: tuple[str, ...]) -> None:
    names = {records.name_of(path) for path in paths}
    assert len(names) == len(paths)
    assert all(len(name) < 220 for name in names)
    assert kinds.App.__gvk__[2] == "App"
