"""Pods on a real engine, through the whole agent, with the API in this process."""

import asyncio
import json
import os
import shutil
import time
from contextlib import asynccontextmanager

import msgspec
import pytest
from kubelet_world import World

from bireme.aio.clock import RealClock
from bireme.api.kinds import core
from bireme.kubelet.beneath import mounts_under
from bireme.kubelet.cgroups import remove_root
from bireme.kubelet.settings import KubeletSettings

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("containerd") is None, reason="needs root and containerd"),
]

CGROUP = "/bireme-test"
SCRIPT = """
cat /config/key /deep; echo "$SECRET $IP"; cat /etc/resolv.conf; echo done > /dev/termination-log
trap 'exit 0' TERM; sleep 1000 & wait
"""


class RealWorld(World):
    """A world whose containers are real; time passes by itself."""

    def __init__(self, folder, runtime):
        super().__init__(folder)
        self.clock, self.engine = RealClock(), runtime
        self.settings = KubeletSettings(
            node_name="n1",
            node_ip="127.0.0.1",
            root=folder / "kubelet",
            log_root=folder / "logs",
            cgroup_root=CGROUP,
            mesos_root=folder / "mesos",
        )

    async def pass_time(self, seconds):
        await asyncio.sleep(min(seconds, 0.02))

    async def when(self, holds, name="p", within_s=30.0):
        began = time.monotonic()
        while True:
            pod = await self.pod(name)
            if holds(pod):
                return pod
            assert time.monotonic() - began < within_s, pod and pod.status
            await asyncio.sleep(0.02)


@pytest.fixture
def real(tmp_path):
    @asynccontextmanager
    async def opened():
        from bireme.runtime.containerd import Containerd, ContainerdSettings, clear
        from bireme.runtime.cri import CriRuntime

        addresses = {"type": "host-local", "subnet": "198.18.201.0/26", "dataDir": str(tmp_path / "ipam")}
        network = {"cniVersion": "0.4.0", "name": "t", "plugins": [{"type": "ptp", "ipam": addresses}]}
        (tmp_path / "cni").mkdir()
        (tmp_path / "cni/10.conflist").write_text(json.dumps(network))
        settings = ContainerdSettings(tmp_path / "root", tmp_path / "state", tmp_path / "c.sock", tmp_path / "cni")
        engine = Containerd(settings, clock=RealClock())
        await engine.start()
        runtime = CriRuntime(str(settings.socket))
        try:
            await engine.import_builtin(runtime)
            made = RealWorld(tmp_path, runtime)
            async with asyncio.TaskGroup() as tasks:
                await made.begin(tasks)
                try:
                    yield made
                finally:
                    made.end()
            assert await clear(runtime, clock=RealClock()) == []
        finally:
            await runtime.close()
            await engine.stop()
            remove_root(CGROUP)
        assert mounts_under(tmp_path / "kubelet") == []

    return opened


def is_ready(pod):
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def busybox(script, **more):
    return {"name": "c", "image": "busybox", "command": ["sh", "-c", script], **more}


def objects():
    kinds = ((core.ConfigMap, "m", {"data": {"key": "text"}}), (core.Secret, "s", {"data": {"pw": "czNjcmV0"}}))
    for kind, name, fields in kinds:
        yield msgspec.convert({"metadata": {"name": name, "namespace": "default"}, **fields}, kind)


