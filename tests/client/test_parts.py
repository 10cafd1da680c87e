"""Who reads a part of an object knows it as it is, though not told of every change."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.aio.clock import VirtualClock
from bireme.api.codec.json import copy
from bireme.api.codec.shared import decode_shared
from bireme.api.kinds import core, meta
from bireme.client.client import Client
from bireme.client.informer import Informer, key_of
from bireme.client.parts import CONTENT, EVERYTHING, EXISTENCE, METADATA, SPEC, STATUS, changed

READ: dict[int, Callable[[core.Pod], Any]] = {
    METADATA: lambda pod: (
        pod.metadata.uid,
        pod.metadata.labels,
        pod.metadata.owner_references,
        pod.metadata.finalizers,
    ),
    SPEC: lambda pod: pod.spec,
    STATUS: lambda pod: pod.status,
    METADATA | SPEC: lambda pod: (pod.metadata.labels, pod.metadata.deletion_timestamp, pod.spec.node_name),
    EXISTENCE: lambda pod: (pod.metadata.namespace, pod.metadata.name),
}


def filed(pod: core.Pod) -> list[str]:
    return [pod.spec.node_name, *pod.metadata.labels.values()]


@st.composite
def pods(draw: st.DrawFn) -> core.Pod:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "s", "controller": True}
    metadata: dict[str, Any] = {
        "name": draw(st.sampled_from("ab")),
        "namespace": "d",
        "uid": draw(st.sampled_from(["1", "1", "1", "2"])),
        "labels": draw(st.sampled_from([{}, {"app": "x"}, {"app": "y"}])),
        "ownerReferences": draw(st.sampled_from([[], [{**owner, "uid": "u"}], [{**owner, "uid": "v"}]])),
        "finalizers": draw(st.sampled_from([[], ["f"]])),
    }
    if draw(st.booleans()):
        metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    spec = {"containers": [{"name": "c", "image": draw(st.sampled_from("ij"))}]}
    if draw(st.booleans()):
        spec["nodeName"] = draw(st.sampled_from(["n1", "n2"]))
    tree = {"metadata": metadata, "spec": spec, "status": {"phase": draw(st.sampled_from(["Pending", "Running"]))}}
    pod = decode_shared(core.Pod, orjson.dumps(tree))
    return draw(st.sampled_from([pod, pod, copy(pod)]))  # some share nothing with any other


@given(st.lists(st.lists(st.tuples(pods(), st.sampled_from([True, True, True, False])), max_size=4), max_size=5))
def test_who_reads_a_part_knows_it_as_it_is(history: list[list[tuple[core.Pod, bool]]]) -> None:
    informer: Informer[core.Pod] = Informer(Client(None), core.Pod, clock=VirtualClock())  # type: ignore[arg-type]
    known: dict[int, dict[Any, Any]] = {reads: {} for reads in READ}

    def listen(reads: int) -> None:
        def hear(old: core.Pod | None, new: core.Pod | None) -> None:
            pod = new or old
            assert pod is not None
            assert known[reads].get(key_of(pod)) == (None if old is None else READ[reads](old))
            known[reads][key_of(pod)] = None if new is None else READ[reads](new)

        informer.on_change(hear, reads=reads)

    for reads in READ:
        listen(reads)
    informer.add_index("filed", filed, reads=METADATA | SPEC)
    for together in history:
        informer._take([(key_of(pod), pod if is_there else None) for pod, is_there in together])
        held = {key_of(each): each for each in informer.items()}
        for reads, read in READ.items():
            assert {key: said for key, said in known[reads].items() if said is not None} == {
                key: read(each) for key, each in held.items()
            }
        wanted = defaultdict(list)
        for key, each in held.items():
            for value in set(filed(each)):
                wanted[value].append(key)
        for value in ("", "n1", "n2", "x", "y"):
            assert sorted(map(key_of, informer.by_index("filed", value))) == sorted(wanted[value])


def pod_of(
    *, labels: dict[str, str] | None = None, node: str = "n", phase: str = "Pending", uid: str = "u"
) -> core.Pod:
    metadata = {"name": "a", "uid": uid, "labels": labels or {"app": "x"}}
    spec = {"containers": [{"name": "c"}], "nodeName": node}
    return decode_shared(core.Pod, orjson.dumps({"metadata": metadata, "spec": spec, "status": {"phase": phase}}))


@pytest.mark.parametrize(
    ("new", "parts"),
    [
        pytest.param(pod_of(phase="Running"), STATUS, id="a pod that runs is where it was"),
        pytest.param(pod_of(node="m"), SPEC | STATUS, id="another node"),
        pytest.param(pod_of(labels={"app": "y"}), METADATA | STATUS, id="another label"),
        pytest.param(pod_of(uid="v"), CONTENT, id="another pod of the name"),
        pytest.param(None, EVERYTHING, id="gone"),
    ],
)
def test_what_pods_share_tells_what_did_not_change(new: core.Pod | None, parts: int) -> None:
    assert changed(pod_of(), new) == parts


def test_of_what_shares_nothing_everything_may_have_changed() -> None:
    node = core.Node(metadata=meta.ObjectMeta(name="n", uid="u"))
    assert changed(node, node) == CONTENT
