"""`bireme why app/NAME` against a Marathon on loopback that answers from a table."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bireme.cli.errors import CliError
from bireme.cli.why import why

OFFER = {
    "id": "o1",
    "hostname": "n1",
    "agentId": "a1",
    "resources": [{"name": "cpus", "role": "*", "scalar": 1.5}],
    "attributes": [],
}
ITEM = {
    "count": 2,
    "delay": {"timeLeftSeconds": 0, "overdue": True},
    "since": "2026-01-01T00:00:00.000Z",
    "processedOffersSummary": {
        "processedOffersCount": 7,
        "unusedOffersCount": 6,
        "rejectSummaryLastOffers": [],
        "rejectSummaryLaunchAttempt": [
            {"reason": "UnfulfilledRole", "declined": 0, "processed": 7},
            {"reason": "InsufficientCpus", "declined": 6, "processed": 7},
        ],
    },
    "app": {"id": "/shop/web", "instances": 3, "cpus": 4, "mem": 32},
    "lastUnusedOffers": [{"offer": OFFER, "reason": ["InsufficientCpus"], "timestamp": "2026-01-01T00:00:05.000Z"}],
}
ANSWERS: dict[str, Any] = {
    "/v2/queue?embed=lastUnusedOffers": {"queue": [ITEM]},
    "/v2/apps/done": {"app": {"id": "/done", "instances": 2, "tasksRunning": 2}},
}


class Marathon(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.headers.get("authorization") != "Basic dTpw":
            self.send_error(401)
        elif (answer := ANSWERS.get(self.path)) is None:
            self.send_error(404)
        else:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Marathon)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port: int, *words: str, login: str = "u:p@") -> Result:
    return CliRunner().invoke(why, [*words], env={"MARATHON_URL": f"http://{login}127.0.0.1:{port}"})


def test_an_app_that_waits(port: int) -> None:
    assert ask(port, "app/shop/web").output.splitlines() == [
        "/shop/web: 2 of 3 instances wait for an offer since 2026-01-01T00:00:00.000Z.",
        "  Of 7 offers 6 did not suit; in all, by the first reason:",
        "    6  InsufficientCpus",
        "  The last offer of 1 host: InsufficientCpus",
        "    n1  cpus: wants 4, offered 1.5",
        "What would help:",
        "  1. ask for 1.5 cpus instead of 4: n1 has as much",
    ]
    told = json.loads(ask(port, "task", "/shop/web", "-o", "json").output)
    assert told["waiting"]["refused"] == [
        {"reason": "InsufficientCpus", "offers": [{"host": "n1", "detail": "cpus: wants 4, offered 1.5"}]}
    ]


def test_an_app_that_does_not(port: int) -> None:
    assert ask(port, "app/done").output == "/done: nothing waits for an offer; 2 of 2 instances run.\n"


def test_what_cannot_be_asked_is_told(port: int) -> None:
    for words, login, code in ((["app/none"], "u:p@", "BIR-111"), (["app/done"], "", "BIR-112")):
        error = ask(port, *words, login=login).exception
        assert isinstance(error, CliError)
        assert error.code == code
