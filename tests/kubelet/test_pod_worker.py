"""Stories of pods on one node."""

import asyncio

import pytest
from kubelet_pods import container

from bireme.api.kinds import core, meta
from bireme.runtime.hollow import Life
from bireme.runtime.interface import ExecResult

FAIL = ExecResult(b"", b"no", 1)
WELL = ExecResult(b"", b"", 0)


def is_ready(pod):
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def phase(name):
    return lambda pod: pod.status.phase == name


def waiting(reason):
    def holds(pod):
        return any(s.state.waiting and s.state.waiting.reason == reason for s in pod.status.container_statuses)

    return holds


def restarted(times):
    return lambda pod: pod.status.container_statuses[0].restart_count == times


def life(**lives):
    return lambda spec: lives.get(spec.name, Life())


async def test_a_pod_is_running_without_the_clock_moving(world):
    async with world() as w:
        await w.make(container())
        pod = await w.until(is_ready, within_s=1)
        assert (pod.status.phase, pod.status.pod_ip, pod.status.host_ip) == ("Running", "10.244.0.1", "192.0.2.1")
        assert w.engine.calls.made == ["sandbox p", "pull app:1", "create c", "start c"]
        assert set(await w.events()) == {"Pulling", "Pulled", "Created", "Started"}


async def test_init_containers_run_one_by_one_before_the_apps(world):
    lives = life(i=Life(run_s=2), j=Life(run_s=2))
    async with world(life=lives) as w:
        await w.make(container(), initContainers=[container("i"), container("j")])
        pod = await w.until(phase("Pending"))
        assert pod.status.container_statuses[0].state.waiting.reason == "PodInitializing"
        await w.until(phase("Running"))
        assert w.engine.calls.named("start") == ["start i", "start j", "start c"]


async def test_a_job_succeeds_once_its_containers_end_and_sidecars_are_stopped(world):
    async with world(life=life(c=Life(run_s=3))) as w:
        side = container("side", restartPolicy="Always")
        await w.make(container(), initContainers=[side], restartPolicy="Never")
        await w.until(phase("Succeeded"))
        assert w.engine.calls.named("stop") == ["stop side", "stop-sandbox p"]
        await w.delete()
        await w.pass_time(1)
        assert await w.pod() is None
        assert await w.engine.list_sandboxes() == []


async def test_a_crash_loop_backs_off_and_is_forgiven(world):
    async with world() as w:
        await w.make(container())
        await w.until(is_ready)
        w.engine.exit("c", 1)
        await w.until(restarted(1), within_s=3)
        w.engine.exit("c", 1)
        pod = await w.until(waiting("CrashLoopBackOff"), within_s=3)
        assert pod.status.container_statuses[0].last_state.terminated.exit_code == 1
        await w.pass_time(7)
        assert restarted(1)(await w.pod())
        await w.until(restarted(2), within_s=5)
        await w.pass_time(620)
        w.engine.exit("c", 1)
        await w.until(restarted(3), within_s=3)


async def test_an_image_that_cannot_be_had_is_tried_ever_less_often(world):
    async with world(missing=["app:1"]) as w:
        await w.make(container())
        await w.until(waiting("ErrImagePull"), within_s=2)
        await w.until(waiting("ImagePullBackOff"), within_s=5)
        w.engine.missing.clear()
        await w.until(is_ready, within_s=12)
        assert len(w.engine.calls.named("pull")) == 2
        assert {"Failed", "BackOff", "Pulled"} <= set(await w.events())


async def test_never_pull_says_so(world):
    async with world() as w:
        await w.make(container(imagePullPolicy="Never"))
        await w.until(waiting("ErrImageNeverPull"), within_s=2)
        assert w.engine.calls.named("pull") == []


async def test_a_failing_liveness_probe_restarts(world):
    async with world() as w:
        w.engine.answer = lambda _id, _command: FAIL
        probe = {"exec": {"command": ["x"]}, "periodSeconds": 2, "failureThreshold": 3}
        await w.make(container(livenessProbe=probe))
        await w.until(restarted(1), within_s=12)
        assert {"Unhealthy", "Killing"} <= set(await w.events())


async def test_readiness_follows_its_probe(world):
    async with world() as w:
        w.engine.answer = lambda _id, _command: FAIL
        probe = {"exec": {"command": ["x"]}, "periodSeconds": 2, "failureThreshold": 2}
        await w.make(container(readinessProbe=probe))
        await w.pass_time(5)
        assert not is_ready(await w.pod())
        w.engine.answer = lambda _id, _command: WELL
        await w.until(is_ready, within_s=3)
        w.engine.answer = lambda _id, _command: FAIL
        await w.until(lambda pod: not is_ready(pod), within_s=6)
        assert restarted(0)(await w.pod())


