"""Ask a running API server what its own OpenAPI says can be asked, with values nobody would think of.

For a time that is given, operation after operation is drawn, and cases are made for it by schemathesis; in half of
them names are those of objects that exist. An answer of 500, a dropped connection or none within ten seconds is a
finding; everything else (most are 400, 404 and 422) is as it should be. The same seed asks the same.

    fuzz_api.py --seconds 60 --seed 1

Without a kubeconfig it starts a test server with two hollow nodes, and ends it.
"""

import argparse
import base64
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import requests
import schemathesis
import yaml
from hypothesis.errors import HypothesisWarning

LONGEST_S = 10.0
CASES = 12
EXISTING = {
    "name": ("default", "kubernetes", "kube-system", "kube-root-ca.crt", "system-node-critical", "fuzzed", "a"),
    "namespace": ("default", "kube-system", "fuzzed"),
}
TUNNELS = ("/exec", "/attach", "/portforward", "/proxy", "/log")
NOT_DONE_HERE = frozenset({501, 503, 504})


@dataclass
class Tally:
    """What came of it."""

    answers: Counter[int] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)
    slowest_s: float = 0.0
    asked: int = 0


class Server:
    """The server that a kubeconfig names, as its user."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        said = yaml.safe_load(kubeconfig.read_text())
        cluster, user = said["clusters"][0]["cluster"], said["users"][0]["user"]
        self.url: str = cluster["server"]
        self.session = requests.Session()
        self.session.trust_env = False  # a bundle named in the environment would come before `verify`
        self.session.verify = self._file(folder, "ca", cluster, "certificate-authority")
        if "token" in user:
            self.session.headers["authorization"] = f"Bearer {user['token']}"
        else:
            self.session.cert = (
                self._file(folder, "crt", user, "client-certificate"),
                self._file(folder, "key", user, "client-key"),
            )

    @staticmethod
    def _file(folder: Path, name: str, said: dict[str, str], key: str) -> str:
        if key in said:
            return said[key]
        path = folder / name
        path.write_bytes(base64.b64decode(said[f"{key}-data"]))
        return str(path)

    def get(self, path: str) -> Any:
        answer = self.session.get(self.url + path, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The OpenAPI v3 document of each group version."""
        for name, said in sorted(self.get("/openapi/v3")["paths"].items()):
            yield name, self.get(said["serverRelativeURL"])


def operations(server: Server, only: str) -> list[Any]:
    """Everything that can be asked, but for tunnels into pods."""
    found = []
    for name, document in server.documents():
        if only and only not in name:
            continue
        document.setdefault("info", {"title": name, "version": "1"})
        for result in schemathesis.openapi.from_dict(document).get_all_operations():
            operation = result.ok()
            if not operation.path.endswith(TUNNELS) and "/proxy/" not in operation.path:
                found.append(operation)
    return found


def ask(server: Server, case: Any, dice: random.Random, tally: Tally) -> None:
    """Send one case, and write down what is wrong with the answer."""
    for name, values in EXISTING.items():
        if name in (case.path_parameters or {}) and dice.random() < 0.5:
            case.path_parameters[name] = dice.choice(values)
    said = case.as_transport_kwargs(base_url=server.url)
    said["params"] = {**(said.get("params") or {}), "timeoutSeconds": "1"}
    said["headers"] = {key: value for key, value in said["headers"].items() if key.lower() != "authorization"}
    label, began = case.operation.label, time.monotonic()
    try:
        answer = server.session.request(**said, timeout=LONGEST_S, allow_redirects=False)
    except requests.RequestException as error:
        tally.findings.setdefault(f"{label}: {type(error).__name__}", f"{said}")
        return
    finally:
        tally.asked += 1
        tally.slowest_s = max(tally.slowest_s, time.monotonic() - began)
    tally.answers[answer.status_code] += 1
    if answer.status_code >= 500 and answer.status_code not in NOT_DONE_HERE:
        tally.findings.setdefault(f"{label}: {answer.status_code}", f"{said}\n    {answer.text[:400]}")


def fuzz(server: Server, *, seconds: float, seed: int, only: str = "") -> Tally:
    """Ask for `seconds`."""
    tally, dice, stop = Tally(), random.Random(seed), time.monotonic() + seconds
    known = operations(server, only)
    server.session.post(f"{server.url}/api/v1/namespaces", json={"metadata": {"name": "fuzzed"}}, timeout=10)
    while time.monotonic() < stop:
        operation = dice.choice(known)

        @hypothesis.seed(dice.getrandbits(32))
        @hypothesis.settings(
            max_examples=CASES,
            phases=[hypothesis.Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(operation.as_strategy())
        def one(case: Any) -> None:
            if time.monotonic() < stop:
                ask(server, case, dice, tally)

        try:
            one()
        except hypothesis.errors.HypothesisException as error:
            tally.findings.setdefault(f"{operation.label}: no case", repr(error)[:200])
    return tally


@contextlib.contextmanager
def own_server() -> Iterator[Path]:
    """A test server for as long as it takes: its kubeconfig."""
    command = [sys.executable, "-m", "bireme.cli.main", "test-server", "--nodes", "2", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Path(json.loads(process.stdout.readline())["kubeconfig"])
        finally:
            process.stdin.close()  # it ends with who started it
            process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, help="of a server that runs; one is started without it")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="a part of a group version's name")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", HypothesisWarning)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        kubeconfig = arguments.kubeconfig or stack.enter_context(own_server())
        server = Server(kubeconfig, Path(folder))
        tally = fuzz(server, seconds=arguments.seconds, seed=arguments.seed, only=arguments.only)
    for title, detail in tally.findings.items():
        sys.stdout.write(f"{title}\n    {detail}\n")
    sys.stdout.write(
        f"{tally.asked} requests, {len(tally.findings)} findings, slowest {tally.slowest_s:.1f}s, "
        f"answers {json.dumps(dict(sorted(tally.answers.items())))}\n"
    )
    sys.exit(1 if tally.findings else 0)


if __name__ == "__main__":
    main()
