"""What tests here share beside the fixtures."""

import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

SLOWEST_S = 15.0
CLIENTS = Path(__file__).resolve().parents[2] / ".build" / "clients"


def program_named(name: str) -> str:
    """Where kubectl or helm is: the one of today that tools/setup-kubectl.sh has put here, or the machine's own."""
    found = shutil.which(name, path=str(CLIENTS)) or shutil.which(name)
    assert found, f"{name} is missing: tools/setup-kubectl.sh installs it"
    return found


def wait_until(ready: Callable[[], Any], *, what: str = "", seconds: float = 60.0) -> Any:
    """The first true answer of `ready`; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := ready():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g}s: {what or ready}")
        time.sleep(0.05)


def sent(api: Any, method: str, path: str, body: Any, **more: str) -> Any:
    """The answer, which must have come soon."""
    began = time.monotonic()
    answer = api.ask(method, path, body, **more)
    assert time.monotonic() - began < SLOWEST_S
    return answer


def manifest(*trees: Any) -> str:
    """The YAML of objects, for kubectl's input."""
    return yaml.safe_dump_all(trees)


def live_through(api: Any, collection: str, body: dict[str, Any], change: dict[str, Any]) -> None:
    """Every verb on three objects of a kind: made, read, listed, watched, patched, updated, deleted one and all.

    `body` is an object without metadata, `change` a merge patch that takes; finalizers that hold an object are taken
    off.
    """
    mark = uuid.uuid4().hex
    selected = f"{collection}?labelSelector=mark%3D{mark}"
    watch = api.watch(selected)
    names = [f"tried-{mark[:12]}-{number}" for number in range(3)]
    made = [api.create(collection, {**body, "metadata": {"name": name, "labels": {"mark": mark}}}) for name in names]
    path = f"{collection}/{names[0]}"
    assert api.get(path)["metadata"]["uid"] == made[0]["metadata"]["uid"]
    assert [each["metadata"]["name"] for each in api.get(selected)["items"]] == names
    patched = api.patch(path, {"metadata": {"annotations": {"patched": "true"}}, **change})
    assert patched["metadata"]["annotations"]
    _assert_holds(change, patched)

    def updated() -> Any:
        tree = api.get(path)
        tree["metadata"]["annotations"] = {"updated": "true"}
        answer = api.ask("PUT", path, tree)
        return answer.status_code == 200 and answer.json()

    assert wait_until(updated, what="an update")["metadata"]["annotations"] == {"updated": "true"}
    watch.wait(lambda events: "MODIFIED" in [one["type"] for one in events])
    api.delete(path)
    _let_go(api, collection, [names[0]])
    api.delete(selected)
    _let_go(api, collection, names[1:])
    assert not api.get(selected)["items"]
    watch.wait(lambda events: [one["type"] for one in events].count("DELETED") == 3)
    watch.close()


def _let_go(api: Any, collection: str, names: list[str]) -> None:
    """Take off what still holds objects that are being deleted, and see them gone."""
    for name in names:

        def gone(name: str = name) -> bool:
            answer = api.ask("GET", f"{collection}/{name}")
            if answer.status_code == 404:
                return True
            if answer.json()["metadata"].get("finalizers"):
                api.ask(
                    "PATCH",
                    f"{collection}/{name}",
                    {"metadata": {"finalizers": None}},
                    media="application/merge-patch+json",
                )
            return False

        wait_until(gone, what=f"{name} is gone")


def _assert_holds(wanted: Any, tree: Any) -> None:
    """All that `wanted` says is in the tree."""
    if not isinstance(wanted, dict):
        assert wanted == tree
        return
    for key, value in wanted.items():
        _assert_holds(value, tree[key])
