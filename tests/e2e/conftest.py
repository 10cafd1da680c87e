"""One real cluster for all stories, on ports and ranges of its own, gone without a trace at the end."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# A kubectl of today, where tools/setup-kubectl.sh has put one.
CLIENTS = Path(__file__).resolve().parents[2] / ".build" / "clients"
os.environ["PATH"] = f"{CLIENTS}:{os.environ['PATH']}"

NAME = "e2e"
ROOT = Path("/var/tmp/bireme-e2e")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "two-decks"
BIREME = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "bireme"
FLAGS = {
    "--api-port": "26443",
    "--mesos-port": "25050",
    "--agent-port": "25051",
    "--marathon-port": "28080",
    "--kubelet-port": "21250",
    "--pod-range": "10.245.0.0/16",
    "--service-range": "10.97.0.0/16",
    "--dns-address": "10.97.0.10",
}


def run(*command: str | Path, check: bool = True, text: str = "", timeout_s: float = 120, **environment: str) -> str:
    """What the command printed; AssertionError with all of it when it fails and `check` is set."""
    done = subprocess.run(
        [str(word) for word in command],
        input=text or None,
        stdin=subprocess.DEVNULL if not text else None,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **environment},
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout + ("" if check else done.stderr)


def wait_until(what: str, ready: Callable[[], object], *, seconds: float = 60.0) -> Any:
    """The first true answer of `ready`; AssertionError after `seconds`. An AssertionError inside means not yet."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            if answer := ready():
                return answer
        except AssertionError as error:
            last = error
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {seconds:.0f}s; last: {last}")


@dataclass(frozen=True)
class Cluster:
    """The running cluster, as its users see it."""

    environment: dict[str, str]
    kubectl_program: str = "kubectl"

    def bireme(self, *words: str, check: bool = True) -> str:
        return run(BIREME, *words, "--name", NAME, "--root", str(ROOT), check=check)

    def kubectl(self, *words: str, check: bool = True, text: str = "", timeout_s: float = 120) -> str:
        return run(
            self.kubectl_program,
            *words,
            check=check,
            text=text,
            timeout_s=timeout_s,
            KUBECONFIG=self.environment["KUBECONFIG"],
        )

    def get(self, *words: str) -> Any:
        """The object, or list, that `kubectl get … -o json` prints."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def apply(self, manifest: str | dict[str, Any]) -> str:
        return self.kubectl("apply", "-f", "-", text=manifest if isinstance(manifest, str) else json.dumps(manifest))

    def token(self, namespace: str) -> str:
        """A token of the namespace's default account, asked for as every kubectl can."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
        wanted = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
        answer = json.loads(self.kubectl("create", "--raw", path, "-f", "-", text=wanted))
        return str(answer["status"]["token"])

    def kubectl_minor(self) -> int:
        """20 for kubectl 1.20, Debian 12's own."""
        version = json.loads(self.kubectl("version", "--client", "-o", "json"))["clientVersion"]
        return int(re.sub(r"\D", "", version["minor"]))

    def curl(self, url: str, *words: str, check: bool = True) -> str:
        return run("curl", "--silent", "--show-error", "--max-time", "10", *words, url, check=check)

    @property
    def marathon(self) -> str:
        return self.environment["MARATHON_URL"]

    @property
    def mesos(self) -> str:
        return self.environment["MESOS_URL"]

    def status(self) -> Any:
        return json.loads(self.bireme("status", "--json", check=False))


def _environment() -> dict[str, str]:
    lines = run(BIREME, "env", "--name", NAME, "--root", str(ROOT)).splitlines()
    pairs = (line.removeprefix("export ").partition("=") for line in lines)
    return {name: value.strip("'") for name, _, value in pairs}


def bring_up(*words: str) -> str:
    flags = [word for pair in FLAGS.items() for word in pair]
    return run(BIREME, "up", "--name", NAME, "--root", str(ROOT), "--no-kubeconfig", *flags, *words, timeout_s=180)


def purge() -> None:
    run(BIREME, "down", "--purge", "--name", NAME, "--root", str(ROOT), check=False)
    shutil.rmtree(ROOT, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Path("/var/tmp/bireme-e2e.lock").open("w") as lock:  # one run on a machine at a time
        fcntl.flock(lock, fcntl.LOCK_EX)
        purge()
        bring_up()
        try:
            yield Cluster(_environment())
        finally:
            purge()


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, deleted in the background at its end."""
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:50].strip("-").lower()
    cluster.kubectl("create", "namespace", name)
    wait_until("the service account", lambda: "default" in cluster.kubectl("get", "sa", "-n", name, "-o", "name"))
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
