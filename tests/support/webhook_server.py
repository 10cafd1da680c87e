"""A webhook server in the test's own process, over TLS on loopback, in threads of its own.

Each path has an answer of the test's: a function from the review to the response, or to raw bytes. `asked` keeps
the requests of all reviews by path.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bireme.aio.clock import RealClock
from bireme.http.certificates import Authority, server_context

Tree = dict[str, Any]
Respond = Callable[[Tree], Any]


class HookServer:
    """The server: `on` says what a path answers, `client` is the configuration that leads to a path."""

    def __init__(self, port: int, authority: Authority) -> None:
        self.port = port
        self.authority = authority
        self.bundle = base64.b64encode(authority.certificate).decode()
        self.paths: dict[str, Respond] = {}
        self.asked: dict[str, list[Tree]] = {}
        self.versions: list[str] = []  # of the reviews
        self.shown: list[tuple[str, str]] = []  # the common name of the caller's certificate, and its authorization
        self.open = threading.Event()  # what hangs waits for it

    def on(self, path: str, respond: Respond) -> Tree:
        """Have a path answer; gives back the client configuration that leads there."""
        self.paths[path] = respond
        return self.client(path)

    def client(self, path: str) -> Tree:
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle}

    def hang(self, request: Tree) -> Tree:
        """Answer when the test is over."""
        self.open.wait(60)
        return allow(request)


def name_of(certificate: Any) -> str:
    """The common name of a peer's certificate; "" for none."""
    names = [value for part in (certificate or {}).get("subject", ()) for key, value in part if key == "commonName"]
    return names[0] if names else ""


def allow(request: Tree) -> Tree:
    """Let the request pass."""
    return {"allowed": True}


def deny(message: str = "no", **status: Any) -> Respond:
    """Refuse every request."""
    return lambda request: {"allowed": False, "status": {"message": message, **status}}


def patch(*operations: Tree, **more: Any) -> Respond:
    """Change every object."""
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda request: {"allowed": True, "patch": text, "patchType": "JSONPatch", **more}


def add(path: str, value: Any) -> Tree:
    """An operation of a patch."""
    return {"op": "add", "path": path, "value": value}


@contextmanager
def hook_server() -> Iterator[HookServer]:
    """A running server until the block is left."""
    now = RealClock().now()
    with TemporaryDirectory() as folder:
        authority = Authority.create(Path(folder), now=now)
        pair = authority.issue("hooks", hosts=("127.0.0.1",), now=now, server=True)
        context = server_context(pair, trusted=authority.certificate)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def setup(self) -> None:
            # The handshake is made here, in the connection's own thread.
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def do_POST(self) -> None:
            path = self.path.partition("?")[0]
            review = json.loads(self.rfile.read(int(self.headers["content-length"])))
            hooks.asked.setdefault(path, []).append(review["request"])
            hooks.versions.append(review["apiVersion"])
            hooks.shown.append((name_of(self.request.getpeercert()), self.headers.get("authorization", "")))
            respond = hooks.paths.get(path)
            made = respond(review["request"]) if respond else None
            if made is None:
                return self.answer(404, b"{}")
            if isinstance(made, tuple):
                return self.answer(*made)
            made.setdefault("uid", review["request"]["uid"])
            whole = {"kind": review["kind"], "apiVersion": review["apiVersion"], "response": made}
            return self.answer(200, json.dumps(whole).encode())

        def answer(self, code: int, body: bytes, **headers: str) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            """A client that hangs up, or does not trust us, is what tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    hooks = HookServer(server.server_address[1], authority)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hooks
    finally:
        hooks.open.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
