"""What every runtime promises: hollow containers here, a real engine of our own with `-m e2e`."""

import json
import os
import shutil
from collections.abc import AsyncIterator

import pytest

from bireme.aio.clock import RealClock
from bireme.runtime.hollow import HollowRuntime
from bireme.runtime.interface import (
    ContainerSpec,
    NoSuchThing,
    Runtime,
    RuntimeFault,
    SandboxSpec,
    State,
)

IMAGE = "bireme.local/busybox:1"
LABELS = {"io.kubernetes.pod.uid": "u-1", "io.kubernetes.pod.name": "p", "app": "x"}


@pytest.fixture(params=["hollow", pytest.param("containerd", marks=pytest.mark.e2e)])
async def runtime(request, tmp_path) -> AsyncIterator[Runtime]:
    if request.param == "hollow":
        yield HollowRuntime(RealClock(), present=[IMAGE])
        return
    if os.geteuid() != 0 or shutil.which("containerd") is None:
        pytest.skip("needs root and containerd")
    from bireme.runtime.containerd import Containerd, ContainerdSettings, clear
    from bireme.runtime.cri import CriRuntime

    addresses = {"type": "host-local", "subnet": "198.18.200.0/28", "dataDir": str(tmp_path / "ipam")}
    network = {"cniVersion": "0.4.0", "name": "t", "plugins": [{"type": "ptp", "ipam": addresses}]}
    cni = tmp_path / "cni"
    cni.mkdir()
    (cni / "10.conflist").write_text(json.dumps(network))
    settings = ContainerdSettings(tmp_path / "root", tmp_path / "state", tmp_path / "c.sock", cni)
    engine = Containerd(settings, clock=RealClock())
    assert await engine.start()
    assert not await Containerd(settings, clock=RealClock()).start(), "one that runs is adopted"
    made = CriRuntime(str(settings.socket))
    try:
        await engine.import_builtin(made)
        yield made
        assert await clear(made, clock=RealClock()) == []
    finally:
        await made.close()
        await engine.stop()
        assert engine.pid is None


def sandbox(folder, attempt=0) -> SandboxSpec:
    return SandboxSpec("p", "default", "u-1", attempt, hostname="p", log_directory=str(folder), labels=LABELS)


def sleeper(attempt=0, command=("/bin/sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")) -> ContainerSpec:
    return ContainerSpec("c", IMAGE, attempt, command=command, labels=LABELS, log_path=f"c/{attempt}.log")


async def test_the_life_of_a_container(runtime, tmp_path):
    status = await runtime.status()
    assert status.ready
    spec = sandbox(tmp_path / "logs")
    box = await runtime.run_sandbox(spec)
    (shown,) = await runtime.list_sandboxes(pod_uid="u-1")
    assert (shown.id, shown.name, shown.uid, shown.ready, shown.labels["app"]) == (box, "p", "u-1", True, "x")
    assert len(await runtime.sandbox_addresses(box)) == 1
    container = await runtime.create_container(box, sleeper(), spec)
    assert (await runtime.container_status(container)).state is State.CREATED
    await runtime.start_container(container)
    running = await runtime.container_status(container)
    assert (running.state, running.name, running.finished_at) == (State.RUNNING, "c", None)
    assert running.started_at >= running.created_at
    await runtime.stop_container(container, grace_s=5)
    ended = await runtime.container_status(container)
    assert (ended.state, ended.exit_code, ended.reason) == (State.EXITED, 0, "Completed")
    await runtime.stop_container(container, grace_s=0)
    await runtime.remove_container(container)
    assert await runtime.list_containers(pod_uid="u-1") == []
    await runtime.stop_sandbox(box)
    (shown,) = await runtime.list_sandboxes()
    assert not shown.ready
    await runtime.remove_sandbox(box)
    assert await runtime.list_sandboxes() == []


async def test_names_are_given_once(runtime, tmp_path):
    spec = sandbox(tmp_path / "logs")
    box = await runtime.run_sandbox(spec)
    with pytest.raises(RuntimeFault):
        await runtime.run_sandbox(spec)
    await runtime.create_container(box, sleeper(), spec)
    with pytest.raises(RuntimeFault):
        await runtime.create_container(box, sleeper(), spec)
    await runtime.create_container(box, sleeper(attempt=1), spec)
    await runtime.remove_sandbox(box)
    assert await runtime.list_containers() == []


async def test_stopping_a_sandbox_stops_what_is_in_it(runtime, tmp_path):
    spec = sandbox(tmp_path / "logs")
    box = await runtime.run_sandbox(spec)
    container = await runtime.create_container(box, sleeper(), spec)
    await runtime.start_container(container)
    await runtime.stop_sandbox(box)
    assert (await runtime.container_status(container)).state is State.EXITED


async def test_what_is_gone_may_be_stopped_and_removed_but_not_asked(runtime):
    await runtime.stop_sandbox("nothing")
    await runtime.remove_sandbox("nothing")
    await runtime.stop_container("nothing", grace_s=0)
    await runtime.remove_container("nothing")
    with pytest.raises(NoSuchThing):
        await runtime.container_status("nothing")
    with pytest.raises(RuntimeFault):
        await runtime.start_container("nothing")
    assert await runtime.image("bireme.local/none:1") is None


async def test_commands_run_only_where_something_runs(runtime, tmp_path):
    spec = sandbox(tmp_path / "logs")
    box = await runtime.run_sandbox(spec)
    container = await runtime.create_container(box, sleeper(), spec)
    with pytest.raises(RuntimeFault):
        await runtime.exec_sync(container, ["/bin/true"], timeout_s=5)
    await runtime.start_container(container)
    assert (await runtime.exec_sync(container, ["/bin/true"], timeout_s=5)).exit_code == 0
    (used,) = [item for item in await runtime.usage() if item.container_id == container]
    assert used.labels["app"] == "x"


async def test_images_are_listed_by_their_names(runtime):
    found = await runtime.image(IMAGE)
    assert IMAGE in found.tags
    assert found.size > 0
    assert IMAGE in [tag for image in await runtime.list_images() for tag in image.tags]
