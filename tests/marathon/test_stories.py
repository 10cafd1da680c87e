"""Whole stories: what a user asks of /v2, and what becomes of it on real offers."""

import sys
from pathlib import Path

import orjson
import pytest

from bireme.api.kinds import core, discovery
from bireme.http.interface import Response, Stream

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE)]

from marathon_world import World, world  # noqa: E402

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


WEB = {
    "id": "/web",
    "cmd": "serve",
    "cpus": 0.1,
    "mem": 32,
    "instances": 3,
    "healthChecks": [
        {
            "protocol": "HTTP",
            "path": "/health",
            "intervalSeconds": 1,
            "gracePeriodSeconds": 2,
            "maxConsecutiveFailures": 3,
        }
    ],
}


def states(here: World, path: str) -> list[str]:
    return sorted(each.app.tree["cmd"] for each in here.marathon.core.of_app(path) if each.serving)


async def test_scaling_up_and_down_keeps_what_runs() -> None:
    async with world() as here:
        await here.ask("POST", "/v2/apps", SLEEPER | {"instances": 2})
        await here.until(here.idle)
        first = set(here.marathon.core.instances)
        status, _ = await here.ask("PUT", "/v2/apps/sleeper", {"instances": 4})
        assert status == 200
        await here.until(here.idle)
        assert len(here.marathon.core.instances) == 4
        assert first < set(here.marathon.core.instances)
        await here.ask("PUT", "/v2/apps/sleeper", {"instances": 1})
        await here.until(here.idle)
        assert set(here.marathon.core.instances) < first
        _, shown = await here.ask("GET", "/v2/apps/sleeper")
        info = shown["app"]["versionInfo"]
        assert info["lastScalingAt"] == shown["app"]["version"] > info["lastConfigChangeAt"]
        _, versions = await here.ask("GET", "/v2/apps/sleeper/versions")
        assert len(versions["versions"]) == 3


async def test_a_rolling_update_replaces_all_and_never_serves_with_less() -> None:
    async with world() as here:
        await here.ask("POST", "/v2/apps", WEB)
        await here.until(here.idle)
        status, _ = await here.ask("PUT", "/v2/apps/web", {"cmd": "serve better"})
        assert status == 200
        while not here.idle():
            await here.pass_time(0.25)
            assert len(states(here, "/web")) >= 3
            assert len(here.marathon.core.of_app("/web")) <= 6
        assert states(here, "/web") == ["serve better"] * 3


async def test_an_update_that_fails_its_checks_stays_and_can_be_rolled_back() -> None:
    async with world() as here:
        await here.ask("POST", "/v2/apps", WEB)
        await here.until(here.idle)
        good = {each.id for each in here.marathon.core.instances.values()}
        good_ports = {each.host_ports[0] for each in here.marathon.core.instances.values()}
        here.prober.answers = lambda url: 200 if any(f":{port}/" in url for port in good_ports) else 500
        _, update = await here.ask("PUT", "/v2/apps/web", {"cmd": "broken"})
        await here.pass_time(25)
        _, shown = await here.ask("GET", "/v2/apps/web")
        assert shown["app"]["lastTaskFailure"]["state"] == "TASK_KILLED"
        told = "Task was killed since health check failed. Reason: HTTP status 500"
        assert shown["app"]["lastTaskFailure"]["message"] == told
        assert list(here.marathon.core.deployments) == [update["deploymentId"]]
        assert states(here, "/web") == ["serve"] * 3
        status, refused = await here.ask("PUT", "/v2/apps/web", {"cmd": "other"})
        assert (status, refused["deployments"]) == (409, [{"id": update["deploymentId"]}])
        status, answer = await here.ask("DELETE", f"/v2/deployments/{update['deploymentId']}")
        assert status == 200
        assert answer["deploymentId"] != update["deploymentId"]
        await here.until(here.idle)
        assert {each.id for each in here.marathon.core.instances.values()} == good
        _, shown = await here.ask("GET", "/v2/apps/web")
        assert shown["app"]["cmd"] == "serve"


@pytest.mark.parametrize("moment", range(1, 24, 3))
async def test_a_deployment_survives_the_death_of_marathon(moment: int) -> None:
    async with world() as here:
        await here.ask("POST", "/v2/apps", WEB)
        await here.until(here.idle)
        await here.ask("PUT", "/v2/apps/web", {"cmd": "next", "upgradeStrategy": {"maximumOverCapacity": 0}})
        for _ in range(moment):
            await here.clock.advance(0.05, settle=15)
            if moment % 2:
                await here.kubelet.step()
        pods = {pod.metadata.name for pod in (await here.client.list(core.Pod)).items}
        await here.restart()
        await here.until(lambda: here.marathon.core.ready.is_set() and here.idle(), within_s=90)
        await here.pass_time(3)
        assert states(here, "/web") == ["next"] * 3
        live = [pod for pod in (await here.client.list(core.Pod)).items if not pod.metadata.deletion_timestamp]
        assert len(live) == 3
        assert pods
        assert await here.kept() == {"App": 1, "Group": 0, "Deployment": 0, "Instance": 3}


