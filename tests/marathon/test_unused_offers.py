"""What is made of the launch queue's entries, as a real master's offers fill them."""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE)]

import pytest  # noqa: E402
from marathon_world import World, world  # noqa: E402

from bireme.marathon.unused_offers import Waiting, detail, waiting  # noqa: E402

APP = {"id": "/web", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32}


async def waits(here: World, app: dict[str, Any]) -> Waiting:
    """What is said of the app after a while in which it found no offer."""
    status, _ = await here.ask("POST", "/v2/apps", app)
    assert status == 201
    await here.pass_time(20)
    _, queue = await here.ask("GET", "/v2/queue?embed=lastUnusedOffers")
    [item] = queue["queue"]
    return waiting(item)


async def test_too_little_of_a_resource_is_told_in_figures() -> None:
    async with world(nodes=2) as here:
        found = await waits(here, APP | {"cpus": 64, "instances": 3})
        assert (found.app, found.count, found.instances, found.delay_s) == ("/web", 3, 3, 0)
        assert found.processed == found.unused > 0
        assert found.attempts == (("InsufficientCpus", found.unused),)
        [group] = found.refused
        assert group.reason == "InsufficientCpus"
        assert len(group.offers) == 2
        assert all(each.detail.startswith("cpus: wants 64, offered ") for each in group.offers)
        [advice] = found.advice
        assert advice.startswith("ask for ")
        assert "cpus instead of 64" in advice


async def test_a_constraint_is_told_with_what_is_there() -> None:
    async with world() as here:
        found = await waits(here, APP | {"instances": 2, "constraints": [["hostname", "UNIQUE"]]})
        assert (found.count, found.instances) == (1, 2)
        assert found.processed > found.unused > 0
        [group] = found.refused
        assert group.reason == "UnfulfilledConstraint"
        [offer] = group.offers
        assert offer.detail == f"constraint hostname UNIQUE: here {offer.host}"
        assert found.advice == ()


async def test_a_port_that_no_offer_has_is_told() -> None:
    async with world() as here:
        ports = {"portDefinitions": [{"port": 80, "protocol": "tcp"}], "requirePorts": True}
        found = await waits(here, APP | ports)
        [group] = found.refused
        assert group.reason == "InsufficientPorts"
        assert group.offers[0].detail.startswith("wants port 80, offered ")


OFFER = {
    "hostname": "n1",
    "resources": [{"name": "cpus", "role": "batch", "scalar": 4.0}, {"name": "cpus", "role": "*", "scalar": 0.5}],
    "attributes": [{"name": "rack", "text": "r1"}, {"name": "speed", "scalar": 2.0}],
}


@pytest.mark.parametrize(
    ("reason", "app", "expected"),
    [
        pytest.param(
            "UnfulfilledRole",
            {"role": "web", "acceptedResourceRoles": ["web"]},
            "takes resources of web, offered *, batch",
            id="roles",
        ),
        pytest.param(
            "InsufficientCpus",
            {"cpus": 1, "acceptedResourceRoles": ["*"]},
            "cpus: wants 1, offered 0.5",
            id="what is reserved for others is not offered",
        ),
        pytest.param(
            "UnfulfilledConstraint",
            {"constraints": [["rack", "LIKE", "r2"], ["speed", "IS", "3"], ["gone", "UNIQUE"]]},
            "constraint rack LIKE r2: here r1; constraint speed IS 3: here 2;"
            " constraint gone UNIQUE: here nothing of that name",
            id="attributes",
        ),
        pytest.param("AgentDraining", {}, "", id="what has no figures"),
    ],
)
def test_details(reason: str, app: dict[str, Any], expected: str) -> None:
    assert detail(reason, app, OFFER) == expected
