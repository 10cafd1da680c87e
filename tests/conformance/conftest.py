"""A running server for each worker, and real clients of it."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from kubernetes import client as official
from kubernetes import config as official_config

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from conformance_tools import program_named, wait_until  # noqa: E402 - the path is set above

MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell the report which behaviours a test holds."""
    for item in items:
        for mark in item.iter_markers("conformance"):
            item.user_properties += [("conformance", number) for number in mark.args]


@dataclass(frozen=True)
class Server:
    """The server: where it is, the files of its admin, and a token of an account that may do everything."""

    url: str
    kubeconfig: Path
    pki: Path
    token: str
    pid: int

    def memory(self) -> int:
        """Bytes that it has in memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


# How `forgetful` begins: as `bireme`, with another measure of the past.
SHORT_MEMORY = (
    "from bireme.cli import main; from bireme.registry import watch_cache; watch_cache.HISTORY_S = 0.5; main.main()"
)


@contextmanager
def started(folder: Path, *program: str) -> Iterator[Server]:
    """`bireme test-server` in a process of its own, ended with the block."""
    log = (folder / "log").open("wb")
    command = [sys.executable, *program, "test-server", "--json", "--pods", "500"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    assert process.stdin is not None
    line = process.stdout.readline()
    assert line, Path(log.name).read_text()
    said = json.loads(line)
    yield Server(said["url"], Path(said["kubeconfig"]), Path(said["ca"]).parent, said["token"], process.pid)
    process.stdin.close()
    process.wait(20)
    process.stdout.close()
    log.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of a worker, with controllers, a scheduler and two hollow nodes."""
    with started(tmp_path_factory.mktemp("server"), "-m", "bireme.cli.main") as server:
        yield server


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator["Api"]:
    """Raw HTTP as the admin of a server of its own, which forgets the past within seconds."""
    with started(tmp_path, "-c", SHORT_MEMORY) as server:
        yield door(server, certificate=(str(server.pki / "admin.crt"), str(server.pki / "admin.key")))


@dataclass
class Api:
    """Raw HTTP as the admin, or as whoever `session` says. Answers are `requests` responses."""

    url: str
    session: requests.Session

    def ask(self, method: str, path: str, body: Any = None, *, media: str = "", **headers: str) -> requests.Response:
        """Any request. `body` becomes JSON unless it is bytes; header names have `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named.setdefault("content-type", media or "application/json")
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.session.request(method, self.url + path, data=body, headers=named, timeout=60)

    def get(self, path: str, **headers: str) -> Any:
        return self._tree(self.ask("GET", path, **headers))

    def create(self, path: str, body: Any, **headers: str) -> Any:
        return self._tree(self.ask("POST", path, body, **headers))

    def update(self, path: str, body: Any, **headers: str) -> Any:
        return self._tree(self.ask("PUT", path, body, **headers))

    def patch(self, path: str, body: Any, *, media: str = MERGE, **headers: str) -> Any:
        return self._tree(self.ask("PATCH", path, body, media=media, **headers))

    def delete(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._tree(self.ask("DELETE", path, body, **headers))

    @staticmethod
    def _tree(answer: requests.Response) -> Any:
        assert answer.status_code < 300, f"{answer.status_code}: {answer.text[:2000]}"
        return answer.json()

    def watch(self, path: str, *, seconds: float = 30.0) -> "Events":
        """A watch that has begun; its events gather in the background."""
        return Events(self, path, seconds)


@dataclass
class Events:
    """The events of a watch, as they came."""

    api: Api
    path: str
    seconds: float
    seen: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        sign = "&" if "?" in self.path else "?"
        url = f"{self.api.url}{self.path}{sign}watch=true&timeoutSeconds={int(self.seconds)}"
        self._answer = self.api.session.get(url, stream=True, timeout=self.seconds + 10)
        assert self._answer.status_code == 200, self._answer.text
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for line in self._answer.iter_lines():
                if line:
                    self.seen.append(json.loads(line))
        except (requests.RequestException, AttributeError, ValueError):
            return  # closed under the reader

    def wait(self, wanted: Callable[[list[dict[str, Any]]], Any], *, seconds: float = 10.0) -> list[dict[str, Any]]:
        """The events, once `wanted` holds for them."""
        wait_until(lambda: wanted(self.seen), what=f"events of {self.path}: {self.seen}", seconds=seconds)
        return list(self.seen)

    def wait_over(self, *, seconds: float = 60.0) -> None:
        """Return once the server has ended the watch."""
        self._thread.join(seconds)
        assert not self._thread.is_alive()

    def types(self) -> list[str]:
        return [event["type"] for event in self.seen]

    def close(self) -> None:
        # Closing waits for the reader, who waits for the server: the reader is told first.
        connection = self._answer.raw.connection
        if connection is not None and connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
        self._answer.close()


@pytest.fixture(scope="session")
def api(server: Server) -> Api:
    """Raw HTTP as the admin."""
    return door(server, certificate=(str(server.pki / "admin.crt"), str(server.pki / "admin.key")))


def door(server: Server, *, token: str = "", certificate: tuple[str, str] | None = None) -> Api:
    """Raw HTTP with these credentials (none: anonymous)."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(server.pki / "ca.crt")
    session.cert = certificate
    if token:
        session.headers["authorization"] = f"Bearer {token}"
    adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=64)
    session.mount("https://", adapter)
    return Api(server.url, session)


