"""What comes together goes out together, and whoever watches what gets each change once and in order."""

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bireme.api.scheme import builtin
from bireme.api.selectors import FieldSelector, LabelSelector
from bireme.registry.record import Record, encode
from bireme.registry.resource_cache import ResourceCache
from bireme.registry.selection import Selection
from bireme.registry.watcher import Watcher
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

    def write(self, name: str, tree: dict[str, Any] | None) -> None:
        """Put (or with None delete) the pod of that name."""
        key = f"{PODS.key_prefix}default/{name}"
        previous = self._held.pop(key, None)
        if tree is None and previous is None:
            return
        self.revision += 1
        value = None
        if tree is not None:
            metadata = {"name": name, "namespace": "default", **tree.get("metadata", {})}
            value = self._held[key] = encode(PODS, {**tree, "metadata": metadata})
        self.cache.apply(Event(Revision(self.revision), key, value, previous, Revision(1)), at=0.0)


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
        assert not sent
        writes.cache.release()
        writes.cache.release()
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


@dataclass
class Reader:
    """One who watches, and what should have been heard."""

    selection: str
    watching: Watcher
    wanted: str = ""


PODS_LIKE = st.builds(
    pod, node=st.sampled_from(["", "n1", "n2"]), app=st.sampled_from(["x", "y"]), phase=st.sampled_from(["P", "R"])
)
DEEDS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from("ab"), st.none() | PODS_LIKE),
    st.tuples(st.just("watch"), st.sampled_from(list(SELECTIONS)), st.none()),
    st.tuples(st.just("leave"), st.just(""), st.none()),
    st.tuples(st.just("release"), st.just(""), st.none()),
)


@given(st.lists(DEEDS, max_size=40))
def test_whoever_watches_hears_of_each_change_once_however_many_come_together(
    deeds: list[tuple[str, str, Any]],
) -> None:
    writes, readers = Writes(), list[Reader]()
    held: dict[str, Any] = {}
    for deed, what, tree in deeds:
        match deed:
            case "write":
                before = held.get(what)
                writes.write(what, tree)
                held[what] = tree
                for one in readers:
                    was, now = is_meant(what, before, one.selection), is_meant(what, tree, one.selection)
                    if was or now:
                        kind = "DELETED" if not now else "MODIFIED" if was else "ADDED"
                        one.wanted += f"{kind} {what} {writes.revision};"
            case "watch":
                watching = writes.cache.watch(SELECTIONS[what], Plain(), after=writes.revision)
                readers.append(Reader(what, watching))
            case "leave" if readers:
                readers.pop(0).watching.close()
            case "release":
                writes.cache.release()
                for one in readers:
                    assert one.watching.take().decode() == one.wanted
                    one.wanted = ""
    writes.cache.release()
    assert [one.watching.take().decode() for one in readers] == [one.wanted for one in readers]
