"""What is shared reads as what is not; pods of a template hold in common what they have in common."""

import msgspec
import pytest

from bireme.api.codec.json import decode
from bireme.api.codec.shared import Parts, decode_shared
from bireme.api.errors import BadRequest
from bireme.api.kinds import core, meta

SPEC = (
    b'"containers":[{"name":"web","image":"i","env":[{"name":"A","value":"x \\"nodeName\\":\\"n\\""}]}],"priority":0'
)
STATUS = (
    b'"status":{"phase":"Running","qosClass":"Burstable","hostIP":"10.0.0.1","hostIPs":[{"ip":"10.0.0.1"}],'
    b'"podIP":"10.1.0.7","podIPs":[{"ip":"10.1.0.7"}],"startTime":"2026-01-02T03:04:05Z","conditions":['
    b'{"type":"Ready","status":"True","lastTransitionTime":"2026-01-02T03:04:05Z"},{"type":"PodScheduled",'
    b'"status":"True"}],"containerStatuses":[{"name":"web","image":"i","imageID":"i","ready":true,"containerID":"c://1",'
    b'"allocatedResources":{"cpu":"1"},"resources":{"requests":{"cpu":"1"}},"state":{"running":{"startedAt":"t"}}}]}'
)


def pod(name: str, spec: bytes = SPEC, status: bytes = STATUS) -> bytes:
    owners = (
        b'"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"s","uid":"u","controller":true}]'
    )
    return (
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"managedFields":[{"manager":"m","fieldsV1":{"f:a":{}}}],"name":"%s",'
        b'"namespace":"d","uid":"%s","resourceVersion":"7","labels":{"app":"web"},%s},"spec":{%s},%s}'
    ) % (name.encode(), name.encode(), owners, spec, status)


WRITTEN = {
    "waiting": pod("a"),
    "bound": pod("a", SPEC + b',"nodeName":"n-1"'),
    "born bound": pod("a", b'"nodeName":"n-1",' + SPEC),
    "nothing but a node": pod("a", b'"nodeName":"n-1"'),
    "the node's name named last by something else": pod("a", b'"nodeName":"n-1",' + SPEC + b',"hostname":"nodeName"'),
    "no node": pod("a", SPEC + b',"nodeName":""'),
    "escaped": pod("a", SPEC + b',"nodeName":"n\\u002d1"'),
    "nulls": pod("a", b'"nodeName":null,"volumes":null,' + SPEC),
    "no status": pod("a", status=b'"status":{}'),
    "two addresses": pod(
        "a", status=b'"status":{"hostIPs":[{"ip":"1"},{"ip":"2"}],"podIPs":[{"ip":"3"},{"ip":"4"}]}'
    ),
    "ended": pod(
        "a",
        status=b'"status":{"containerStatuses":[{"name":"w","state":{"terminated":{"exitCode":1}},"resources":{}}]}',
    ),
    "hardly a pod": b'{"metadata":{"name":"a"}}',
}


@pytest.mark.parametrize("data", WRITTEN.values(), ids=WRITTEN)
def test_a_pod_reads_as_it_would_by_itself(data: bytes) -> None:
    wanted = decode(core.Pod, data)
    for _ in range(2):
        assert decode_shared(core.Pod, data) == wanted


def test_pods_of_a_template_share_what_is_theirs_in_common() -> None:
    bound = SPEC + b',"nodeName":"%s"'
    one, other = (decode_shared(core.Pod, pod(name, bound % name.encode())) for name in ("a", "b"))
    assert (one.spec.node_name, other.spec.node_name) == ("a", "b")
    assert one.spec.containers is other.spec.containers
    assert one.metadata.labels is other.metadata.labels
    assert one.metadata.owner_references is other.metadata.owner_references
    assert one.status.conditions[0] is other.status.conditions[0]
    assert one.status.container_statuses is not other.status.container_statuses


def test_what_runs_on_its_node_has_the_spec_that_it_had_when_it_came_there() -> None:
    bound = SPEC + b',"nodeName":"n-1"'
    came, runs, twin = (
        decode_shared(core.Pod, data)
        for data in (pod("a", bound, b'"status":{"phase":"Pending"}'), pod("a", bound), pod("b", bound))
    )
    assert came.spec is runs.spec is twin.spec
    assert runs.status != came.status


def test_other_kinds_read_as_ever() -> None:
    node = core.Node(metadata=meta.ObjectMeta(name="n", labels={"a": "b"}))
    assert decode_shared(core.Node, msgspec.json.encode(node)) == node


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"metadata":7}', b'{"spec":{"containers":3}}', b'{"spec":{"nodeName":"']
)
def test_what_is_no_pod_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        decode_shared(core.Pod, data)


def test_parts_are_bounded() -> None:
    parts = Parts(3)
    for number in range(7):
        parts.keep(number, str(number))
    assert len(parts) <= 3
