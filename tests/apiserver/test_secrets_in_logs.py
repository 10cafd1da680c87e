"""C23: no credential that anybody shows comes into a log, at any level, whatever becomes of the request."""

import asyncio
import json

import orjson
import structlog

from bireme.aio.clock import RealClock
from bireme.apiserver.audit import Audit
from bireme.apiserver.audit_policy import read_policy
from bireme.assembly.api import serve_api
from bireme.http.interface import Identity, Peer, Query, Request
from bireme.store.memory import MemoryStore
from support.audit import Kept

CANARY = "canary0123456789"
POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"
ADA = Identity("ada", ("system:masters",))


def asked() -> list[Request]:
    """Requests with a credential in every place where one is shown."""
    account = "/api/v1/namespaces/default/serviceaccounts/default/token"
    review = {"spec": {"token": CANARY}}
    secret = {"metadata": {"name": "s"}, "stringData": {"token": CANARY}}
    shown = [
        ("GET", "/api/v1/pods", None, {"authorization": f"Bearer {CANARY}"}, Peer(tls=True)),
        ("GET", "/api/v1/pods", None, {"authorization": f"Basic {CANARY}"}, Peer(tls=True)),
        ("GET", "/api/v1/pods", None, {"authorization": f"Bearer canary.{CANARY}.{CANARY}"}, Peer(tls=True)),
        ("GET", "/api/v1/pods", None, {"cookie": CANARY}, Peer(tls=True)),
        ("GET", "/api/v1/pods", None, {"sec-websocket-protocol": f"x.{CANARY}"}, Peer(identity=ADA)),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review, {}, Peer(identity=ADA)),
        ("POST", "/api/v1/namespaces/default/secrets", secret, {}, Peer(identity=ADA)),
        ("POST", "/api/v1/namespaces/default/secrets", {"metadata": CANARY}, {}, Peer(identity=ADA)),
        ("POST", account, {"spec": {"audiences": [CANARY]}}, {}, Peer(identity=ADA)),
        ("GET", "/api/v1/nowhere", None, {"authorization": f"Bearer {CANARY}"}, Peer(identity=ADA)),
    ]
    return [
        Request(
            method,
            path,
            Query(),
            {"content-type": "application/json"} | headers,
            orjson.dumps(body) if body is not None else b"",
            peer,
            path,
        )
        for method, path, body, headers, peer in shown
    ]


async def test_c23_credentials_are_in_no_log(tmp_path, capfd):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    events: list[dict] = []
    clock = RealClock()
    with structlog.testing.capture_logs() as logged:
        audit = Audit(read_policy(path), {"log": Kept(events)}, clock.now)
        async with serve_api(MemoryStore(clock=clock), clock=clock, audit=audit) as api:
            for request in asked():
                await api.server.handle(request)
            await asyncio.sleep(0)
    printed = capfd.readouterr()
    assert len(events) >= len(asked())
    assert CANARY not in json.dumps(events) + str(logged) + printed.out + printed.err