async def test_a_startup_probe_holds_off_the_others(world):
    async with world() as w:
        w.engine.answer = lambda _id, command: WELL if command == ["ready"] else FAIL
        await w.make(
            container(
                startupProbe={"exec": {"command": ["started"]}, "periodSeconds": 5, "failureThreshold": 10},
                livenessProbe={"exec": {"command": ["alive"]}, "periodSeconds": 1},
                readinessProbe={"exec": {"command": ["ready"]}},
            )
        )
        await w.pass_time(10)
        pod = await w.pod()
        assert not is_ready(pod)
        assert not any("alive" in call for call in w.engine.calls.made)
        w.engine.answer = lambda _id, command: WELL
        await w.until(is_ready, within_s=6)


async def test_deletion_runs_pre_stop_then_waits_out_the_grace(world):
    async with world(life=life(c=Life(stop_s=100))) as w:
        hook = {"preStop": {"exec": {"command": ["bye"]}}}
        await w.make(container(lifecycle=hook), terminationGracePeriodSeconds=10)
        await w.until(is_ready)
        await w.delete()
        await w.pass_time(8)
        pod = await w.pod()
        assert pod.metadata.deletion_timestamp
        assert "exec c bye" in w.engine.calls.made
        await w.pass_time(3)
        assert await w.pod() is None
        assert await w.engine.list_sandboxes() == []
        assert list((w.settings.root / "pods").iterdir()) == []


async def test_a_shorter_grace_cuts_a_longer_one_short(world):
    async with world(life=life(c=Life(stop_s=1000))) as w:
        await w.make(container(), terminationGracePeriodSeconds=600)
        await w.until(is_ready)
        await w.delete()
        await w.pass_time(5)
        assert await w.pod() is not None
        await w.delete(grace_s=2)
        await w.pass_time(4)
        assert await w.pod() is None


async def test_a_pod_that_is_force_deleted_leaves_nothing(world):
    async with world() as w:
        await w.make(container())
        await w.until(is_ready)
        await w.delete(grace_s=0)
        assert await w.pod() is None
        await w.pass_time(2)
        assert await w.engine.list_sandboxes() == []


async def test_an_agent_that_was_killed_adopts_what_runs(world):
    async with world() as w:
        probe = {"exec": {"command": ["x"]}}
        await w.make(container(readinessProbe=probe))
        before = await w.until(is_ready)
        calls = len(w.engine.calls.made)
        await w.kill_agent()
        w.start_agent()
        await w.pass_time(30)
        after = await w.pod()
        assert is_ready(after)
        assert after.status.container_statuses == before.status.container_statuses
        assert all(call.startswith("exec") for call in w.engine.calls.made[calls:])


async def test_a_pod_deleted_while_the_agent_was_down_is_cleaned_away(world):
    async with world() as w:
        await w.make(container())
        await w.until(is_ready)
        await w.kill_agent()
        await w.delete(grace_s=0)
        w.start_agent()
        await w.pass_time(25)
        assert await w.engine.list_sandboxes() == []
        assert await w.engine.list_containers() == []


async def test_f_node_3_a_sandbox_that_died_is_replaced(world):
    async with world() as w:
        made = await w.make(container())
        await w.until(is_ready)
        w.engine.kill_sandbox(made.metadata.uid)
        pod = await w.until(lambda pod: is_ready(pod) and restarted(1)(pod), within_s=5)
        assert pod.status.pod_ip == "10.244.0.2"


async def test_a_missing_config_map_is_waited_for(world):
    async with world() as w:
        volumes = [{"name": "v", "configMap": {"name": "m"}}]
        mount = container(volumeMounts=[{"name": "v", "mountPath": "/v"}])
        pod = await w.make(mount, volumes=volumes)
        assert "FailedMount" in await w.events()
        await w.client.create(
            core.ConfigMap(metadata=meta.ObjectMeta(name="m", namespace="default"), data={"key": "text"})
        )
        await w.until(is_ready, within_s=1)
        (path,) = [m.host_path for m in w.engine.spec("c").mounts if m.container_path == "/v"]
        file = w.settings.root / "pods" / pod.metadata.uid / "volumes" / "v" / "key"
        assert (str(file.parent), file.read_text()) == (path, "text")
        await w.client.patch(core.ConfigMap, "m", {"data": {"key": "new"}}, namespace="default")
        await w.pass_time(1)
        assert file.read_text() == "new"


async def test_files_that_tell_of_the_pod_follow_its_labels(world):
    async with world() as w:
        items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
        pod = await w.make(container(), volumes=[{"name": "v", "downwardAPI": {"items": items}}])
        await w.until(is_ready)
        await w.client.patch(core.Pod, "p", {"metadata": {"labels": {"a": "b"}}}, namespace="default")
        await w.pass_time(1)
        file = w.settings.root / "pods" / pod.metadata.uid / "volumes" / "v" / "labels"
        assert file.read_text() == 'a="b"'