async def test_tasks_that_die_are_replaced_ever_more_slowly() -> None:
    async with world() as here:
        here.kubelet.verdict = lambda pod: "crash"
        await here.ask("POST", "/v2/apps", SLEEPER | {"backoffSeconds": 2, "backoffFactor": 2})
        await here.pass_time(40)
        launched = here.marathon.core.counters["tasks.launched"]
        assert 3 <= launched <= 6
        _, queue = await here.ask("GET", "/v2/queue?embed=lastUnusedOffers")
        [item] = queue["queue"]
        assert item["app"]["id"] == "/sleeper"
        assert item["delay"]["overdue"] is False
        _, shown = await here.ask("GET", "/v2/apps/sleeper")
        assert shown["app"]["lastTaskFailure"]["state"] == "TASK_FAILED"
        here.kubelet.verdict = lambda pod: "healthy"
        status, _ = await here.ask("DELETE", "/v2/queue//sleeper/delay")
        assert status == 204
        await here.until(here.idle, within_s=10)


async def test_killing_tasks_with_and_without_scaling() -> None:
    async with world() as here:
        await here.ask("POST", "/v2/apps", SLEEPER | {"instances": 3})
        await here.until(here.idle)
        _, listed = await here.ask("GET", "/v2/tasks")
        ids = [task["id"] for task in listed["tasks"]]
        status, killed = await here.ask("DELETE", f"/v2/apps/sleeper/tasks/{ids[0]}")
        assert (status, killed["task"]["id"]) == (200, ids[0])
        await here.pass_time(10)
        _, listed = await here.ask("GET", "/v2/tasks?status=running")
        assert len(listed["tasks"]) == 3
        assert ids[0] not in [task["id"] for task in listed["tasks"]]
        status, answer = await here.ask("POST", "/v2/tasks/delete?scale=true", {"ids": ids[1:]})
        assert (status, "deploymentId" in answer) == (200, True)
        await here.until(here.idle)
        _, shown = await here.ask("GET", "/v2/apps/sleeper")
        assert shown["app"]["instances"] == 1
        assert (await here.ask("DELETE", "/v2/apps/sleeper/tasks?scale=true&wipe=true"))[0] == 400


async def test_a_group_is_scaled_restored_and_deleted() -> None:
    async with world() as here:
        tree = {
            "id": "/shop",
            "apps": [SLEEPER | {"id": "a"}],
            "groups": [{"id": "deep", "apps": [SLEEPER | {"id": "b"}]}],
        }
        _, first = await here.ask("POST", "/v2/groups", tree)
        await here.until(here.idle)
        assert (await here.ask("POST", "/v2/groups", tree))[0] == 409
        status, _ = await here.ask("PUT", "/v2/groups/shop", {"scaleBy": 2.0})
        assert status == 200
        await here.until(here.idle)
        _, group = await here.ask("GET", "/v2/groups/shop")
        assert [app["instances"] for app in group["apps"]] == [2]
        assert [app["id"] for app in group["groups"][0]["apps"]] == ["/shop/deep/b"]
        _, steps = await here.ask("PUT", "/v2/groups/shop?dryRun=true", {"apps": []})
        assert steps == {"steps": [{"actions": [{"action": "StopApplication", "app": "/shop/a"}]}]}
        status, _ = await here.ask("PUT", "/v2/groups/shop", {"version": first["version"]})
        assert status == 200
        await here.until(here.idle)
        assert len(here.marathon.core.instances) == 2
        _, versions = await here.ask("GET", "/v2/groups/shop/versions")
        assert versions[-1] == first["version"]
        assert (await here.ask("DELETE", "/v2/groups/shop"))[0] == 200
        await here.until(here.idle)
        await here.pass_time(1)
        assert (await here.ask("GET", "/v2/groups/shop"))[0] == 404
        assert await here.kept() == {"App": 0, "Group": 0, "Deployment": 0, "Instance": 0}


async def test_what_is_wrong_is_refused_in_marathons_words() -> None:
    async with world() as here:
        raw = await here.raw("POST", "/v2/apps", b"{nope")
        assert (raw.status, orjson.loads(raw.body)["message"]) == (400, "Invalid JSON")
        status, body = await here.ask("POST", "/v2/apps", {"id": 5})
        assert (status, body["details"]) == (400, [{"path": "/id", "errors": ["error.expected.jsstring"]}])
        status, body = await here.ask("POST", "/v2/apps", {"id": "/a"})
        assert (status, body["message"], body["details"][0]["path"]) == (422, "Object is not valid", "/")
        status, body = await here.ask("POST", "/v2/apps", SLEEPER | {"instances": -1})
        assert (status, body["details"]) == (
            422,
            [{"path": "/instances", "errors": ["must be greater than or equal to 0"]}],
        )
        await here.ask("POST", "/v2/apps", SLEEPER)
        status, body = await here.ask("POST", "/v2/apps", SLEEPER)
        assert (status, body["message"]) == (409, "An app with id [/sleeper] already exists.")
        assert await here.ask("GET", "/v2/apps/none") == (404, {"message": "App '/none' does not exist"})
        assert (await here.ask("GET", "/v2/nothing"))[0] == 404
        assert (await here.ask("HEAD", "/v2/pods"))[0] == 404
        cycle = {
            "id": "/c",
            "apps": [SLEEPER | {"id": "x", "dependencies": ["y"]}, SLEEPER | {"id": "y", "dependencies": ["x"]}],
        }
        assert await here.ask("POST", "/v2/groups", cycle) == (
            422,
            {"message": "Dependency graph has cyclic dependencies."},
        )


