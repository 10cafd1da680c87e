"""Stories of frameworks with the master, over the real API in memory and a clock that only moves when told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mesos_world import Scheduler, World, master_over, node, task

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import core, mesos
from bireme.http.interface import Response, Stream
from bireme.ledger.ledger import Ledger
from bireme.mesos import amounts
from bireme.mesos.core import Settings
from support.cluster import cluster

PARTITION_AWARE = [{"type": "PARTITION_AWARE"}]


@asynccontextmanager
async def world(*, nodes: int = 1, settings: Settings | None = None) -> AsyncIterator[World]:
    clock = VirtualClock()
    async with cluster(clock=clock) as here, master_over(here.client, clock, Ledger(), settings=settings) as made:
        for number in range(nodes):
            await made.add_node(node(f"node-{number}"))
        yield made


async def subscribed(w: World, **info: Any) -> Scheduler:
    scheduler = Scheduler(w)
    assert isinstance(await scheduler.subscribe(**info), Stream)
    return scheduler


async def running_task(w: World, scheduler: Scheduler, task_id: str = "t1", **more: Any) -> dict[str, Any]:
    (offer,) = await scheduler.offers()
    await scheduler.launch(offer, task(offer, task_id, **more))
    await w.settle()
    await w.run_task(task_id)
    await scheduler.updates()
    return offer


def states(statuses: list[dict[str, Any]]) -> list[str]:
    return [status["state"] for status in statuses]


async def test_a_task_from_offer_to_acknowledged_end() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        assert [event["type"] for event in scheduler.events][:2] == ["SUBSCRIBED", "HEARTBEAT"]
        (offer,) = await scheduler.offers()
        assert (await scheduler.launch(offer, task(offer, "t1"))).status == 202
        await w.settle()
        pod = await w.pod_of("t1")
        assert (pod.spec.node_name, pod.metadata.namespace) == ("node-0", "mesos-default")
        await w.run_task("t1")
        assert states(await scheduler.updates()) == ["TASK_STARTING", "TASK_RUNNING"]
        await w.end_task("t1")
        (last,) = await scheduler.updates()
        assert (last["state"], last["message"]) == ("TASK_FINISHED", "Command exited with status 0")
        await w.settle()
        assert await w.pods() == []
        assert (await w.get("/tasks"))["tasks"][0]["state"] == "TASK_FINISHED"


async def test_what_a_task_holds_is_not_offered_again() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        ports = {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31004}]}}
        (offer,) = await scheduler.offers()
        wanted = task(offer, "t1", cpus=1.5, mem=1000)
        wanted["resources"].append(ports)
        await scheduler.launch(offer, wanted)
        await w.clock.advance(6)
        (second,) = await scheduler.offers()
        held = amounts.read([{**each, "allocation_info": {}} for each in second["resources"]])
        assert held.scalars == {"cpus": 2500, "mem": 3096000, "disk": 20480000}
        assert held.ranges == {"ports": ((31005, 32000),)}


async def test_two_frameworks_are_never_offered_the_same() -> None:
    async with world(nodes=4) as w:
        first, second = await subscribed(w, name="a"), await subscribed(w, name="b")
        await w.clock.advance(2)
        offers = [*await first.offers(), *await second.offers()]
        agents = [offer["agent_id"]["value"] for offer in offers]
        assert len(agents) == len(set(agents)) == 4


async def test_a_bad_task_is_refused_and_the_others_go_on() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        (offer,) = await scheduler.offers()
        greedy = task(offer, "greedy", cpus=99)
        both = task(offer, "neither")
        del both["command"]
        await scheduler.launch(offer, greedy, both, task(offer, "good"), task(offer, "good"))
        found = {status["message"].split(" ")[0:3][-1]: status for status in await scheduler.updates()}
        assert {status["state"] for status in found.values()} == {"TASK_ERROR"}
        assert {status["reason"] for status in found.values()} == {"REASON_TASK_INVALID"}
        assert len(found) == 3
        assert all("uuid" not in status for status in found.values())
        assert len(await w.pods()) == 1


async def test_declined_resources_stay_away_for_five_seconds_unless_revived() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        (offer,) = await scheduler.offers()
        await scheduler.call("DECLINE", {"offer_ids": [offer["id"]]})
        await w.clock.advance(4)
        assert [event["type"] for event in await scheduler.pump() if event["type"] == "OFFERS"] == []
        (offer,) = await scheduler.offers()
        await scheduler.call("DECLINE", {"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 3600}})
        await w.clock.advance(30)
        assert "OFFERS" not in {event["type"] for event in await scheduler.pump()}
        await scheduler.call("REVIVE")
        assert len(await scheduler.offers()) == 1


async def test_a_suppressed_role_gets_no_offers() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        (offer,) = await scheduler.offers()
        await scheduler.call("SUPPRESS")
        await scheduler.call("DECLINE", {"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0}})
        await w.clock.advance(10)
        assert "OFFERS" not in {event["type"] for event in await scheduler.pump()}


async def test_a_killed_task_ends_as_killed() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        offer = await running_task(w, scheduler)
        await scheduler.call("KILL", {"task_id": {"value": "t1"}, "agent_id": offer["agent_id"]})
        await w.settle()
        assert (await w.pod_of("t1")).metadata.deletion_timestamp
        await w.end_task("t1", code=143)
        (last,) = await scheduler.updates()
        assert (last["state"], last["message"]) == ("TASK_KILLED", "Command terminated with signal Terminated")
        pod = await w.pod_of("t1")
        await w.client.delete(core.Pod, pod.metadata.name, namespace=pod.metadata.namespace, grace_period_s=0)
        assert await w.pods() == []


async def test_an_image_that_cannot_be_pulled_fails_the_task() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        (offer,) = await scheduler.offers()
        docker = {"type": "DOCKER", "docker": {"image": "nowhere/nothing", "network": "HOST"}}
        await scheduler.launch(offer, task(offer, "t1", container=docker))
        await w.settle()
        waiting = core.ContainerStateWaiting(reason="ErrImagePull", message="no such host")
        await w.report("t1", "Pending", core.ContainerState(waiting=waiting))
        (last,) = await scheduler.updates()
        assert (last["state"], last["reason"]) == ("TASK_FAILED", "REASON_CONTAINER_LAUNCH_FAILED")
        assert last["message"] == "Failed to launch container: no such host"


async def test_an_update_is_sent_again_until_it_is_acknowledged() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        (offer,) = await scheduler.offers()
        await scheduler.launch(offer, task(offer, "t1"))
        await w.settle()
        await w.run_task("t1")
        (first,) = await scheduler.updates(acknowledge=False)
        await w.clock.advance(9)
        assert await scheduler.updates(acknowledge=False) == []
        await w.clock.advance(2)
        (second,) = await scheduler.updates(acknowledge=False)
        assert second["uuid"] == first["uuid"]
        await w.clock.advance(22)
        assert states(await scheduler.updates()) == ["TASK_STARTING", "TASK_RUNNING"]


async def test_a_framework_that_comes_back_in_time_keeps_its_tasks() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        await running_task(w, scheduler)
        await scheduler.leave()
        await w.end_task("t1", code=1)
        await w.clock.advance(90)
        await scheduler.subscribe()
        assert states(await scheduler.updates()) == ["TASK_FAILED"]
        assert len(w.master.roster.frameworks) == 1


async def test_a_second_stream_takes_over_from_the_first() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        rival = Scheduler(w)
        rival.framework_id = scheduler.framework_id
        await rival.subscribe()
        last = (await scheduler.pump())[-1]
        assert last == {"type": "ERROR", "error": {"message": "Framework failed over"}}
        assert scheduler.ended
        assert (await scheduler.call("REVIVE")).status == 400
        assert (await rival.call("REVIVE")).status == 202


async def test_a_framework_that_stays_away_loses_its_tasks_and_its_id() -> None:
    async with world() as w:
        scheduler = await subscribed(w, failover_timeout=50.0)
        await running_task(w, scheduler)
        await scheduler.leave()
        await w.clock.advance(52)
        pod = (await w.pods() or [None])[0]
        assert pod is None or pod.metadata.deletion_timestamp
        scheduler.events.clear()
        await scheduler.subscribe(failover_timeout=50.0)
        assert scheduler.events == [{"type": "ERROR", "error": {"message": "Framework has been removed"}}]
        kept = await w.client.get(mesos.Framework, scheduler.framework_id)
        assert kept.status.state == "Completed"


async def test_a_restarted_master_knows_frameworks_agents_and_tells_what_was_not_acknowledged() -> None:
    clock = VirtualClock()
    async with cluster(clock=clock) as here:
        ledger = Ledger()
        async with master_over(here.client, clock, ledger, seed=1) as w:
            await w.add_node(node("node-0"))
            scheduler = await subscribed(w)
            await running_task(w, scheduler)
            await w.end_task("t1", code=3)
            assert states(await scheduler.updates(acknowledge=False)) == ["TASK_FAILED"]
            agent_id = next(iter(w.master.roster.agents))
        async with master_over(here.client, clock, ledger, seed=2) as w:
            assert list(w.master.roster.agents) == [agent_id]
            scheduler.world = w
            await scheduler.subscribe()
            told = await scheduler.updates()
            assert states(told) == ["TASK_FAILED"]
            assert (told[0]["message"], told[0]["agent_id"]["value"]) == ("Command exited with status 3", agent_id)


@pytest.mark.parametrize(
    ("capabilities", "word"), [(PARTITION_AWARE, "TASK_UNREACHABLE"), ([], "TASK_LOST")], ids=["aware", "not aware"]
)
async def test_an_agent_out_of_contact_comes_back(capabilities: list[Any], word: str) -> None:
    async with world() as w:
        scheduler = await subscribed(w, capabilities=capabilities)
        await running_task(w, scheduler)
        await w.set_ready("node-0", "Unknown")
        await w.clock.advance(36)
        assert states(await scheduler.updates()) == [word]
        assert "FAILURE" in {event["type"] for event in scheduler.events}
        await scheduler.call("RECONCILE", {"tasks": []})
        assert states(await scheduler.updates()) == [word]
        await w.set_ready("node-0", "True")
        (back,) = await scheduler.updates()
        assert (back["state"], back["reason"]) == ("TASK_RUNNING", "REASON_AGENT_REREGISTERED")


async def test_reconciliation_of_known_and_unknown_tasks() -> None:
    async with world() as w:
        scheduler = await subscribed(w, capabilities=PARTITION_AWARE)
        offer = await running_task(w, scheduler)
        asked = [
            {"task_id": {"value": "t1"}},
            {"task_id": {"value": "other"}, "agent_id": offer["agent_id"]},
            {"task_id": {"value": "third"}},
        ]
        await scheduler.call("RECONCILE", {"tasks": asked})
        found = await scheduler.updates()
        assert states(found) == ["TASK_RUNNING", "TASK_GONE", "TASK_UNKNOWN"]
        assert {status["reason"] for status in found} == {"REASON_RECONCILIATION"}
        assert all("uuid" not in status for status in found)


async def test_health_is_told_when_it_changes() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        check = {"type": "HTTP", "http": {"port": 8080, "path": "/"}}
        (offer,) = await scheduler.offers()
        await scheduler.launch(offer, task(offer, "t1", health_check=check))
        await w.settle()
        await w.run_task("t1")
        await scheduler.updates()
        for ready in (True, True, False):
            await w.run_task("t1", ready=ready)
        found = await scheduler.updates()
        assert [status.get("healthy") for status in found] == [True]  # false needs `started`, as the kubelet has it


async def test_offers_of_two_agents_cannot_be_accepted_together() -> None:
    async with world(nodes=2) as w:
        scheduler = await subscribed(w)
        offers = await scheduler.offers()
        operation = {"type": "LAUNCH", "launch": {"task_infos": [task(offers[0], "t1")]}}
        body = {"offer_ids": [offer["id"] for offer in offers], "operations": [operation]}
        assert (await scheduler.call("ACCEPT", body)).status == 202
        (status,) = await scheduler.updates()
        assert (status["state"], status["reason"]) == ("TASK_LOST", "REASON_INVALID_OFFERS")
        assert status["message"].startswith("Task launched with invalid offers: Aggregated offers must belong to")


async def test_a_task_group_is_one_pod_and_ends_together() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        (offer,) = await scheduler.offers()
        small = [{"name": name, "type": "SCALAR", "scalar": {"value": n}} for name, n in (("cpus", 0.1), ("mem", 32))]
        group = {
            "executor": {"type": "DEFAULT", "executor_id": {"value": "e1"}, "resources": small},
            "task_group": {"tasks": [task(offer, "a"), task(offer, "b")]},
        }
        operation = {"type": "LAUNCH_GROUP", "launch_group": group}
        await scheduler.call("ACCEPT", {"offer_ids": [offer["id"]], "operations": [operation]})
        await w.settle()
        (pod,) = await w.pods()
        assert len(pod.spec.containers) == 2
        await w.run_task("a")
        assert sorted(states(await scheduler.updates())) == ["TASK_RUNNING"] * 2 + ["TASK_STARTING"] * 2
        await w.end_task("a", code=1)
        assert states(await scheduler.updates()) == ["TASK_FAILED", "TASK_FAILED"]
        await w.settle()
        assert await w.pods() == []


async def test_offers_are_taken_back_when_a_pod_needs_room() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        (offer,) = await scheduler.offers()
        w.master.make_room()
        assert w.ledger.free("node-0")["cpu"] == 4000
        assert [e["rescind"]["offer_id"] for e in await scheduler.pump() if e["type"] == "RESCIND"] == [offer["id"]]


async def test_reservations_are_refused_with_feedback() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        (offer,) = await scheduler.offers()
        operation = {"type": "RESERVE", "id": {"value": "op1"}, "reserve": {"resources": []}}
        await scheduler.call("ACCEPT", {"offer_ids": [offer["id"]], "operations": [operation]})
        (event,) = [e for e in await scheduler.pump() if e["type"] == "UPDATE_OPERATION_STATUS"]
        assert event["update_operation_status"]["status"]["state"] == "OPERATION_ERROR"


async def test_a_reader_too_slow_is_cut_off() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        framework = w.master.roster.frameworks[scheduler.framework_id]
        for _ in range(5000):
            w.master.send(framework, {"type": "HEARTBEAT"})
        assert not framework.connected


async def test_teardown_by_an_operator() -> None:
    async with world() as w:
        scheduler = await subscribed(w)
        body = f"frameworkId={scheduler.framework_id}".encode()
        answer = await w.ask("POST", "/master/teardown", body=body)
        assert isinstance(answer, Response)
        assert answer.status == 200
        await scheduler.pump()
        assert scheduler.ended
        found = await w.get("/frameworks")
        assert [each["id"] for each in found["completed_frameworks"]] == [scheduler.framework_id]


async def test_a_master_that_failed_starts_afresh_and_leaves_nothing_held() -> None:
    clock = VirtualClock()
    async with cluster(clock=clock) as here:
        async with master_over(here.client, clock, Ledger()) as w:
            await w.add_node(node("node-0"))
            scheduler = await subscribed(w)
            await running_task(w, scheduler)
            (offer,) = await scheduler.offers()
        async with w.again():
            assert w.ledger.free("node-0")["memory"] > 3 * 2**30
            assert await scheduler.pump() is not None
            assert scheduler.ended
            await scheduler.subscribe()
            assert list(w.master.roster.frameworks[scheduler.framework_id].tasks) == ["t1"]
            assert (await scheduler.offers())[0]["id"] != offer["id"]


async def test_other_doors_read_the_same_state() -> None:
    async with world() as w:
        scheduler = await subscribed(w, roles=["eng"], capabilities=[{"type": "MULTI_ROLE"}])
        await running_task(w, scheduler)
        state = await w.get("/state.json")
        (framework,) = state["frameworks"]
        assert [each["state"] for each in framework["tasks"]] == ["TASK_RUNNING"]
        assert framework["roles"] == ["eng"]
        assert state["slaves"][0]["used_resources"]["cpus"] == 0.5
        summary = await w.get("/master/state-summary")
        assert summary["slaves"][0]["TASK_RUNNING"] == summary["frameworks"][0]["TASK_RUNNING"] == 1
        metrics = await w.get("/metrics/snapshot")
        assert (metrics["master/tasks_running"], metrics["master/cpus_used"]) == (1, 0.5)
        assert all(isinstance(value, int | float) for value in metrics.values())
        for call in (
            "GET_STATE",
            "GET_AGENTS",
            "GET_FRAMEWORKS",
            "GET_TASKS",
            "GET_ROLES",
            "GET_FLAGS",
        ):
            answer = await w.post("/api/v1", {"type": call})
            assert (answer.status, call) == (200, call)
            answer = await w.post("/api/v1", {"type": call}, headers={"accept": "application/x-protobuf"})
            assert answer.content_type == "application/x-protobuf"
        assert (await w.pod_of("t1")).metadata.namespace == "mesos-eng"


async def test_an_operator_follows_the_cluster() -> None:
    async with world() as w:
        operator = Scheduler(w)
        answer = await w.post("/api/v1", {"type": "SUBSCRIBE"})
        assert isinstance(answer, Stream)
        operator.stream = answer
        assert [event["type"] for event in await operator.pump()] == ["SUBSCRIBED", "HEARTBEAT"]
        scheduler = await subscribed(w)
        await running_task(w, scheduler)
        kinds = [event["type"] for event in await operator.pump()]
        assert kinds == ["FRAMEWORK_ADDED", "TASK_ADDED", "TASK_UPDATED", "TASK_UPDATED"]


@pytest.mark.parametrize(
    ("capability", "call"),
    [("AGENT_DRAINING", "DRAIN_AGENT")],
    ids=["draining"],
)
async def test_what_is_not_done_is_not_announced(capability: str, call: str) -> None:
    bodies: dict[str, Any] = {"DRAIN_AGENT": {"agent_id": {"value": "a"}}}
    async with world() as w:
        answer = await w.post("/api/v1", {"type": call, call.lower(): bodies[call]})
        assert isinstance(answer, Response)
        assert answer.status == 501
        assert capability not in (await w.get("/state"))["capabilities"]
        told = (await subscribed(w)).events[0]["subscribed"]["master_info"]["capabilities"]
        assert {"type": capability} not in told