async def test_what_no_pod_shows_any_more_is_not_watched(world):
    async with world() as w:
        await w.client.create(core.ConfigMap(metadata=meta.ObjectMeta(name="m", namespace="default")))
        await w.make(
            container(), volumes=[{"name": "v", "configMap": {"name": "m"}}], terminationGracePeriodSeconds=0
        )
        await w.until(is_ready)
        watched = w.kubelet.references.watched
        assert [reference.name for reference in watched()] == ["m"]
        await w.delete()
        await w.pass_time(5)
        assert watched() == []


async def test_a_variable_that_cannot_be_made_is_a_config_error(world):
    async with world() as w:
        await w.make(container(env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]))
        await w.until(waiting("CreateContainerConfigError"), within_s=2)


async def test_post_start_that_fails_restarts_the_container(world):
    async with world() as w:
        w.engine.answer = lambda _id, _command: FAIL
        await w.make(container(lifecycle={"postStart": {"exec": {"command": ["x"]}}}))
        await w.until(restarted(1), within_s=5)
        assert "FailedPostStartHook" in await w.events()


async def test_the_active_deadline_ends_a_pod(world):
    async with world() as w:
        await w.make(container(), activeDeadlineSeconds=5, restartPolicy="Never")
        pod = await w.until(phase("Failed"), within_s=10)
        assert pod.status.reason == "DeadlineExceeded"


async def test_a_pod_that_does_not_fit_is_refused(world):
    async with world() as w:
        await w.make(container(resources={"requests": {"cpu": "3"}}), name="a")
        await w.make(container(resources={"requests": {"cpu": "2"}}), name="b")
        pod = await w.until(phase("Failed"), name="b", within_s=2)
        assert pod.status.reason == "OutOfcpu"
        assert (await w.pod("a")).status.phase == "Running"


async def test_a_changed_image_makes_the_container_anew(world):
    async with world() as w:
        await w.make(container())
        await w.until(is_ready)
        patch = [{"op": "replace", "path": "/spec/containers/0/image", "value": "app:2"}]
        from bireme.client.client import Patch

        await w.client.patch(core.Pod, "p", patch, namespace="default", how=Patch.JSON)
        await w.until(lambda pod: restarted(1)(pod) and is_ready(pod), within_s=5)
        assert w.engine.spec("c").image == "app:2"


async def test_the_node_is_registered_ready_and_leased(world):
    async with world() as w:
        node = await w.client.get(core.Node, "n1")
        assert {c.type: c.status for c in node.status.conditions}["Ready"] == "True"
        assert node.status.allocatable["cpu"] == "4"
        from bireme.api.kinds import coordination

        first = await w.client.get(coordination.Lease, "n1", namespace="kube-node-lease")
        await w.pass_time(11)
        second = await w.client.get(coordination.Lease, "n1", namespace="kube-node-lease")
        assert second.spec.renew_time > first.spec.renew_time


@pytest.mark.parametrize("moment", range(1, 9))
async def test_f_node_1_killed_at_any_moment_nothing_runs_twice(world, moment):
    """The agent dies after some turns of the loop, in the midst of the first starts."""
    async with world() as w:
        task = asyncio.current_task()
        assert task is not None
        await w.client.create(_plain("p"))
        for _ in range(moment * 7):
            await asyncio.sleep(0)
        await w.kill_agent()
        w.start_agent()
        await w.until(is_ready, within_s=30)
        await w.pass_time(40)
        running = [c for c in await w.engine.list_containers() if c.state.value == "running"]
        assert len(running) == 1
        assert len(await w.engine.list_sandboxes()) == 1


def _plain(name):
    pod = core.Pod(metadata=meta.ObjectMeta(name=name, namespace="default"))
    pod.spec.node_name = "n1"
    pod.spec.containers = [core.Container(name="c", image="app:1")]
    return pod


async def test_an_ephemeral_container_runs_once_and_ends_with_its_pod(world):
    async with world(life=life(look=Life(run_s=3, exit_code=1))) as w:
        await w.make(container(), terminationGracePeriodSeconds=0)
        await w.until(is_ready)
        looks = [{"name": name, "image": "tools:1"} for name in ("look", "stay")]
        await w.client.patch(
            core.Pod,
            "p",
            {"spec": {"ephemeralContainers": looks}},
            namespace="default",
            subresource="ephemeralcontainers",
        )
        pod = await w.until(lambda pod: len(pod.status.ephemeral_container_statuses) == 2)
        await w.pass_time(70)
        pod = await w.pod()
        look, stay = pod.status.ephemeral_container_statuses
        assert (look.state.terminated.exit_code, look.restart_count) == (1, 0)
        assert stay.state.running
        assert not stay.ready
        assert is_ready(pod)
        await w.kill_agent()
        w.start_agent()
        await w.pass_time(5)
        assert w.engine.calls.named("start") == ["start c", "start look", "start stay"]
        await w.delete()
        await w.pass_time(5)
        assert await w.pod() is None
        assert not await w.engine.list_containers()