async def test_nobody_in_particular_gets_nothing_but_ping() -> None:
    async with world() as here:
        for method, target in (
            *(("GET", f"/v2/{name}") for name in ("apps", "groups", "tasks", "queue", "info", "leader", "events")),
            *(("POST", "/v2/apps"), ("GET", "/metrics"), ("GET", "/"), ("GET", "/v2/none")),
        ):
            answer = await here.raw(method, target, b"{}", anonymous=True)
            assert answer.status == 401, target
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="Mesosphere"'
        assert (await here.raw("GET", "/ping", anonymous=True)).body == b"pong"


async def test_events_are_told_as_they_happen() -> None:
    async with world() as here:
        stream = await here.raw("GET", "/v2/events?event_type=deployment_success", accept="text/event-stream")
        assert isinstance(stream, Stream)
        assert (await anext(stream.chunks)).startswith(b"event: event_stream_attached\r\ndata: {")
        await here.ask("POST", "/v2/apps", SLEEPER)
        await here.until(here.idle)
        frame = await anext(stream.chunks)
        event = orjson.loads(frame.split(b"data: ")[1])
        assert (event["eventType"], event["plan"]["steps"][0]["actions"][0]["app"]) == (
            "deployment_success",
            "/sleeper",
        )
        await stream.chunks.aclose()


async def test_an_unreachable_instance_is_replaced_and_forgotten_in_its_time() -> None:
    async with world(nodes=2) as here:
        strategy = {"inactiveAfterSeconds": 30, "expungeAfterSeconds": 60}
        await here.ask("POST", "/v2/apps", SLEEPER | {"unreachableStrategy": strategy})
        await here.until(here.idle)
        [lost] = here.marathon.core.instances.values()
        ghost = await here.client.get(core.Node, lost.host)
        ghost.status.conditions = [core.NodeCondition(type="Ready", status="Unknown")]
        await here.client.update(ghost, subresource="status")
        await here.until(lambda: lost.condition == "Unreachable", within_s=120)
        since = here.clock.monotonic()
        here.kubelet.verdict = lambda pod: "wait" if pod.spec.node_name == lost.host else "healthy"
        await here.until(lambda: lost.condition == "UnreachableInactive")
        assert here.clock.monotonic() - since <= 35
        await here.until(lambda: lost.id not in here.marathon.core.instances)
        assert here.clock.monotonic() - since <= 65
        [fresh] = here.marathon.core.instances.values()
        assert fresh.running
        assert fresh.host != lost.host


async def test_a_new_master_finds_the_same_tasks() -> None:
    async with world() as here:
        await here.ask("POST", "/v2/apps", SLEEPER | {"instances": 2})
        await here.until(here.idle)
        before, framework_id = set(here.marathon.core.instances), here.marathon.core.framework_id
        await here.kill_master()
        await here.until(lambda: not here.marathon.framework.connected)
        here.start_master()
        await here.until(lambda: here.marathon.framework.connected)
        await here.ask("PUT", "/v2/apps/sleeper", {"instances": 3})
        await here.until(here.idle)
        assert before < set(here.marathon.core.instances)
        assert here.marathon.core.framework_id == framework_id


async def test_readiness_holds_a_deployment_up() -> None:
    async with world() as here:
        here.prober.answers = lambda url: 503
        ready = {"portName": "http-api", "path": "/ready", "intervalSeconds": 2, "timeoutSeconds": 1}
        ports = [{"port": 0, "name": "http-api"}]
        await here.ask("POST", "/v2/apps", SLEEPER | {"readinessChecks": [ready], "portDefinitions": ports})
        await here.pass_time(10)
        _, [deployment] = await here.ask("GET", "/v2/deployments")
        [result] = deployment["currentActions"][0]["readinessCheckResults"]
        assert result["ready"] is False
        here.prober.answers = lambda url: 200
        await here.until(here.idle, within_s=5)


async def test_a_run_that_failed_may_begin_again() -> None:
    async with world() as here:
        await here.ask("POST", "/v2/apps", SLEEPER)
        await here.until(here.idle)
        before = set(here.marathon.core.instances)
        await here.kill()
        here.start()
        await here.until(lambda: here.marathon.framework.connected)
        assert set(here.marathon.core.instances) == before
        answer = await here.raw("HEAD", "/v2/apps/sleeper")
        assert isinstance(answer, Response)
        assert (answer.status, answer.body) == (200, b"")
