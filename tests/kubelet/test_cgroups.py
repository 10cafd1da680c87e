"""Requests and limits to what the kernel takes."""

import pytest
from kubelet_pods import container, pod

from bireme.kubelet.cgroups import (
    cgroup_parent,
    class_shares,
    container_resources,
    cpu_shares,
    hold_to,
    pod_resources,
)
from bireme.runtime.interface import LinuxResources

GIB = 1 << 30


@pytest.mark.parametrize(
    ("resources", "expected", "folder"),
    [
        pytest.param(
            {}, LinuxResources(cpu_shares=2, oom_score_adj=1000), "/x/kubepods/besteffort/podu-1", id="nothing"
        ),
        pytest.param(
            {"limits": {"cpu": "500m", "memory": "64Mi"}},
            LinuxResources(512, 50_000, 100_000, 64 << 20, -997),
            "/x/kubepods/podu-1",
            id="guaranteed",
        ),
        pytest.param(
            {"requests": {"cpu": "250m", "memory": "1Gi"}},
            LinuxResources(cpu_shares=256, oom_score_adj=750),
            "/x/kubepods/burstable/podu-1",
            id="burstable",
        ),
        pytest.param(
            {"limits": {"cpu": "1m"}},
            LinuxResources(2, 1000, 100_000, 0, 999),
            "/x/kubepods/burstable/podu-1",
            id="the least that the kernel takes",
        ),
    ],
)
def test_container_resources(resources, expected, folder):
    wanted = pod(container(resources=resources))
    assert container_resources(wanted, wanted.spec.containers[0], node_memory=4 * GIB) == expected
    assert cgroup_parent("/x", wanted) == folder


def test_shares():
    assert [cpu_shares(m) for m in (0, 1, 100, 1000, 2000)] == [2, 2, 102, 1024, 2048]


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        pytest.param([{}], LinuxResources(cpu_shares=2), id="best effort"),
        pytest.param(
            [
                {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m", "memory": "32Mi"}},
                {"requests": {"cpu": "400m"}, "limits": {"memory": "32Mi"}},
            ],
            LinuxResources(cpu_shares=512, memory_limit=64 << 20),
            id="a limit holds only where all have one",
        ),
        pytest.param(
            [{"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "500m", "memory": "64Mi"}}] * 2,
            LinuxResources(1024, 100_000, 100_000, 128 << 20),
            id="guaranteed",
        ),
    ],
)
def test_a_pods_folder_holds_the_sum(containers, expected):
    wanted = pod(*(container(f"c{number}", resources=each) for number, each in enumerate(containers)))
    assert pod_resources(wanted) == expected


def test_classes_share_by_what_their_pods_ask_for():
    burstable = pod(container(resources={"requests": {"cpu": "250m"}}))
    guaranteed = pod(container(resources={"limits": {"cpu": "1", "memory": "1Gi"}}))
    assert class_shares("/x", [burstable, burstable, guaranteed, pod()]) == {
        "/x/kubepods/burstable": 512,
        "/x/kubepods/besteffort": 2,
    }


@pytest.mark.parametrize("unified", [False, True])
def test_a_folder_is_held_to_its_resources(tmp_path, unified):
    if unified:
        (tmp_path / "cgroup.controllers").touch()
    folders = [tmp_path / "p"] if unified else [tmp_path / "cpu" / "p", tmp_path / "memory" / "p"]
    wanted = LinuxResources(1024, 50_000, 100_000, 1 << 20)
    assert not hold_to("/p", wanted, top=tmp_path)  # nothing there yet
    for folder in folders:
        folder.mkdir(parents=True)
    assert hold_to("/p", wanted, top=tmp_path)
    written = {file.name: file.read_text() for folder in folders for file in folder.iterdir()}
    assert written == (
        {"cpu.weight": "39", "cpu.max": "50000 100000", "memory.max": "1048576"}
        if unified
        else {
            "cpu.shares": "1024",
            "cpu.cfs_period_us": "100000",
            "cpu.cfs_quota_us": "50000",
            "memory.limit_in_bytes": "1048576",
        }
    )
