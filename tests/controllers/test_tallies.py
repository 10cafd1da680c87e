"""A tally says what going through the pods says."""

from typing import Any

from controller_objects import NOW, metadata
from hypothesis import given
from hypothesis import strategies as st

from bireme.aio.clock import VirtualClock
from bireme.api.codec.json import encode
from bireme.api.codec.shared import decode_shared
from bireme.api.kinds import core, meta
from bireme.api.selectors import LabelSelector
from bireme.client.informer import Informer
from bireme.controllers import ownership, pods, replicas
from bireme.controllers.tallies import Tallies, counted

TEMPLATE = {"app": "a", "hash": "1"}
SELECTOR = LabelSelector.of({"app": "a"})
OWNER = core.ReplicationController(metadata=metadata("rs"))
kinds = st.sampled_from(["ReplicaSet", "Other"])


@st.composite
def pod(draw: Any) -> core.Pod:
    controller = meta.OwnerReference(
        api_version="apps/v1",
        kind=draw(kinds),
        name="rs",
        uid=draw(st.sampled_from(["uid-rs", "uid-b"])),
        controller=True,
    )
    ready = core.PodCondition(type="Ready", status=draw(st.sampled_from(["True", "False"])))
    about = metadata(
        draw(st.sampled_from("abcd")),
        labels=draw(st.sampled_from([TEMPLATE, {"app": "a"}, {"app": "b"}])),
        owner_references=[controller],
        deletion_timestamp=draw(st.sampled_from(["", "", "2026-01-01T00:00:00Z"])),
    )
    phase = draw(st.sampled_from(["Pending", "Running", "Failed"]))
    return core.Pod(metadata=about, status=core.PodStatus(phase=phase, conditions=[ready]))


@given(history=st.lists(st.one_of(pod(), st.sampled_from("abcd")), max_size=20), unseen=st.lists(pod(), max_size=2))
def test_a_tally_says_what_the_pods_say(history: list[core.Pod | str], unseen: list[core.Pod]) -> None:
    informer: Informer[core.Pod] = Informer(None, core.Pod, clock=VirtualClock())  # type: ignore[arg-type]
    tallies = Tallies(informer, kind="ReplicaSet")
    for item in history:
        if isinstance(item, str):
            informer._told([("default", item, None, 1)])
        else:
            informer.have([decode_shared(core.Pod, encode(item))])  # as caches have them: with parts in common
    unseen = [item for item in unseen if not pods.is_ended(item)]
    mine = [item for item in informer.items() if item.metadata.owner_references[0].kind == "ReplicaSet"]
    claims = ownership.claim(OWNER, SELECTOR, [item for item in mine if not pods.is_ended(item)])
    found = counted(tallies.of("uid-rs"), unseen, selector=SELECTOR, template_labels=TEMPLATE)
    if claims.release or any(item.metadata.labels["app"] != "a" for item in unseen):
        assert found is None
        return
    assert found == replicas.count([*claims.owned, *unseen], template_labels=TEMPLATE, min_ready_s=0, now=NOW)


def test_what_nobody_has_any_more_is_forgotten() -> None:
    informer: Informer[core.Pod] = Informer(None, core.Pod, clock=VirtualClock())  # type: ignore[arg-type]
    tallies = Tallies(informer, kind="ReplicationController")
    owned = core.Pod(metadata=metadata("a", owner_references=[ownership.reference_to(OWNER)]))
    informer.have([owned])
    assert sum(tallies.of("uid-rs").values()) == 1
    informer.clear()
    assert tallies.of("uid-rs") == {}
