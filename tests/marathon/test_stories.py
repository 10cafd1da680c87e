"""Whole stories: what a user asks of /v2, and what becomes of it on real offers."""

import sys
from pathlib import Path

import orjson

from bireme.api.kinds import core, discovery

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE)]

from harness import world  # noqa: E402

EXAMPLE = HERE.parent.parent / "examples" / "two-decks" / "marathon.json"
SLEEPER = {"id": "/sleeper", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32}


async def test_an_app_runs_from_end_to_end() -> None:
    async with world() as here:
        status, made = await here.ask("POST", "/v2/apps", SLEEPER)
        assert (status, made["id"], made["tasksRunning"]) == (201, "/sleeper", 0)
        await here.until(here.idle)
        status, shown = await here.ask("GET", "/v2/apps/sleeper")
        assert (status, shown["app"]["tasksRunning"], shown["app"]["deployments"]) == (200, 1, [])
        [task] = shown["app"]["tasks"]
        assert task["state"] == "TASK_RUNNING"
        [pod] = (await here.client.list(core.Pod)).items
        assert pod.metadata.annotations["mesos.bireme.dev/task-name"] == "sleeper"


async def test_the_example_group_deploys_in_the_order_of_its_dependencies() -> None:
    async with world() as here:
        status, answer = await here.ask("POST", "/v2/groups", orjson.loads(EXAMPLE.read_bytes()))
        assert status == 201
        assert set(answer) == {"version", "deploymentId"}
        _, [deployment] = await here.ask("GET", "/v2/deployments")
        assert [[(each["action"], each["app"]) for each in step["actions"]] for step in deployment["steps"]] == [
            [("StartApplication", "/shop/cart"), ("StartApplication", "/shop/worker")],
            [("ScaleApplication", "/shop/cart")],
            [("ScaleApplication", "/shop/worker")],
        ]
        await here.until(here.idle)
        _, apps = await here.ask("GET", "/v2/apps")
        assert {app["id"]: app["tasksRunning"] for app in apps["apps"]} == {"/shop/cart": 2, "/shop/worker": 1}
        await here.pass_time(2)
        service = await here.client.get(core.Service, "cart", namespace="mesos-default")
        assert service.metadata.annotations["mesos.bireme.dev/vip"] == "cart.marathon"
        [made] = (await here.client.list(discovery.EndpointSlice, namespace="mesos-default")).items
        assert [port.port for port in made.ports] == [8080]
        assert len(made.endpoints) == 2