async def test_a_pod_from_its_volumes_to_its_end(real):
    async with real() as w:
        for obj in objects():
            await w.client.create(obj)
        mounts = [{"name": "m", "mountPath": "/config"}, {"name": "e", "mountPath": "/deep", "subPath": "a/file"}]
        env = [
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ]
        limits = {"limits": {"memory": "64Mi", "cpu": "500m"}}
        init = {**busybox("mkdir -p /e/a; echo deep > /e/a/file"), "name": "i"}
        init["volumeMounts"] = [{"name": "e", "mountPath": "/e"}]
        began = time.monotonic()
        await w.make(
            busybox(SCRIPT, volumeMounts=mounts, env=env, resources=limits),
            initContainers=[init],
            volumes=[{"name": "m", "configMap": {"name": "m"}}, {"name": "e", "emptyDir": {}}],
            terminationGracePeriodSeconds=5,
        )
        pod = await w.when(is_ready)
        assert time.monotonic() - began < 5
        await asyncio.sleep(0.3)
        (log,) = (w.settings.log_root / f"default_p_{pod.metadata.uid}" / "c").iterdir()
        said = [line.split(" ", 3)[3] for line in log.read_text().splitlines()]
        assert said[0] == "textdeep"
        assert said[1] == f"s3cret {pod.status.pod_ip}"
        assert "nameserver 10.96.0.10" in said
        await w.delete()
        await w.when(lambda pod: pod is None, within_s=10)
        assert await w.engine.list_sandboxes() == []
        assert not log.exists()


async def test_endings_are_told_apart(real):
    async with real() as w:
        never = {"restartPolicy": "Never"}
        await w.make(busybox("echo fine > /dev/termination-log"), name="good", **never)
        await w.make(busybox("exit 3"), name="bad", **never)
        await w.make(busybox("tail /dev/zero", resources={"limits": {"memory": "16Mi"}}), name="fat", **never)
        await w.make(busybox("", command=["/none"]), name="none", **never)
        expected = {
            "good": ("Succeeded", "Completed", 0, "fine\n"),
            "bad": ("Failed", "Error", 3, ""),
            "fat": ("Failed", "OOMKilled", 137, ""),
        }
        for name, (phase, reason, code, message) in expected.items():
            pod = await w.when(lambda pod: pod.status.phase in ("Succeeded", "Failed"), name=name)
            ended = pod.status.container_statuses[0].state.terminated
            assert (pod.status.phase, ended.reason, ended.exit_code, ended.message) == (phase, reason, code, message)
        pod = await w.when(lambda pod: pod.status.phase == "Failed", name="none")
        assert "no such file" in pod.status.container_statuses[0].state.terminated.message


async def test_f_node_1_and_2_what_runs_outlives_agent_and_engine(real):
    async with real() as w:
        await w.make(busybox("sleep 1000"), terminationGracePeriodSeconds=0)
        before = await w.when(is_ready)
        await w.kill_agent()
        w.start_agent()
        await asyncio.sleep(1.5)
        after = await w.pod()
        assert after.status.container_statuses == before.status.container_statuses
        assert is_ready(after)


async def test_a_mesos_task_enters_the_hosts_root(real, tmp_path):
    async with real() as w:
        sandbox = tmp_path / "mesos/slaves/a/frameworks/f/executors/t/runs/r"
        names = {"mesos.bireme.dev/host-root": "true", "mesos.bireme.dev/sandbox": str(sandbox)}
        script = f"cd {sandbox} && test -d {tmp_path}/root && echo out && echo err >&2"
        await w.client.create(msgspec.convert({"metadata": {"name": "mesos-default"}}, core.Namespace))
        container = {"name": "task", "image": "bireme.local/busybox:1"}
        container["command"] = ["/bin/busybox", "chroot", "/host", "/bin/sh", "-c", script]
        tree = {
            "metadata": {"name": "t", "namespace": "mesos-default", "annotations": names},
            "spec": {"nodeName": "n1", "restartPolicy": "Never", "hostNetwork": True, "hostPID": True},
        }
        tree["spec"]["containers"] = [container]
        await w.client.create(msgspec.convert(tree, core.Pod))
        for _ in range(500):
            pod = await w.client.get(core.Pod, "t", namespace="mesos-default")
            if pod.status.phase in ("Succeeded", "Failed"):
                break
            await asyncio.sleep(0.02)
        assert pod.status.phase == "Succeeded", pod.status
        await asyncio.sleep(0.7)
        assert (sandbox / "stdout").read_text() == "out\n"
        assert (sandbox / "stderr").read_text() == "err\n"
