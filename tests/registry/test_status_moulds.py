"""What is cast from a mould is what would have been worked out, to the byte; and it is the mould that made it."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.aio.clock import VirtualClock
from bireme.api import patch as patches
from bireme.api.errors import ApiError, BadRequest
from bireme.api.scheme import builtin
from bireme.registry.options import Call
from bireme.registry.record import packed_owners
from bireme.registry.status_moulds import Changed, Slim, StatusMoulds, pattern_of
from bireme.registry.statuses import Statuses
from bireme.registry.wiring import build_registry
from bireme.store.memory import MemoryStore

Tree = dict[str, Any]
UID = "00000000-0000-0000-0000-000000000001"
TIMES = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z", "2026-01-01T00:00:09Z", "2026-01-02T00:00:00Z")
ADDRESSES = ("10.1.0.1", "10.1.0.2", "10.1.0.3", "fd00::1", "2001:db8::9", "FD00::2")
NAMES = ("containerd://a", "containerd://b", "cri-o://c", "x://2026Z")
CREATED = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}
OWNED = {"f:status": {"f:conditions": {".": {}, 'k:{"type":"Ready"}': {".": {}, "f:status": {}}}}}
clock = VirtualClock()
registry = build_registry(MemoryStore(clock=clock), builtin(), clock)
PODS = registry.kind("", "v1", "pods")
statuses = Statuses(registry)


def read(body: bytes, call: Call) -> tuple[Any, Any]:
    patch = orjson.loads(body)
    return patch, lambda tree: patches.strategic_merge_patch(tree, patch, PODS.definition)


def worked_out(slim: Slim, body: bytes, call: Call, now: str) -> Changed | None:
    """As the long way has it."""
    return statuses._changed(PODS, slim, body, call, read, now=now, uid=UID, version="7")


def slim_of(status: Tree, *, made: str = TIMES[0]) -> Slim:
    return Slim(orjson.dumps(packed_owners([{**CREATED, "time": made, "fieldsV1": OWNED}])), orjson.dumps(status))


def body_of(status: Tree, uid: str = UID) -> bytes:
    return orjson.dumps({"metadata": {"uid": uid}, "status": status})


def running(time: str = TIMES[1], *, address: str = ADDRESSES[0], name: str = NAMES[0], started: str = "") -> Tree:
    """What a kubelet says of a pod that has started."""
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": time}],
        "containerStatuses": [
            {"name": "c", "containerID": name, "state": {"running": {"startedAt": started or time}}}
        ],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": time,
    }


PENDING = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": TIMES[0]}]}
times, addresses, names = st.sampled_from(TIMES), st.sampled_from(ADDRESSES), st.sampled_from(NAMES)
texts = st.one_of(times, addresses, names, st.sampled_from(["at", "", "a:"]))
told = st.one_of(
    st.builds(running, times, address=addresses, name=names, started=times),
    st.fixed_dictionaries(
        {},
        optional={
            "message": texts,
            "podIP": addresses,
            "podIPs": st.lists(addresses.map(lambda one: {"ip": one}), max_size=2),
            "startTime": times,
            "conditions": st.lists(
                st.fixed_dictionaries({"type": texts, "status": texts, "lastTransitionTime": times}), max_size=2
            ),
            "containerStatuses": st.lists(st.fixed_dictionaries({"name": texts, "containerID": names}), max_size=1),
        },
    ),
)
before = st.one_of(st.just(PENDING), told)
rounds = st.tuples(before, told, times, times, st.sampled_from(["kubelet", "other", "10.1.0.1"]))


def outcome(change: Any, *said: Any) -> Any:
    try:
        made = change(*said)
    except ApiError as error:
        return type(error), error.message
    return None if made is None else made.slim


@settings(deadline=None)
@given(st.lists(rounds, min_size=1, max_size=4), st.integers(2, 4))
def test_what_is_cast_is_what_would_be_worked_out(said: list[Any], times_over: int) -> None:
    moulds = StatusMoulds(shortest=0)
    for _ in range(times_over):
        for status, patch, made, now, manager in said:
            slim, body, call = slim_of(status, made=made), body_of(patch), Call(field_manager=manager)
            cast = outcome(lambda: moulds.changed("pods", slim, UID, body, call, worked_out, now=now))  # noqa: B023
            assert cast == outcome(worked_out, slim, body, Call(field_manager=manager), now)
            # What one write leaves is what the next one finds.
            if isinstance(cast, Slim):
                again = moulds.changed("pods", cast, UID, body_of({"message": now}), call, worked_out, now=TIMES[3])
                sure = worked_out(cast, body_of({"message": now}), Call(field_manager=manager), TIMES[3])
                assert (again and again.slim) == (sure and sure.slim)


class Counting:
    """Works out, and counts how often."""

    def __init__(self) -> None:
        self.moulds = StatusMoulds(shortest=0)
        self.times = 0

    def _work_out(self, slim: Slim, body: bytes, call: Call, now: str) -> Changed | None:
        self.times += 1
        return worked_out(slim, body, call, now)

    def say(self, patch: Tree, *, now: str = TIMES[2], uid: str = UID, slim: Slim | None = None) -> Slim | None:
        call, slim = Call(field_manager="kubelet"), slim or slim_of(PENDING)
        made = self.moulds.changed("pods", slim, UID, body_of(patch, uid), call, self._work_out, now=now)
        return made.slim if made is not None else None


def ready() -> Counting:
    """After two pods of one kind, and what proves their mould."""
    counting = Counting()
    for number in range(2):
        counting.say(running(address=ADDRESSES[number], name=NAMES[number]))
    assert counting.times == 3
    return counting


def test_the_third_of_a_kind_is_cast() -> None:
    counting = ready()
    made = counting.say(running(TIMES[1], address="10.9.9.9", name="containerd://other"), now=TIMES[3])
    assert counting.times == 3
    assert made is not None
    assert b'"podIPs":[{"ip":"10.9.9.9"}]' in made.status
    assert b"~10.9.9.9" in made.owners
    assert TIMES[3].encode() in made.owners


@pytest.mark.parametrize(
    ("patch", "more"),
    [
        pytest.param(running(TIMES[0]), {}, id="a time that is equal to another one"),
        pytest.param(running(TIMES[1], started=TIMES[2]), {}, id="a time of its own"),
        pytest.param(running(TIMES[1]), {"now": TIMES[1]}, id="written in the second that it tells of"),
        pytest.param(running(TIMES[3]), {}, id="a time that is yet to come"),
        pytest.param({**running(), "phase": "Failed"}, {}, id="another phase"),
        pytest.param(running(name="plain"), {}, id="a name of another form"),
        pytest.param({**running(), "hostIP": ADDRESSES[0]}, {}, id="an address more"),
        pytest.param(running(), {"slim": slim_of({"phase": "Pending"})}, id="another status before"),
    ],
)
def test_what_is_of_another_kind_is_worked_out(patch: Tree, more: Tree) -> None:
    counting = ready()
    counting.say(patch, **more)
    assert counting.times == 4


def test_times_that_cannot_be_are_refused() -> None:
    counting = ready()
    with pytest.raises(BadRequest):
        counting.say(running("2026-02-30T00:00:00Z"))


def test_another_object_is_not_meant() -> None:
    counting = ready()
    assert counting.say(running(), uid="00000000-0000-0000-0000-000000000002") is None
    assert counting.times == 4


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"conditions": [{"type": "containerd://a", "status": "True"}]}, id="a name that is a key"),
        pytest.param({"podIPs": [{"ip": "10.1.0.1"}, {"ip": "10.1.0.2"}]}, id="two addresses that are keys"),
    ],
)
def test_what_depends_on_more_of_an_atom_is_worked_out_each_time(patch: Tree) -> None:
    counting = Counting()
    for _ in range(6):
        counting.say(patch)
    assert counting.times >= 6


def test_texts_that_differ_in_atoms_alone_are_alike() -> None:
    now = TIMES[2].encode()
    one, other, third = (
        pattern_of(b'"a":"%b","b":"%b","c":"%b"' % said, now=now)
        for said in (
            (b"10.1.0.1", b"10.1.0.2", b"10.1.0.1"),
            (b"10.9.0.9", b"10.9.0.8", b"10.9.0.9"),
            (b"10.1.0.1", b"10.1.0.2", b"10.1.0.2"),
        )
    )
    assert one is not None
    assert other is not None
    assert third is not None
    assert one.likeness == other.likeness != third.likeness
