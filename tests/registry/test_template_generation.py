"""The number of a DaemonSet's template: raised with each other template, written by nobody but the server."""

import copy
from typing import Any

import pytest

from bireme.registry.options import Call
from bireme.registry.template_generation import ANNOTATION

LABELS = {"app": "a"}


def daemons(image: str = "one", **annotations: str) -> dict[str, Any]:
    pods = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {
        "metadata": {"name": "d", "annotations": annotations},
        "spec": {"selector": {"matchLabels": LABELS}, "template": pods},
    }


def number(tree: dict[str, Any]) -> str:
    return str(tree["metadata"]["annotations"][ANNOTATION])


@pytest.mark.parametrize(("said", "expected"), [({}, "1"), ({ANNOTATION: "7"}, "7"), ({ANNOTATION: "x"}, "1")])
async def test_a_new_one_begins_at_one_or_where_its_backup_was(
    opened: Any, said: dict[str, str], expected: str
) -> None:
    async with opened() as registry:
        kind = registry.kind("apps", "v1", "daemonsets")
        made = (await registry.create(kind, "default", daemons(**said), Call())).tree()
        assert number(made) == expected


async def test_the_number_follows_the_template_alone(opened: Any) -> None:
    async with opened() as registry:
        kind = registry.kind("apps", "v1", "daemonsets")
        first = (await registry.create(kind, "default", daemons(), Call())).tree()

        async def update(tree: dict[str, Any]) -> dict[str, Any]:
            document, _ = await registry.update(kind, "default", "d", copy.deepcopy(tree), Call())
            return dict(document.tree())

        same = await update(daemons())
        assert same["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"], "nothing was written"
        assert number(await update(daemons(**{ANNOTATION: "9"}, note="here"))) == "1"
        slower = daemons()
        slower["spec"]["minReadySeconds"] = 5
        assert number(await update(slower)) == "1"
        again = await update(daemons("two"))
        assert (number(again), again["metadata"]["generation"]) == ("2", 3)
        assert number(await update(daemons("one"))) == "3"
