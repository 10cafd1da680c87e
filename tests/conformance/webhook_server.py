"""A webhook in the test's own process: HTTPS on loopback, one function a path."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bireme.aio.clock import RealClock
from bireme.http.certificates import Authority

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def allow(_: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": True}


def deny(message: str) -> Answer:
    return lambda _: {"allowed": False, "status": {"message": message}}


def patch(*operations: dict[str, Any]) -> Answer:
    """Allows, with a JSON patch."""
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda _: {"allowed": True, "patch": text, "patchType": "JSONPatch"}


def slowly(seconds: float) -> Answer:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        time.sleep(seconds)
        return {"allowed": True}

    return answer


class WebhookServer:
    """`answers` by path; `seen` gathers the requests of each path."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Answer] = {}
        self.seen: dict[str, list[dict[str, Any]]] = {}
        now = RealClock().now()
        authority = Authority.create(folder, now=now, common_name="webhooks")
        pair = authority.issue("webhook", hosts=("127.0.0.1", "localhost"), now=now, server=True)
        pair.write(folder, "webhook")
        self.bundle = base64.b64encode(authority.certificate).decode()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "webhook.crt", folder / "webhook.key")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"

    def client(self, path: str, answer: Answer) -> dict[str, Any]:
        """The clientConfig of a webhook that answers so."""
        self.answers[path] = answer
        self.seen[path] = []
        return {"url": f"{self.url}{path}", "caBundle": self.bundle}

    @contextmanager
    def running(self) -> Iterator["WebhookServer"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["content-length"])))
                path = self.path.partition("?")[0]
                request = review["request"]
                outer.seen[path].append(request)
                made = outer.answers[path](request)
                if review["kind"] == "AdmissionReview":
                    made = {"uid": request["uid"], **made}
                body = json.dumps({**review, "request": None, "response": made}).encode()
                try:
                    self.send_response(200)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    return  # the server waits no longer

            def log_message(self, *_: object) -> None:
                return

        return Handler
