"""A server of an API of its own, as the sample API server is: flunders, in memory, behind the one under test.

It listens on an address of this machine that is not loopback, which services may not lead to, and believes whom a
gateway names that shows a certificate of the authority in `extension-apiserver-authentication`.
"""

import base64
import json
import queue
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bireme.aio.clock import RealClock
from bireme.http.certificates import Authority

Tree = dict[str, Any]
GROUP, VERSION = "wardle.example.com", "v1alpha1"
BASE = f"/apis/{GROUP}/{VERSION}"
GVK = {"group": GROUP, "version": VERSION, "kind": "Flunder"}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def own_address() -> str:
    """An address of this machine's interfaces; "" where it has none but loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.254", 9))  # nothing is sent
        address = str(probe.getsockname()[0])
        return "" if address.startswith("127.") else address
    return ""


class ExtensionServer:
    """The server. `users` are whom requests came for, `odd` answers paths in ways that no server should."""

    def __init__(self, folder: Path, address: str, name: str, gateways: str) -> None:
        self.address = address
        self.flunders: dict[tuple[str, str], Tree] = {}
        self.users: list[tuple[str, list[str], dict[str, list[str]]]] = []
        self.headers: list[dict[str, str]] = []
        self.odd: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.watchers: list[queue.Queue[Tree]] = []
        self._revision = 0
        now = RealClock().now()
        authority = Authority.create(folder, now=now, common_name="extension")
        authority.issue("extension", hosts=(name,), now=now, server=True).write(folder, "extension")
        self.bundle = base64.b64encode(authority.certificate).decode()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "extension.crt", folder / "extension.key")
        self._context.load_verify_locations(cadata=gateways)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._server = _Server((address, 0), _handler(self))
        self._server.context = self._context
        self.port = self._server.server_address[1]

    @contextmanager
    def running(self) -> Iterator["ExtensionServer"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def put(self, namespace: str, tree: Tree, event: str) -> Tree:
        """Store an object, and tell those who watch."""
        self._revision += 1
        metadata = tree.setdefault("metadata", {})
        metadata |= {"namespace": namespace, "resourceVersion": str(self._revision)}
        metadata.setdefault("uid", f"uid-{self._revision}")
        tree |= {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Flunder"}
        if event == "DELETED":
            self.flunders.pop((namespace, metadata["name"]), None)
        else:
            self.flunders[namespace, metadata["name"]] = tree
        for watcher in self.watchers:
            watcher.put({"type": event, "object": tree})
        return tree


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    context: ssl.SSLContext

    def handle_error(self, *_: object) -> None:
        """Whoever is not believed hangs up."""


def _resources() -> Tree:
    row = {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": VERBS}
    status = {**row, "name": "flunders/status", "singularName": "", "verbs": ["patch"]}
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/{VERSION}",
        "resources": [{**row, "shortNames": ["fl"]}, status],
    }


def _schema() -> Tree:
    return {
        "com.example.wardle.v1alpha1.Flunder": {
            "type": "object",
            "description": "A flunder.",
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"type": "object"},
                "spec": {"type": "object", "description": "What is wanted of it."},
            },
            "x-kubernetes-group-version-kind": [GVK],
        }
    }


def _paths() -> Tree:
    said = {"x-kubernetes-action": "list", "x-kubernetes-group-version-kind": GVK}
    return {f"{BASE}/flunders": {"get": {**said, "responses": {"200": {"description": "OK"}}}}}


def _documents() -> dict[str, Tree]:
    info = {"title": "wardle", "version": "v1"}
    place = BASE.lstrip("/")
    group = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
    return {
        "/apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [{"name": GROUP, "versions": [group], "preferredVersion": group}],
        },
        BASE: _resources(),
        "/openapi/v3": {"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}?hash=ABC"}}},
        f"/openapi/v3/{place}": {
            "openapi": "3.0.0",
            "info": info,
            "paths": _paths(),
            "components": {"schemas": _schema()},
        },
        "/openapi/v2": {"swagger": "2.0", "info": info, "paths": _paths(), "definitions": _schema()},
    }


def _handler(outer: ExtensionServer) -> type[BaseHTTPRequestHandler]:
    documents = _documents()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30
        server: _Server

        def setup(self) -> None:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def do(self) -> None:
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            names = {name.lower() for name in self.headers if "extra" in name.lower()}
            extra = {name: self.headers.get_all(name) or [] for name in names}
            outer.users.append(
                (self.headers.get("x-remote-user") or "", self.headers.get_all("x-remote-group") or [], extra)
            )
            outer.headers.append({name.lower(): value for name, value in self.headers.items()})
            if path.endswith("/echo") and self.headers.get("upgrade"):
                return self.echo()
            if path in outer.odd:
                code, headers, answer = outer.odd[path]
                return self.answer(code, answer, **headers)
            if path in documents:
                return self.answer(200, json.dumps(documents[path]).encode())
            if not self.headers.get("x-remote-user"):
                return self.fail(401, "Unauthorized")
            return self.object(path, query, body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

        def object(self, path: str, query: dict[str, list[str]], body: Tree) -> None:
            parts = path.removeprefix(BASE).strip("/").split("/")
            namespace = parts[1] if parts[0] == "namespaces" else ""
            rest = parts[2:] if namespace else parts
            name = rest[1] if len(rest) > 1 else ""
            if rest[0] != "flunders":
                return self.fail(404, "the server could not find the requested resource")
            if query.get("watch"):
                return self.watch(namespace)
            if self.command == "POST":
                return self.answer(201, json.dumps(outer.put(namespace, body, "ADDED")).encode())
            if not name:
                found = [each for key, each in outer.flunders.items() if namespace in ("", key[0])]
                if self.command == "DELETE":
                    for each in found:
                        outer.put(each["metadata"]["namespace"], each, "DELETED")
                whole = {"kind": "FlunderList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": found}
                return self.answer(200, json.dumps(whole).encode())
            known = outer.flunders.get((namespace, name))
            if known is None:
                return self.fail(404, f'flunders.{GROUP} "{name}" not found')
            if self.command == "DELETE":
                outer.put(namespace, known, "DELETED")
            elif self.command in ("PUT", "PATCH"):
                known = outer.put(namespace, {**known, **body, "metadata": known["metadata"]}, "MODIFIED")
            return self.answer(200, json.dumps(known).encode())

        def echo(self) -> None:
            self.close_connection = True
            self.send_response(101)
            self.send_header("connection", "Upgrade")
            self.send_header("upgrade", self.headers["upgrade"])
            self.end_headers()
            while data := self.rfile.read1(1024):
                self.wfile.write(data.upper())

        def watch(self, namespace: str) -> None:
            events: queue.Queue[Tree] = queue.Queue()
            outer.watchers.append(events)
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            with suppress(OSError, queue.Empty):
                while True:
                    line = json.dumps(events.get(timeout=20)).encode() + b"\n"
                    self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                    self.wfile.flush()
            self.close_connection = True

        def fail(self, code: int, message: str) -> None:
            reason = {401: "Unauthorized", 404: "NotFound"}[code]
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message}
            self.answer(code, json.dumps({**status, "reason": reason, "code": code}).encode())

        def answer(self, code: int, body: bytes, **headers: str) -> None:
            self.send_response(code)
            for name, value in {"content_type": "application/json", **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    return Handler
