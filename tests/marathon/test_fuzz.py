"""Whatever JSON comes, it is taken or refused in Marathon's words, and what is taken makes a TaskInfo."""

import sys
from pathlib import Path
from random import Random
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path[:0] = [str(Path(__file__).parent)]

from marathon_build import NOW  # noqa: E402

from bireme.marathon import changes, schema  # noqa: E402
from bireme.marathon.changes import Policy, settle  # noqa: E402
from bireme.marathon.errors import MarathonError  # noqa: E402
from bireme.marathon.instances import Instance  # noqa: E402
from bireme.marathon.model import App, Root  # noqa: E402
from bireme.marathon.placement import choose_ports  # noqa: E402
from bireme.marathon.tasks import task_info  # noqa: E402
from bireme.mesos import json_form  # noqa: E402
from bireme.mesos.messages import message  # noqa: E402

_WORDS = """
a /a/b .. host container container/bridge BRIDGE USER DOCKER MESOS tcp RW UNIQUE LIKE hostname HTTP TCP
COMMAND MESOS_HTTP disabled true x:80
"""
_NAMES = """
docker image network portMappings volumes containerPath hostPath mode name port containerPort hostPort
protocol portIndex command value path type http tcp exec shell argv discovery number groups apps uri destPath
parameters key secret
"""
WORDS = st.sampled_from(["", "é\0", "(", *_WORDS.split()])
NAMES = st.sampled_from([*schema.APP_FIELDS, *_NAMES.split()])
PLAIN = st.none() | st.booleans() | st.integers(-2, 70000) | st.floats(allow_nan=False) | WORDS
TREES: st.SearchStrategy[Any] = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=25
)
APPS = st.fixed_dictionaries({"id": st.sampled_from(["/a", "b", "/c/d"])}).flatmap(
    lambda base: st.dictionaries(NAMES, TREES, max_size=6).map(lambda more: {"cmd": "x", **more, **base})
)


def taken(tree: Any) -> App | None:
    try:
        read = schema.read(schema.APP, orjson.loads(orjson.dumps(tree)))
        root, path = changes.create_app(Root(), read, Policy())
        return settle(Root(), root, version="2026-01-01T00:00:00.000Z", policy=Policy()).apps[path]
    except MarathonError as error:
        assert error.status in (400, 409, 422)  # noqa: PT017
        orjson.dumps(error.body)
        return None


@settings(max_examples=400, deadline=None)
@given(APPS)
def test_apps(tree: Any) -> None:
    app = taken(tree)
    if app is None:
        return
    ports = choose_ports(app.ports, [(1, 65535)], Random(1))
    assert ports is not None
    name = "a.instance-1"
    one = Instance(name, app, f"{name}._app.1", "h", "10.0.0.1", "s", tuple(ports), NOW, NOW)
    json_form.read(task_info(one, []), message("mesos.v1.TaskInfo"))
    again = {key: value for key, value in app.tree.items() if key != "versionInfo"}
    same = taken(again)
    assert same is not None
    assert same.same_as(app)


@settings(max_examples=200, deadline=None)
@given(TREES)
def test_groups(tree: Any) -> None:
    try:
        update = schema.read(schema.GROUP_UPDATE, tree)
        changes.update_group(Root(), "/g", update, Policy())
    except MarathonError as error:
        assert error.status in (400, 409, 422)  # noqa: PT017
