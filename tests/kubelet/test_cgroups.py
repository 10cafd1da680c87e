"""Requests and limits to what the kernel takes."""

import pytest
from kubelet_pods import container, pod

from bireme.kubelet.cgroups import cgroup_parent, container_resources, cpu_shares
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