@pytest.fixture
def as_user(server: Server) -> Callable[..., Api]:
    """Raw HTTP with other credentials: `as_user(token=…)`, `as_user(certificate=(crt, key))`, `as_user()`."""
    return lambda **credentials: door(server, **credentials)


STALL_S = 5.0  # what it guards against took half a minute


@pytest.fixture
def pulse(as_user: Callable[..., Api]) -> Iterator[None]:
    """Asks for the server's health all the while; the longest that an answer took must stay short."""
    took: list[float] = []
    stop = threading.Event()
    other = as_user()

    def ask() -> None:
        while not stop.is_set():
            began = time.monotonic()
            assert other.ask("GET", "/livez").status_code == 200
            took.append(time.monotonic() - began)
            time.sleep(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    stop.set()
    thread.join()
    assert max(took) < STALL_S


_numbers = count(1)


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A namespace of the test's own, with its service account; deleted afterwards."""
    name = f"test-{os.getpid()}-{next(_numbers)}"
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_until(lambda: api.ask("GET", account).status_code == 200, what="service account")
    yield name
    api.ask("DELETE", f"/api/v1/namespaces/{name}")


Kubectl = Callable[..., str]


@pytest.fixture
def kubectl(server: Server, namespace: str) -> Kubectl:
    """Run kubectl in the test's namespace: `kubectl("get", "pods")`. `text` is its input; gives what it printed.

    A failure is an AssertionError, unless `fails=True`: then it must fail, and gives both outputs. `settings` are
    variables of its environment.
    """
    program = program_named("kubectl")
    home = server.kubeconfig.parent / "home"

    def run(*words: str, text: str = "", fails: bool = False, seconds: float = 60.0, **settings: str) -> str:
        done = subprocess.run(
            [program, "--namespace", namespace, *words],
            input=text or None,
            stdin=None if text else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={"KUBECONFIG": str(server.kubeconfig), "HOME": str(home), "PATH": os.environ["PATH"], **settings},
        )
        said = f"kubectl {' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert (done.returncode != 0) is fails, said
        return done.stdout + (done.stderr if fails else "")

    return run


@pytest.fixture(scope="session")
def python(server: Server) -> official.ApiClient:
    """The official Python client."""
    configuration = official.Configuration()
    official_config.load_kube_config(str(server.kubeconfig), client_configuration=configuration)
    return official.ApiClient(configuration)
