"""What comes together goes out together, and whoever watches what gets each change once and in order."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bireme.api.kinds import core
from bireme.api.scheme import builtin
from bireme.api.selectors import FieldSelector, LabelSelector
from bireme.registry.headers import HeaderReader
from bireme.registry.record import Record, encode
from bireme.registry.resource_cache import ResourceCache
from bireme.registry.selection import Selection
from bireme.registry.taps import Heard, Tap
from bireme.store.interface import Event, Revision

PODS = builtin().of_kind("", "v1", "Pod")


class Plain:
    """A view that says what happened to whom, and when."""

    key = "plain"

    def frame(self, kind: str, record: Record, revision: int) -> bytes:
        return b"%b %b %d;" % (kind.encode(), record.name.encode(), revision)


class Writes:
    """A cache, and the writes that it takes in."""

    def __init__(self) -> None:
        self.cache = ResourceCache(PODS)
        self.revision = 0
        self._held: dict[str, bytes] = {}
        self._events: list[Event] = []

    def write(self, name: str, tree: dict[str, Any] | None) -> None:
        """Put (or with None delete) the pod of that name."""
        key = f"{PODS.key_prefix}default/{name}"
        previous = self._held.pop(key, None)
        if tree is None and previous is None:
            return
        self.revision += 1
        value = None
        if tree is not None:
            value = self._held[key] = encode(PODS, named(name, tree))
        self._events.append(Event(Revision(self.revision), key, value, previous, Revision(1)))

    def commit(self) -> None:
        """Have the cache take in what was written since the last time."""
        events, self._events = self._events, []
        if events:
            self.cache.take(events, at=0.0)

    def records(self) -> dict[str, Record]:
        """What there is, by name."""
        return {record.name: record for record in self.cache.records.values()}


def named(name: str, tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with a name."""
    return {**tree, "metadata": {"name": name, "namespace": "default", **tree["metadata"]}}


def pod(*, node: str = "", app: str = "", phase: str = "") -> dict[str, Any]:
    return {"metadata": {"labels": {"app": app}}, "spec": {"nodeName": node}, "status": {"phase": phase}}


async def test_what_came_together_goes_out_in_one_write() -> None:
    writes = Writes()
    watching = writes.cache.watch(Selection(PODS), Plain(), after=0)
    sent: list[bytes] = []
    watching.attach(lambda frames: sent.append(frames) or True)
    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(watching.wait())
        await asyncio.sleep(0)
        for name in ("a", "b"):
            writes.write(name, pod())
        writes.write("a", None)
        writes.commit()
        assert sent == [b"ADDED a 1;ADDED b 2;DELETED a 3;"]
        reader.cancel()


SELECTIONS = {
    "all": Selection(PODS),
    "of a namespace": Selection(PODS, "default"),
    "elsewhere": Selection(PODS, "other"),
    "by label": Selection(PODS, labels=LabelSelector.parse("app=x")),
    "with a node": Selection(PODS, fields=FieldSelector.parse("spec.nodeName!=", PODS.fields)),
    "on a node": Selection(PODS, fields=FieldSelector.parse("spec.nodeName=n1", PODS.fields)),
    "running on a node": Selection(PODS, fields=FieldSelector.parse("spec.nodeName=n1,status.phase=R", PODS.fields)),
    "of a name": Selection(PODS, "default", fields=FieldSelector.parse("metadata.name=a", ["metadata.name"])),
}


def is_meant(name: str, tree: dict[str, Any] | None, selection: str) -> bool:
    """Whether a selection means the pod, said once more in plain words."""
    if tree is None:
        return False
    node, phase, app = tree["spec"]["nodeName"], tree["status"]["phase"], tree["metadata"]["labels"]["app"]
    return {
        "all": True,
        "of a namespace": True,
        "elsewhere": False,
        "by label": app == "x",
        "with a node": node != "",
        "on a node": node == "n1",
        "running on a node": (node, phase) == ("n1", "R"),
        "of a name": name == "a",
    }[selection]


class Reader:
    """One who watches and is told by calls too, and what should have been heard."""

    def __init__(self, writes: Writes, selection: str) -> None:
        self.selection, self.wanted = selection, ""
        self._cache, self._told = writes.cache, ""
        self._watching = writes.cache.watch(SELECTIONS[selection], Plain(), after=writes.revision)
        self._tap = Tap(SELECTIONS[selection], core.Pod, self._hear)
        writes.cache.tap(self._tap, after=writes.revision)

    def hears(self, what: str, was: bool, now: bool, revision: int) -> None:
        """What of a change is to be told."""
        if was or now:
            kind = "DELETED" if not now else "MODIFIED" if was else "ADDED"
            self.wanted += f"{kind} {what} {revision};"

    def check(self) -> None:
        """All that was to be told was, and no more."""
        assert self._watching.take().decode() == self.wanted
        assert self._told == self.wanted.replace("ADDED", "IS").replace("MODIFIED", "IS")
        self.wanted = self._told = ""

    def close(self) -> None:
        self._watching.close()
        self._cache.untap(self._tap)

    def _hear(self, heard: Sequence[Heard]) -> None:
        for _, name, obj, revision in heard:
            assert obj is None or (obj.metadata.name, obj.metadata.resource_version) == (name, str(revision))
            self._told += f"{'DELETED' if obj is None else 'IS'} {name} {revision};"


PODS_LIKE = st.builds(
    pod, node=st.sampled_from(["", "n1", "n2"]), app=st.sampled_from(["x", "y"]), phase=st.sampled_from(["P", "R"])
)
DEEDS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from("ab"), st.none() | PODS_LIKE),
    st.tuples(st.just("watch"), st.sampled_from(list(SELECTIONS)), st.none()),
    st.tuples(st.just("leave"), st.just(""), st.none()),
    st.tuples(st.just("commit"), st.just(""), st.none()),
)


@given(st.lists(DEEDS, max_size=40))
async def test_each_change_is_heard_of_once_however_many_come_together(deeds: list[tuple[str, str, Any]]) -> None:
    writes, readers = Writes(), list[Reader]()
    held: dict[str, Any] = {}
    for deed, what, tree in deeds:
        match deed:
            case "write":
                before = held.get(what)
                writes.write(what, tree)
                held[what] = tree
                for one in readers:
                    was, now = (is_meant(what, each, one.selection) for each in (before, tree))
                    one.hears(what, was, now, writes.revision)
            case "watch":
                writes.commit()
                readers.append(Reader(writes, what))
            case "leave" if readers:
                writes.commit()
                readers.pop(0).close()
            case "commit":
                writes.commit()
                for one in readers:
                    one.check()
    writes.commit()
    for one in readers:
        one.check()
    assert {name: record.fields for name, record in writes.records().items()} == {
        name: HeaderReader(PODS).read("", encode(PODS, named(name, tree)), 0).fields
        for name, tree in held.items()
        if tree is not None
    }
