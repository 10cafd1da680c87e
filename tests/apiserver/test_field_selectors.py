"""Every field that objects can be selected by: what lists give and what watches tell, for each kind and operator."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest

from bireme.api.scheme import Resource, builtin
from bireme.registry.record import encode
from bireme.store.interface import Revision

Tree = dict[str, Any]
OPERATORS = {"=": "a", "==": "a", "!=": "b"}


@dataclass
class Case:
    """Two objects of a kind as they are kept, and what `a` is selected by, and `b` is not."""

    version: str
    plural: str
    fields: dict[str, str]
    a: Tree = field(default_factory=dict)
    b: Tree = field(default_factory=dict)

    @property
    def resource(self) -> Resource:
        group, _, version = self.version.rpartition("/")
        found = builtin().resource(group, version, self.plural)
        assert found is not None
        return found


def path_of(resource: Resource) -> str:
    root = f"/apis/{resource.api_version}" if resource.group else "/api/v1"
    return f"{root}/namespaces/default/{resource.plural}" if resource.namespaced else f"{root}/{resource.plural}"


def event(which: str) -> Tree:
    names = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    return {
        "involvedObject": {name: f"{name}-{which}" for name in names},
        "reason": f"reason-{which}",
        "reportingComponent": f"reporter-{which}",
        "source": {"component": f"source-{which}"},
        "type": f"type-{which}",
    }


INVOLVED = {f"involvedObject.{name}": value for name, value in event("a")["involvedObject"].items()}
REGARDING = {name.replace("involvedObject", "regarding"): value for name, value in INVOLVED.items()}
ABOUT = {"reason": "reason-a", "reportingComponent": "reporter-a", "source": "source-a", "type": "type-a"}
COUNTS = {"replicas": 2}
POD = {
    "spec.nodeName": "n1",
    "spec.restartPolicy": "Never",
    "spec.schedulerName": "mine",
    "spec.serviceAccountName": "other",
    "spec.hostNetwork": "true",
    "status.phase": "Running",
    "status.podIP": "10.0.0.1",
    "status.podIPs": "10.0.0.1,fd00::1",
    "status.nominatedNodeName": "n2",
}
POD_A = {
    "spec": {
        "nodeName": "n1",
        "restartPolicy": "Never",
        "schedulerName": "mine",
        "serviceAccountName": "other",
        "hostNetwork": True,
    },
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        "nominatedNodeName": "n2",
    },
}
POD_B = {
    "spec": {"restartPolicy": "Always", "schedulerName": "default-scheduler", "serviceAccountName": "default"},
    "status": {"phase": "Pending"},
}
UNSCHEDULABLE = {"spec": {"unschedulable": True}}
SIGNED_A, SIGNED_B = {"spec": {"signerName": "example.com/a"}}, {"spec": {"signerName": "example.com/b"}}
SIGNER = {"spec.signerName": "example.com/a"}
CERTIFICATES = "certificates.k8s.io/v1"
CASES = [
    Case("v1", "pods", POD, POD_A, POD_B),
    Case("v1", "pods", {"spec.hostNetwork": "false", "spec.nodeName": "", "status.podIP": ""}, POD_B, POD_A),
    Case("v1", "nodes", {"spec.unschedulable": "true"}, UNSCHEDULABLE),
    Case("v1", "nodes", {"spec.unschedulable": "false"}, {}, UNSCHEDULABLE),
    Case("v1", "namespaces", {"status.phase": "Terminating"}, {"status": {"phase": "Terminating"}}),
    Case("v1", "secrets", {"type": "x/y"}, {"type": "x/y"}, {"type": "Opaque"}),
    Case(
        "v1",
        "services",
        {"spec.type": "NodePort", "spec.clusterIP": "10.96.0.9"},
        {"spec": {"type": "NodePort", "clusterIP": "10.96.0.9"}},
        {"spec": {"type": "ClusterIP", "clusterIP": "10.96.0.8"}},
    ),
    Case("v1", "replicationcontrollers", {"status.replicas": "2"}, {"status": COUNTS}),
    Case("v1", "replicationcontrollers", {"status.replicas": "0"}, {}, {"status": COUNTS}),
    Case("apps/v1", "replicasets", {"status.replicas": "2"}, {"status": COUNTS}),
    Case("batch/v1", "jobs", {"status.successful": "1"}, {"status": {"succeeded": 1}}),
    Case("batch/v1", "jobs", {"status.successful": "0"}, {}, {"status": {"succeeded": 1}}),
    Case("v1", "events", INVOLVED | ABOUT, event("a"), event("b")),
    Case("v1", "events", {"source": "reporter-a"}, event("a") | {"source": {}}, event("b")),
    Case(
        "events.k8s.io/v1",
        "events",
        INVOLVED | REGARDING | ABOUT | {"reportingController": "reporter-a"},
        event("a"),
        event("b"),
    ),
    Case(CERTIFICATES, "certificatesigningrequests", SIGNER, SIGNED_A, SIGNED_B),
    Case(CERTIFICATES, "clustertrustbundles", SIGNER, SIGNED_A, SIGNED_B),
    Case(
        CERTIFICATES,
        "podcertificaterequests",
        SIGNER | {"spec.podName": "p", "spec.nodeName": "n"},
        {"spec": {"signerName": "example.com/a", "podName": "p", "nodeName": "n"}},
        SIGNED_B,
    ),
    Case(
        "resource.k8s.io/v1",
        "resourceslices",
        {"spec.nodeName": "n", "spec.driver": "a.example.com"},
        {"spec": {"nodeName": "n", "driver": "a.example.com"}},
        {"spec": {"driver": "b.example.com"}},
    ),
]
LISTED = [each for each in builtin().resources() if "list" in each.verbs]


async def keep(door: Any, case: Case) -> int:
    """Write both objects as they are kept, and one of the other kind of namespace; the revision before that."""
    kind = door.registry.kind(case.resource.group, case.resource.version, case.plural)
    before = int(door.registry.store.revision)
    for name, body in (("b", case.b), ("a", case.a)):
        where = {"namespace": "default"} if case.resource.namespaced else {}
        tree = {**body, "metadata": {"name": name, "uid": f"u-{name}", **where}}
        key = kind.key("default" if where else "", name)
        await door.registry.store.put(key, encode(kind.stored, tree), expect=Revision(0))
    return before


async def watched(door: Any, path: str) -> list[str]:
    """The names that a watch has left standing when its time is over."""
    standing: dict[str, None] = {}

    async def read() -> None:
        async for seen in door.watch(path):
            name = seen["object"]["metadata"]["name"]
            standing.pop(name, None) if seen["type"] == "DELETED" else standing.update({name: None})

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        await door.clock.advance(2)
    return [name for name in standing if name in ("a", "b")]


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{case.version}/{case.plural} {'+'.join(case.fields)[:40]}") for case in CASES]
)
async def test_lists_and_watches_by_each_field(opened, case):
    async with opened() as door:
        before, path = await keep(door, case), path_of(case.resource)
        for name, value in case.fields.items():
            for operator, wanted in OPERATORS.items():
                query = f"fieldSelector={quote(name + operator + value.replace(',', chr(92) + ','))}"
                listed = await door.ask("GET", f"{path}?{query}")
                assert listed.status == 200, listed.tree
                names = [each["metadata"]["name"] for each in listed.tree["items"]]
                assert [one for one in names if one in ("a", "b")] == [wanted], query
                for since in ("", f"&resourceVersion={before}"):
                    assert await watched(door, f"{path}?watch=1&timeoutSeconds=1&{query}{since}") == [wanted], query


def test_no_field_is_left_out():
    tried = {(case.version, case.plural, name) for case in CASES for name in case.fields}
    there = {(each.api_version, each.plural, name) for each in LISTED for name in each.fields}
    assert {place for place in there if "bireme.dev" not in place[0]} == tried


async def test_every_kind_is_selected_by_name_and_refuses_fields_that_it_does_not_have(opened):
    async with opened() as door:
        for resource in LISTED:
            path = path_of(resource)
            for own in ("metadata.name", "metadata.namespace")[: 1 + resource.namespaced]:
                reply = await door.ask("GET", f"{path}?fieldSelector={own}%3Dnobody")
                assert (reply.status, reply.tree["items"]) == (200, []), path
            if not resource.namespaced:
                assert (await door.ask("GET", f"{path}?fieldSelector=metadata.namespace%3Dx")).status == 400
            message = (
                "field label not supported: spec.nope"
                if resource.fields
                else '"spec.nope" is not a known field selector: only "metadata.name", "metadata.namespace"'
            )
            for query in ("", "&watch=1") if "watch" in resource.verbs else ("",):
                reply = await door.ask("GET", f"{path}?fieldSelector=spec.nope%3D1{query}")
                assert (reply.status, reply.tree["reason"], reply.tree["message"]) == (400, "BadRequest", message)


@pytest.mark.parametrize("text", ["spec.nodeName", "spec.nodeName>1", "spec.nodeName in (a)", "spec.nodeName=a\\"])
async def test_other_operators_are_refused(opened, text):
    async with opened() as door:
        reply = await door.ask("GET", f"/api/v1/pods?fieldSelector={quote(text)}")
        assert (reply.status, reply.tree["reason"]) == (400, "BadRequest")
