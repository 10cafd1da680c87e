"""A running server for each worker, for clients that were written for Kubernetes and know nothing of us."""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Others' clients leave sockets to the collector; that is no fault of the server's."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a client left is collected here, where it is expected."""
    yield
    gc.collect()


@dataclass(frozen=True)
class Server:
    """Where it is, and how its admin gets in."""

    url: str
    kubeconfig: Path
    ca: Path
    token: str

    def ask(self, method: str, path: str, body: Any = None, *, media: str = "application/json") -> Any:
        """The answer to a request of the admin's."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": media}
        data = None if body is None else json.dumps(body)
        answer = requests.request(
            method, self.url + path, data=data, headers=headers, verify=str(self.ca), timeout=30
        )
        assert answer.status_code < 300, answer.text
        return answer.json()

    def patch(self, path: str, body: Any) -> Any:
        """The answer to a merge patch."""
        return self.ask("PATCH", path, body, media="application/merge-patch+json")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`bireme test-server`, with controllers, a scheduler and two hollow nodes."""
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "bireme.cli.main", "test-server", "--json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        said = json.loads(line)
        yield Server(said["url"], Path(said["kubeconfig"]), Path(said["ca"]), said["token"])
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


_numbers = count(1)


@pytest.fixture
def namespace(server: Server) -> Iterator[str]:
    """A namespace of the test's own, with its service account."""
    name = f"clients-{os.getpid()}-{next(_numbers)}"
    server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    until(lambda: server.ask("GET", f"/api/v1/namespaces/{name}/serviceaccounts")["items"])
    yield name
    server.ask("DELETE", f"/api/v1/namespaces/{name}")


def until(claim: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """The first true answer; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := claim()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


@pytest.fixture(name="until")
def _until() -> Callable[..., Any]:
    """Waiting, for tests."""
    return until
