"""The `bireme` command as its users type it: what it shows, what it refuses and how, what it leaves behind."""

import contextlib
import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import conftest
from tests.e2e.conftest import BIREME, Cluster, run, wait_until

pytestmark = pytest.mark.e2e

IMAGE = "bireme.local/busybox:1"
SECOND = "e2e-second"
SECOND_FLAGS = {
    "--api-port": "26543",
    "--mesos-port": "26150",
    "--agent-port": "26151",
    "--marathon-port": "26180",
    "--kubelet-port": "26250",
    "--pod-range": "10.232.0.0/16",
    "--service-range": "10.233.0.0/16",
    "--dns-address": "10.233.0.10",
}


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


def say(*words: str | Path, timeout_s: float = 120, prefix: tuple[str, ...] = (), **environment: str) -> Said:
    done = subprocess.run(
        [*prefix, str(BIREME), *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **environment},
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def here() -> tuple[str, ...]:
    return ("--name", conftest.NAME, "--root", str(conftest.ROOT))


def refused(said: Said, code: str, *words: str) -> None:
    """A clear error: its kind, what it is about, and what helps, in two lines."""
    assert said.code == 1, said
    assert f"({code})" in said.err
    assert said.err.startswith("error: ")
    assert len(said.err.strip().splitlines()) <= 2, said.err
    for word in words:
        assert word in said.err


def pod(name: str, *command: str, image: str = IMAGE) -> str:
    container = {"name": "main", "image": image, "command": list(command) or ["sleep", "3600"]}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


@pytest.mark.usefixtures("cluster")
class TestLooking:
    """Commands that read."""

    def test_up_again_says_that_it_runs(self) -> None:
        assert f'The cluster "{conftest.NAME}" runs already' in conftest.bring_up()
        line = json.loads(conftest.bring_up("--json"))
        assert line["ready"]
        assert line["running"]
        assert line["api"] == f"https://127.0.0.1:{conftest.FLAGS['--api-port']}"
        assert conftest.bring_up("--quiet") == ""

    def test_up_with_other_settings_while_it_runs_is_refused(self) -> None:
        refused(say("up", *here(), "--mesos-port", "26999"), "BIR-011", "runs with other settings", "bireme down")

    def test_status_names_the_processes_of_the_parts(self) -> None:
        said = say("status", *here(), "--json")
        report = json.loads(said.out)
        assert said.code == {"healthy": 0, "degraded": 1}[report["health"]]
        assert set(report["parts"]) == {"supervisor", "containerd", "core", "node"}
        for name, part in report["parts"].items():
            assert part["alive"], name
            command = Path(f"/proc/{part['pid']}/cmdline").read_text()
            assert {"supervisor": "supervise", "core": "run-core", "node": "run-node"}.get(name, name) in command
            assert str(conftest.ROOT / conftest.NAME) in command

    def test_status_for_people_fits_on_a_screen(self) -> None:
        lines = say("status", *here()).out.splitlines()
        assert len(lines) < 25
        assert lines[0].startswith(f"{conftest.NAME} · ")
        for start in ("  supervisor  pid ", "  containerd  pid ", "  core        pid ", "  node        pid "):
            assert [line for line in lines if line.startswith(start)], start
        assert "Nodes       1 of 1 Ready" in lines
        assert [line for line in lines if line.startswith("Store       revision ")]

    def test_kubeconfig_printed_is_one(self, tmp_path: Path) -> None:
        path = tmp_path / "config"
        path.write_text(say("kubeconfig", *here()).out)
        assert path.read_text() == say("kubeconfig", *here(), "--print").out
        assert "Ready" in run("kubectl", "get", "nodes", KUBECONFIG=str(path))

    def test_kubeconfig_is_merged_and_removed_under_home(self, tmp_path: Path) -> None:
        path = tmp_path / ".kube" / "config"
        other = "apiVersion: v1\nkind: Config\nclusters:\n- name: prod\n  cluster: {server: 'https://prod'}\n"
        path.parent.mkdir()
        path.write_text(
            other + "contexts:\n- name: prod\n  context: {cluster: prod, user: ''}\ncurrent-context: prod\n"
        )
        environment = {"HOME": str(tmp_path), "KUBECONFIG": ""}
        said = say("kubeconfig", *here(), "--merge", **environment)
        assert str(path) in said.out
        assert path.stat().st_mode & 0o777 == 0o600
        kubectl = ("kubectl", "--kubeconfig", str(path))
        assert run(*kubectl, "config", "current-context").strip() == conftest.NAME
        assert "Ready" in run(*kubectl, "get", "nodes")
        assert run(*kubectl, "config", "get-contexts", "-o", "name").split() == [conftest.NAME, "prod"]
        assert say("kubeconfig", *here(), "--remove", **environment).out == "removed\n"
        assert run(*kubectl, "config", "get-contexts", "-o", "name").split() == ["prod"]
        assert run(*kubectl, "config", "current-context").strip() == "prod"
        assert say("kubeconfig", *here(), "--remove", **environment).out == "it was not there\n"
        assert sorted(each.name for each in path.parent.iterdir()) == ["config"]

    def test_explain_and_help(self) -> None:
        assert "port" in say("explain", "BIR-010").out
        assert say("explain", "BIR-999").code == 2
        assert "Bring the cluster" in say("--help").out


def archive(path: Path, name: str) -> None:
    """A `docker save`-like archive: one layer with busybox and a file."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for folder in ("bin", "etc", "proc", "sys", "dev", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        busybox = Path("/bin/busybox").read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(busybox), 0o755
        tar.addfile(entry, io.BytesIO(busybox))
        for applet in ("sh", "cat", "sleep"):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        note = b"from an archive\n"
        entry = tarfile.TarInfo("etc/note")
        entry.size, entry.mode = len(note), 0o644
        tar.addfile(entry, io.BytesIO(note))
    data = layer.getvalue()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    config = json.dumps(
        {
            "architecture": machine,
            "os": "linux",
            "config": {"Cmd": ["cat", "/etc/note"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for member, content in ((config_name, config), ("layer.tar", data), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


class TestImages:
    """Archives in, pods out."""

    def test_a_pod_runs_from_an_imported_archive(self, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
        name = "example.test/note:1"
        archive(tmp_path / "note.tar", name)
        said = say("image", "import", tmp_path / "note.tar", *here())
        assert said.code == 0, said
        assert name in said.out
        assert name in json.loads(say("image", "list", "--json", *here()).out)
        wanted = json.loads(pod("note", image=name))
        wanted["spec"]["containers"][0].pop("command")
        wanted["spec"]["containers"][0]["imagePullPolicy"] = "IfNotPresent"
        wanted["spec"]["restartPolicy"] = "Never"
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(wanted))
        wait_until("its end", lambda: cluster.get("pod", "note", "-n", namespace)["status"]["phase"] == "Succeeded")
        assert cluster.kubectl("logs", "-n", namespace, "note") == "from an archive\n"

    @pytest.mark.usefixtures("cluster")
    def test_what_is_no_archive_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.tar"
        path.write_bytes(b"no archive at all" * 100)
        refused(say("image", "import", path, *here()), "BIR-060")
        assert say("image", "import", tmp_path / "none.tar", *here()).code == 2


NAMES = ["Bad", "-x", "../../etc", "a" * 30, "x;y", "x y", "1x", "."]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
class TestRefusals:
    """Each a clear error of the right kind, an exit code, no traceback, and nothing left."""

    @pytest.mark.parametrize(
        ("verb", "name"),
        [("up", name) for name in NAMES] + [(verb, "../../etc") for verb in ("status", "down", "env", "kubeconfig")],
    )
    def test_bad_cluster_names(self, verb: str, name: str, tmp_path: Path) -> None:
        refused(say(verb, f"--name={name}", "--root", tmp_path / "root"), "BIR-050", "is no cluster name")
        assert not (tmp_path / "root").exists()

    @pytest.mark.parametrize("verb", ["status", "down", "env", "kubeconfig"])
    def test_a_cluster_that_is_not_there(self, verb: str, tmp_path: Path) -> None:
        refused(say(verb, "--root", tmp_path), "BIR-011", "there is no cluster", "bireme up")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "text",
        ["{", '{"api_port": "many"}', "\udcff"],
        ids=["cut", "words for numbers", "no text"],
    )
    def test_damaged_settings(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "hurt" / "config.json"
        path.parent.mkdir()
        path.write_bytes(text.encode(errors="surrogateescape"))
        for verb in ("up", "status", "down"):
            refused(say(verb, "--name", "hurt", "--root", tmp_path), "BIR-050", str(path))
        assert path.read_bytes() == text.encode(errors="surrogateescape")
        assert say("down", "--check", "--name", "hurt", "--root", tmp_path).code == 1
        assert say("down", "--purge", "--name", "hurt", "--root", tmp_path).code == 0
        assert say("down", "--check", "--name", "hurt", "--root", tmp_path).code == 0

    @pytest.mark.parametrize(
        ("flags", "word"),
        [
            (("--pod-range", "nonsense"), "nonsense"),
            (("--pod-range", "10.1.0.0/16", "--service-range", "10.1.0.0/16"), "overlap"),
            (("--service-range", "10.1.0.0/30", "--dns-address", "10.1.0.2"), "too small"),
            (("--dns-address", "192.0.2.1"), "DNS address"),
            (("--api-port", "5050"), "two doors"),
            (("--host", "not-an-address"), "not-an-address"),
            (("--node-name", "Not A Name"), "no node name"),
        ],
    )
    def test_flags_that_cannot_be(self, flags: tuple[str, ...], word: str, tmp_path: Path) -> None:
        refused(say("up", "--root", tmp_path / "root", *flags), "BIR-050", word)
        assert not (tmp_path / "root").exists()

    @pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
    def test_ports_that_cannot_be(self, port: str, tmp_path: Path) -> None:
        said = say("up", "--root", tmp_path / "root", f"--api-port={port}")
        assert said.code == 2
        assert "--api-port" in said.err

    def test_a_port_in_use_names_its_holder(self, tmp_path: Path) -> None:
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            port = str(holder.getsockname()[1])
            said = say("up", "--root", tmp_path / "root", *second_flags({"--api-port": port}))
        refused(said, "BIR-010", f"port {port} (API) is held by", f"(pid {os.getpid()})", "--api-port")
        assert not (tmp_path / "root").exists()

    def test_a_range_that_the_machine_uses(self, tmp_path: Path) -> None:
        routes = run("ip", "-4", "route", "show").splitlines()
        used = next(words[0] for line in routes if (words := line.split())[0] != "default" and "/" in words[0])
        flags = second_flags({"--pod-range": f"{used.split('/')[0].rsplit('.', 2)[0]}.0.0/16"})
        refused(say("up", "--root", tmp_path / "root", *flags), "BIR-030", "overlaps this machine's route")
        assert not (tmp_path / "root").exists()

    def test_without_root(self, tmp_path: Path) -> None:
        # The capability only lets it find Python where the test's environment may have it: under root's home.
        as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        seeing = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
        for words in (("up",), ("down",), ("image", "list")):
            said = say(*words, "--root", tmp_path / "root", prefix=(*as_nobody, *seeing), HOME=str(tmp_path))
            refused(said, "BIR-020", "needs root", "sudo ")
        assert not (tmp_path / "root").exists()

    def test_without_containerd_and_without_apt(self, tmp_path: Path) -> None:
        empty = tmp_path / "bin"
        empty.mkdir()
        said = say("up", "--root", tmp_path / "root", *second_flags({}), PATH=str(empty))
        refused(said, "BIR-021", "missing: containerd", "install them")
        assert not (tmp_path / "root").exists()

    def test_an_apt_that_fails(self, tmp_path: Path) -> None:
        programs = tmp_path / "bin"
        programs.mkdir()
        (programs / "apt-get").write_text("#!/bin/sh\necho 'E: Unable to locate package containerd' >&2\nexit 100\n")
        (programs / "apt-get").chmod(0o755)
        said = say("up", "--root", tmp_path / "root", *second_flags({}), PATH=str(programs))
        refused(said, "BIR-021", "apt could not install containerd", "Unable to locate", "fix: apt-get install")
        assert not (tmp_path / "root").exists()

    def test_a_disk_that_is_too_small_or_full(self, small_disk: Path) -> None:
        words = ("up", "--root", small_disk, *second_flags({}))
        refused(say(*words), "BIR-012", "MiB are free", "--root")
        with pytest.raises(OSError, match="No space left"):
            (small_disk / "ballast").write_bytes(bytes(8 * 2**20))
        refused(say(*words), "BIR-012", "No space left on device", "--root")
        assert [path.name for path in small_disk.iterdir()] == ["ballast"]

    def test_settings_of_another_folder(self, tmp_path: Path) -> None:
        path = tmp_path / "copied" / "config.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"cluster": "copied", "data": "/etc", "run": str(tmp_path / "run")}))
        for verb in ("up", "down", "status"):
            refused(say(verb, "--name", "copied", "--root", tmp_path), "BIR-050", "in /etc")
        assert say("down", "--purge", "--name", "copied", "--root", tmp_path).code == 0
        assert Path("/etc/passwd").exists()
        assert not path.parent.exists()

    def test_a_root_that_is_a_file_or_read_only(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        refused(say("up", "--root", tmp_path / "file" / "x", *second_flags({})), "BIR-012", "Not a directory")
        refused(say("up", "--root", "/proc/nowhere", *second_flags({})), "BIR-012", "cannot write")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        run("umount", str(folder))


def second_flags(changes: dict[str, str]) -> list[str]:
    flags = {"--name": SECOND, **SECOND_FLAGS, **changes}
    return [word for pair in flags.items() for word in pair]


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Path]:
    """The root of a second cluster, which the test brings up; purged whatever happens."""
    root = Path("/var/tmp/bireme-e2e-second")
    say("down", "--purge", "--name", SECOND, "--root", root)
    try:
        yield root
    finally:
        said = say("down", "--purge", "--name", SECOND, "--root", root)
        checked = say("down", "--check", "--name", SECOND, "--root", root)
        assert checked.code == 0, said.err + checked.out


def processes(pattern: str) -> str:
    """The ids of the processes whose command line is like that."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if re.search(pattern, path.read_bytes().replace(b"\0", b" ").decode(errors="replace")):
                found.append(path.parent.name)
    return "\n".join(found)


def test_down_and_up_again_then_purge_and_check(second: Path, tmp_path: Path) -> None:
    """The life of a cluster beside the first one: nothing of it is lost while it is kept, nothing left after."""
    words = ("--name", SECOND, "--root", str(second))
    environment = {"HOME": str(tmp_path), "KUBECONFIG": ""}
    config = ("kubectl", "--kubeconfig", str(tmp_path / ".kube" / "config"))

    def check() -> tuple[int, list[str]]:
        said = say("down", "--check", *words, **environment)
        return said.code, said.out.splitlines()

    def running(restarts: int) -> bool:
        tree: Any = json.loads(run(*config, "get", "pod", "stays", "-o", "json"))
        (status,) = tree["status"]["containerStatuses"]
        return status["ready"] and "running" in status["state"] and status["restartCount"] >= restarts

    assert check()[0] == 0
    began = say("up", "--root", second, *second_flags({}), **environment, timeout_s=180)
    assert began.code == 0, began
    assert run(*config, "config", "current-context").strip() == SECOND
    wait_until("the account", lambda: "default" in run(*config, "get", "sa", "-o", "name"))
    run(*config, "create", "-f", "-", text=pod("stays", "sleep", "4917"))
    run(*config, "create", "configmap", "kept", "--from-literal=a=1")
    run(*config, "wait", "--for=condition=Ready", "pod/stays", "--timeout=60s")

    said = say("down", *words, **environment)
    assert said.code == 0, said
    assert "State stays" in said.out
    assert not processes("^sleep 4917")
    assert say("status", *words).code == 2
    assert say("down", *words).out.startswith("phase=containers-and-parts ok")
    refused(say("image", "list", *words), "BIR-060", "does not run")

    assert say("up", "--root", second, *second_flags({}), **environment, timeout_s=180).code == 0
    assert run(*config, "get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "1"
    wait_until("the pod's return", lambda: running(0))
    wait_until("its process", lambda: processes("^sleep 4917"))

    code, left = check()
    assert code == 1
    for kind in ("link ", "route ", "nft table ", "mount ", "cgroup ", "process ", "folder ", "kubeconfig entry "):
        assert [line for line in left if line.startswith(f" ✗ {kind}")], f"{kind}is not in\n" + "\n".join(left)
    assert int(left[-1].split()[0]) == len(left) - 1

    # The worst that can be purged: nobody in charge is left, and containers run on.
    parts = json.loads(say("status", "--json", *words).out)["parts"]
    for name in ("supervisor", "node", "core", "containerd"):
        os.kill(parts[name]["pid"], signal.SIGKILL)
    assert processes("^sleep 4917")
    assert "containers they had left" in say("down", *words, **environment).out
    wait_until("the end of its process", lambda: not processes("^sleep 4917"))
    said = say("down", "--purge", *words, **environment)
    assert said.code == 0, said
    code, left = check()
    assert (code, left) == (
        0,
        ["0 left (links, routes, nft tables, netns, mounts, cgroups, processes, files, kubeconfig)"],
    )
    assert not processes("^sleep 4917")
    assert not (tmp_path / ".kube" / "config").exists()
    assert not second.exists()
