"""What a Mesos task's pod gets besides."""

from pathlib import Path

import pytest
from kubelet_pods import pod

from bireme.kubelet.mesos_sandbox import (
    LogCopier,
    SandboxProblem,
    make_sandbox,
    mounts,
    sandbox_of,
    wants_host_root,
)

ALLOWED = Path("/data/mesos")
INSIDE = "/data/mesos/slaves/a/frameworks/f/executors/t/runs/r"


def task(namespace="mesos-default", **annotations):
    names = {f"mesos.bireme.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}
    return pod(metadata={"namespace": namespace, "annotations": names})


def test_a_task_is_heard_in_its_own_namespaces_only():
    assert wants_host_root(task(host_root="true"))
    assert not wants_host_root(task("default", host_root="true"))
    assert not wants_host_root(task(host_root="yes"))
    assert sandbox_of(task(sandbox=INSIDE), ALLOWED) == Path(INSIDE)
    assert sandbox_of(task("default", sandbox="/etc"), ALLOWED) is None


@pytest.mark.parametrize("path", ["/etc", "/data/mesos", "/data/mesos/../x", "relative", "/data/mesosx/y"])
def test_a_sandbox_lies_beneath_the_agents_folder(path):
    with pytest.raises(SandboxProblem):
        sandbox_of(task(sandbox=path), ALLOWED)


def test_an_agent_without_a_folder_gives_none():
    with pytest.raises(SandboxProblem):
        sandbox_of(task(sandbox=INSIDE), None)


def test_no_link_in_the_way_is_followed_out(tmp_path):
    allowed = tmp_path / "mesos"
    make_sandbox(allowed / "a/b", allowed)
    assert (allowed / "a/b/stdout").exists()
    (allowed / "evil").symlink_to("/tmp")
    with pytest.raises(OSError):
        make_sandbox(allowed / "evil/x", allowed)


def test_mounts():
    (root,) = mounts(task(host_root="true"), Path(INSIDE))
    assert (root.container_path, root.host_path) == ("/host", "/")
    (sandbox,) = mounts(task(), Path(INSIDE))
    assert (sandbox.container_path, sandbox.host_path) == ("/mnt/mesos/sandbox", INSIDE)


def test_a_log_becomes_stdout_and_stderr(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(b"t stdout F one\nt stderr F bad\nt stdout P tw")
    copier = LogCopier(log, tmp_path)
    assert copier.step()
    with log.open("ab") as file:
        file.write(b"\nt stdout F o\nt stdout F \n")
    assert copier.step()
    assert not copier.step()
    assert (tmp_path / "stdout").read_bytes() == b"one\ntwo\n\n"
    assert (tmp_path / "stderr").read_bytes() == b"bad\n"
    again = LogCopier(log, tmp_path)
    again.skip_copied()
    with log.open("ab") as file:
        file.write(b"t stdout F last\n")
    again.step()
    assert (tmp_path / "stdout").read_bytes() == b"one\ntwo\n\nlast\n"
