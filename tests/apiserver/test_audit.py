"""The audit log: what of which request is written, and that nothing is where no policy is."""

from datetime import UTC, datetime

import orjson
import pytest

from bireme.aio.clock import RealClock
from bireme.apiserver.audit import Audit
from bireme.apiserver.audit_log import AuditFile
from bireme.apiserver.audit_policy import PolicyError, read_policy
from bireme.assembly.api import serve_api
from bireme.http.interface import Identity, Peer, Query, Request, Stream
from bireme.registry.access import Attempt
from bireme.store.memory import MemoryStore
from support.audit import Kept

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  nonResourceURLs: ['/healthz*', /version]
- level: None
  users: ['system:kube-scheduler', 'system:apiserver']
- level: RequestResponse
  resources: [{group: '', resources: [configmaps]}]
  verbs: [create, patch]
- level: Request
  resources: [{group: '', resources: ['pods/*', 'pods'], resourceNames: [a]}]
  namespaces: [one]
- level: Metadata
  userGroups: ['system:authenticated']
  omitStages: [ResponseStarted]
"""
ADA = Identity("ada", ("system:masters", "system:authenticated"), "7")


def policy_of(tmp_path, text=POLICY):
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return read_policy(path)


@pytest.mark.parametrize(
    ("user", "attempt", "level"),
    [
        pytest.param(ADA, Attempt("get", path="/healthz/ping"), "None", id="paths by their beginning"),
        pytest.param(ADA, Attempt("get", path="/version/x"), "Metadata", id="a path that is another"),
        pytest.param(
            Identity("system:kube-scheduler", ADA.groups), Attempt("list", resource="pods"), "None", id="a user"
        ),
        pytest.param(
            ADA, Attempt("create", resource="configmaps", namespace="a"), "RequestResponse", id="a resource"
        ),
        pytest.param(ADA, Attempt("get", resource="configmaps", namespace="a"), "Metadata", id="another verb"),
        pytest.param(
            ADA, Attempt("create", "x.example", resource="configmaps", namespace="a"), "Metadata", id="another group"
        ),
        pytest.param(ADA, Attempt("get", resource="pods", name="a", namespace="one"), "Request", id="a name"),
        pytest.param(ADA, Attempt("get", resource="pods", name="b", namespace="one"), "Metadata", id="another name"),
        pytest.param(ADA, Attempt("get", resource="pods", name="a", namespace="two"), "Metadata", id="elsewhere"),
        pytest.param(
            ADA,
            Attempt("get", resource="pods", subresource="log", name="a", namespace="one"),
            "Request",
            id="a part of it",
        ),
        pytest.param(Identity("eve"), Attempt("get", resource="pods"), "None", id="no rule"),
    ],
)
def test_the_first_rule_that_covers_a_request_decides(tmp_path, user, attempt, level):
    assert policy_of(tmp_path).verdict(user, attempt).level.word == level


@pytest.mark.parametrize(
    "text",
    [
        "kind: Policy",
        POLICY.replace("level: Request\n", "level: All\n"),
        POLICY.replace("[RequestReceived]", "[Later]"),
        POLICY.replace("'/healthz*'", "'/a*b'"),
        POLICY.replace("/version]", "/version]\n  namespaces: [a]"),
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []",
        "[",
    ],
)
def test_policies_that_will_not_do(tmp_path, text):
    with pytest.raises(PolicyError):
        policy_of(tmp_path, text)


def request(method: str, path: str, body: object = None, query: str = "", **headers: str) -> Request:
    data = orjson.dumps(body) if body is not None else b""
    named = {"content-type": "application/json", "user-agent": "test/1"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return Request(method, path, Query.parse(query), named, data, Peer("192.0.2.7", 1, identity=ADA), path)


async def told(tmp_path, *requests: Request) -> list[dict]:
    """The events of these requests."""
    events: list[dict] = []
    clock = RealClock()
    audit = Audit(policy_of(tmp_path), {"log": Kept(events)}, lambda: datetime(2026, 5, 1, 1, 2, 3, 456, tzinfo=UTC))
    async with serve_api(MemoryStore(clock=clock), clock=clock, audit=audit) as api:
        events.clear()
        for one in requests:
            made = await api.server.handle(one)
            if isinstance(made, Stream):
                await made.chunks.aclose()
    return [event for event in events if event["user"]["username"] != "system:kube-controller-manager"]


async def test_an_event_says_who_asked_what_and_what_came_of_it(tmp_path):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}}
    (event,) = await told(
        tmp_path,
        request(
            "POST", "/api/v1/namespaces/default/configmaps", body, audit_id="mine", authorization="Bearer canary"
        ),
    )
    made = event.pop("responseObject")
    assert made["metadata"]["uid"]
    assert "managedFields" not in made["metadata"]
    assert event == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": "mine",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/default/configmaps",
        "verb": "create",
        "user": {"username": "ada", "uid": "7", "groups": ["system:masters", "system:authenticated"]},
        "sourceIPs": ["192.0.2.7"],
        "userAgent": "test/1",
        "objectRef": {"resource": "configmaps", "namespace": "default", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "requestObject": body,
        "requestReceivedTimestamp": "2026-05-01T01:02:03.000456Z",
        "stageTimestamp": "2026-05-01T01:02:03.000456Z",
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    }
    assert "canary" not in str(event)


async def test_refusals_and_whom_somebody_acts_as_are_told(tmp_path):
    (event,) = await told(tmp_path, request("GET", "/api/v1/nodes", impersonate_user="bob"))
    assert event["impersonatedUser"]["username"] == "bob"
    assert event["responseStatus"]["code"] == 403
    assert event["responseStatus"]["reason"] == "Forbidden"
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert "responseObject" not in event


async def test_what_admission_notes_is_told(tmp_path):
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    labels = {"pod-security.kubernetes.io/audit": "restricted"}
    *_, event = await told(
        tmp_path,
        request("POST", "/api/v1/namespaces", {"metadata": {"name": "a", "labels": labels}}),
        request("POST", "/api/v1/namespaces/a/serviceaccounts", {"metadata": {"name": "default"}}),
        request("POST", "/api/v1/namespaces/a/pods", pod),
    )
    assert "would violate PodSecurity" in event["annotations"]["pod-security.kubernetes.io/audit-violations"]


async def test_a_watch_is_told_of_when_it_ends(tmp_path):
    events = await told(tmp_path, request("GET", "/api/v1/nodes", query="watch=true"))
    assert [(event["stage"], event["verb"]) for event in events] == [("ResponseComplete", "watch")]


async def test_what_the_policy_leaves_out_is_not_told(tmp_path):
    assert await told(tmp_path, request("GET", "/healthz"), request("GET", "/version")) == []


def test_files_are_exchanged_when_they_are_full(tmp_path):
    class Clock:
        second = 0

        def now(self) -> datetime:
            self.second += 1
            return datetime(2026, 5, 1, 0, 0, self.second, tzinfo=UTC)

    path = tmp_path / "audit.jsonl"
    file = AuditFile(path, Clock(), largest=40, backups=2)
    for number in range(9):
        file.write({"number": number, "x": "y" * 20})
    file.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert orjson.loads(path.read_bytes()) == {"number": 8, "x": "y" * 20}
    old = sorted(tmp_path.glob("audit-*.jsonl"))
    assert [orjson.loads(one.read_bytes())["number"] for one in old] == [6, 7]
