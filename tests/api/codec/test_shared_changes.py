"""A pod that is read from what changed of it reads as it does from all its bytes."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.codec.shared import decode_changed, decode_shared
from bireme.api.kinds import core

ODD = ["m", "}],", '"}],"', '},"status":{', "\\", 'x","nodeName":"n']
"""Words that look like the marks that the reader goes by."""

words = st.sampled_from(ODD)
owners = st.lists(
    st.builds(
        lambda manager, token: {"manager": manager, "fieldsV1": token},
        words,
        st.sampled_from(["~1a", "~2b~10.0.0.1"]),
    ),
    max_size=3,
)
statuses = st.one_of(
    st.just({}),
    st.builds(lambda phase, word: {"phase": phase, "message": word}, st.sampled_from(["Pending", "Running"]), words),
    st.builds(
        lambda kind, word: {"conditions": [{"type": kind, "status": "True", "message": word}], "podIP": None},
        st.sampled_from(["Ready", "PodScheduled"]),
        words,
    ),
    st.builds(lambda phase: {"message": "m", "status": {"phase": phase}}, st.sampled_from(["Pending", "Running"])),
)
specs = st.builds(
    lambda image, node: {"containers": [{"name": "c", "image": image}], **node},
    st.sampled_from(["i", *ODD]),
    st.one_of(st.just({}), st.builds(lambda name: {"nodeName": name}, st.sampled_from(["n1", "n2", "", *ODD]))),
)
metadatas = st.builds(
    lambda name, labels: {"name": name, "uid": "u", **labels},
    st.sampled_from(["a", "b"]),
    st.sampled_from([{}, {"labels": {"app": "x"}}, {"labels": {"app": "y"}}, {"annotations": {"a": "}],"}}]),
)


@st.composite
def stored(draw: st.DrawFn, metadata: dict[str, Any], spec: dict[str, Any]) -> bytes:
    """A pod as it is stored: the owners of fields first, the status mostly last."""
    owned = draw(owners)
    tree = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {**({"managedFields": owned} if owned else {}), **metadata},
        "spec": spec,
        "status": draw(statuses),
    }
    order = draw(st.sampled_from([list(tree)] * 4 + [["kind", "apiVersion", "metadata", "status", "spec"]]))
    return orjson.dumps({name: tree[name] for name in order})


@st.composite
def changes(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A pod before and after a write, mostly one that leaves much as it was."""
    metadata, spec = draw(metadatas), draw(specs)
    later = draw(st.sampled_from(["same", "same", "bound", "bound", "other"]))
    before = draw(stored(metadata, spec))
    if later == "other":
        metadata, spec = draw(metadatas), draw(specs)
    elif later == "bound":
        spec = {**spec, "nodeName": draw(st.sampled_from(["n1", *ODD]))}
    return before, draw(stored(metadata, spec))


@given(st.lists(changes(), max_size=3))
def test_it_reads_as_from_all_its_bytes(several: list[tuple[bytes, bytes]]) -> None:
    for before, after in several:
        old = decode_shared(core.Pod, before)
        made = decode_changed(old, before, after)
        assert made is None or made == decode_shared(core.Pod, after)


def pod(*, manager: str = "m", spec: str = "", status: str = '"phase":"Pending"') -> bytes:
    owned = f'"managedFields":[{{"manager":"{manager}","fieldsV1":"~1a"}}]'
    metadata = f'"metadata":{{{owned},"name":"a","labels":{{"app":"x"}}}}'
    containers = '"containers":[{"name":"c"}]'
    return (
        f'{{"kind":"Pod","apiVersion":"v1",{metadata},"spec":{{{containers}{spec}}},"status":{{{status}}}}}'.encode()
    )


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(pod(spec=',"nodeName":"n"', status='"phase":"Pending","conditions":[]'), id="bound"),
        pytest.param(pod(manager="kubelet", status='"phase":"Running","podIP":"10.0.0.1"'), id="running"),
    ],
)
def test_what_happens_to_pods_by_the_thousand_is_read_from_what_changed(after: bytes) -> None:
    before = pod()
    old = decode_shared(core.Pod, before)
    made = decode_changed(old, before, after)
    assert made == decode_shared(core.Pod, after)
    assert made is not None
    assert made.spec is decode_shared(core.Pod, after).spec
    assert made.metadata is not old.metadata
    assert made.metadata.labels is old.metadata.labels


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(pod(spec=',"priority":1'), id="another spec"),
        pytest.param(pod().replace(b'"x"', b'"y"'), id="another label"),
        pytest.param(pod(status='"phase":null'), id="a null"),
        pytest.param(pod(status='"phase":"Running","status":{"phase":"x"}'), id="a status within the status"),
        pytest.param(b'{"kind":"Pod"}', id="no status"),
    ],
)
def test_all_else_is_read_from_all_its_bytes(after: bytes) -> None:
    before = pod()
    assert decode_changed(decode_shared(core.Pod, before), before, after) is None
