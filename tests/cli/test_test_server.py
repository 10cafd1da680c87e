"""`bireme test-server`: it says where it is, ends with its caller, and leaves nothing behind."""

import json
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

COMMAND = [sys.executable, "-m", "bireme.cli.main", "test-server"]


def start(folder: Path, *flags: str, **options: Any) -> "tuple[subprocess.Popen[bytes], str]":
    process = subprocess.Popen(
        [*COMMAND, *flags],
        stdout=subprocess.PIPE,
        env={"TMPDIR": str(folder), "PATH": "/usr/bin:/bin", **environment()},
        **{"stdin": subprocess.PIPE, **options},
    )
    assert process.stdout is not None
    return process, process.stdout.readline().decode().strip()


def environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path)}


def ended(process: "subprocess.Popen[bytes]") -> int:
    code = process.wait(20)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    return code


def test_the_path_of_a_kubeconfig_is_all_it_says_and_the_end_of_input_is_its_end(tmp_path: Path) -> None:
    process, said = start(tmp_path, "--nodes", "1")
    config = yaml.safe_load(Path(said).read_text())
    assert config["clusters"][0]["cluster"]["server"].startswith("https://127.0.0.1:")
    assert process.stdin is not None
    process.stdin.close()
    assert ended(process) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(tmp_path: Path, number: int) -> None:
    process, said = start(tmp_path, "--nodes", "0", "--no-controllers", "--json", "--stay", stdin=subprocess.DEVNULL)
    facts = json.loads(said)
    context = ssl.create_default_context(cafile=facts["ca"])
    context.load_cert_chain(facts["certificate"], facts["key"])
    with urllib.request.urlopen(facts["url"] + "/readyz", context=context) as answer:
        assert answer.read() == b"ok"
    assert facts["token"].count(".") == 2
    process.send_signal(number)
    ended(process)
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_its_parent_and_sweeps_after_one_that_was_killed(tmp_path: Path) -> None:
    process, said = start(tmp_path, "--nodes", "0", "--no-controllers")
    process.kill()
    ended(process)
    assert Path(said).exists()
    script = (
        "import subprocess, sys\n"
        "server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)\n"
        "print(server.pid, server.stdout.readline())"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script, *COMMAND, "--nodes", "0", "--no-controllers"],
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", **environment()},
        stdout=subprocess.PIPE,
        check=True,
        timeout=30,
    )
    server = int(parent.stdout.split()[0])
    deadline = time.monotonic() + 20
    while Path(f"/proc/{server}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{server}").exists()
    assert list(tmp_path.iterdir()) == []
