"""The configuration of an engine of our own."""

import tomllib
from pathlib import Path

import pytest

from bireme.aio.clock import RealClock
from bireme.runtime.containerd import Containerd, ContainerdSettings, Machine, configuration
from bireme.runtime.interface import RuntimeFault

SETTINGS = ContainerdSettings(Path('/d/"x'), Path("/s"), Path("/s/c.sock"), Path("/cni"))


def test_everything_lies_where_it_was_told():
    made = tomllib.loads(configuration(SETTINGS, Machine(True, False, "overlayfs")))
    cri = made["plugins"]["io.containerd.grpc.v1.cri"]
    assert made["root"] == '/d/"x/data'
    assert made["state"] == "/s/containerd"
    assert made["grpc"]["address"] == "/s/c.sock"
    assert cri["cni"] == {"bin_dir": "/usr/lib/cni", "conf_dir": "/cni"}
    assert (cri["restrict_oom_score_adj"], cri["disable_apparmor"]) == (True, True)
    assert cri["sandbox_image"] == "bireme.local/pause:1"
    assert cri["containerd"]["runtimes"]["runc"]["options"]["Root"] == "/s/runc"


async def test_a_missing_engine_is_named(tmp_path):
    settings = ContainerdSettings(
        tmp_path / "r", tmp_path / "s", tmp_path / "x.sock", tmp_path / "cni", program="no-such-engine"
    )
    with pytest.raises(RuntimeFault, match="no-such-engine is not installed"):
        await Containerd(settings, clock=RealClock()).start()


async def test_an_engine_that_ends_at_once_is_told_with_its_log(tmp_path):
    settings = ContainerdSettings(
        tmp_path / "r", tmp_path / "s", tmp_path / "x.sock", tmp_path / "cni", program="false"
    )
    with pytest.raises(RuntimeFault, match=r"containerd\.log"):
        await Containerd(settings, clock=RealClock()).start()


def test_a_stale_pid_file_is_not_believed(tmp_path):
    settings = ContainerdSettings(tmp_path / "r", tmp_path, tmp_path / "x.sock", tmp_path / "cni")
    settings.pid_path.write_text("1")
    assert Containerd(settings, clock=RealClock()).pid is None
