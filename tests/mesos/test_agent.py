"""The agent's door: sandboxes can be read, and nothing else."""

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import core
from bireme.http.interface import Identity, Peer, Query, Request, Response, Stream
from bireme.mesos import tasks
from bireme.mesos.agent import MesosAgent
from bireme.mesos.task_command import Placement

Tree = dict[str, Any]


def task(name: str) -> Tree:
    resources = [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}}]
    ids = {"task_id": {"value": name}, "agent_id": {"value": "S0"}}
    return ids | {"name": name, "resources": resources, "command": {"value": "true"}}


@pytest.fixture
def door(tmp_path: Path) -> MesosAgent:
    root = tmp_path / "mesos"
    placement = Placement("fw", {"name": "f", "user": "u"}, "S0", "node", "10.0.0.1:5051", "*", str(root), "c1", "t1")
    pod = tasks.make_pod([task("t1")], placement)
    sandbox = Path(placement.sandbox)
    sandbox.mkdir(parents=True)
    (sandbox / "stdout").write_text("hello\n" * 10)
    (sandbox / "sub").mkdir()
    (tmp_path / "secret").write_text("secret")
    os.symlink(tmp_path / "secret", sandbox / "link")
    os.symlink(tmp_path, sandbox / "up")
    return MesosAgent(lambda: [pod], lambda: None, root, VirtualClock())


async def ask(door: MesosAgent, path: str, query: Tree | None = None, body: Tree | None = None) -> Response | Stream:
    request = Request(
        "GET" if body is None else "POST",
        path,
        Query(tuple((query or {}).items())),
        {"content-type": "application/json"},
        b"" if body is None else orjson.dumps(body),
        Peer(identity=Identity("someone")),
    )
    answer = await door.handle(request)
    assert isinstance(answer, Response | Stream)
    return answer


async def read(door: MesosAgent, path: str, query: Tree | None = None) -> Any:
    answer = await ask(door, path, query)
    assert isinstance(answer, Response)
    assert answer.status == 200, answer
    return orjson.loads(answer.body)


async def directory(door: MesosAgent) -> str:
    (framework,) = (await read(door, "/slave(1)/state"))["frameworks"]
    return str(framework["executors"][0]["directory"])


async def test_a_sandbox_is_found_through_state_and_read(door: MesosAgent) -> None:
    folder = await directory(door)
    listed = await read(door, "/files/browse.json", {"path": folder})
    assert [entry["path"].rpartition("/")[2] for entry in listed] == ["link", "stdout", "sub", "up"]
    assert listed[1]["mode"].startswith("-rw")
    assert await read(door, "/files/read", {"path": f"{folder}/stdout", "offset": "-1"}) == {"data": "", "offset": 60}
    found = await read(door, "/files/read", {"path": f"{folder}/stdout", "offset": "54", "length": "5"})
    assert found == {"data": "hello", "offset": 54}


async def test_virtual_paths(door: MesosAgent) -> None:
    for path in (
        "/frameworks/fw/executors/t1/runs/latest/stdout",
        "/slaves/S0/frameworks/fw/executors/t1/runs/latest/stdout",
    ):
        assert (await read(door, "/files/read", {"path": path, "offset": "0", "length": "5"}))["data"] == "hello"


async def test_download(door: MesosAgent) -> None:
    answer = await ask(door, "/files/download", {"path": f"{await directory(door)}/stdout"})
    assert isinstance(answer, Stream)
    assert b"".join([chunk async for chunk in answer.chunks]) == b"hello\n" * 10


@pytest.mark.parametrize(
    "tail",
    ["/link", "/up/secret", "/../../../../../../../../../../secret", "/sub/../../x", "/stdout/x", "/\0", "/nothing"],
)
async def test_nobody_leaves_the_sandbox(door: MesosAgent, tail: str) -> None:
    for path in ("/files/read", "/files/download"):
        answer = await ask(door, path, {"path": await directory(door) + tail, "offset": "0"})
        assert (answer.status, isinstance(answer, Response)) == (404, True)


@pytest.mark.parametrize("path", ["/etc/passwd", "/", "..", "/slaves", "slaves/S0", "/master/log"])
async def test_only_sandboxes_are_shown(door: MesosAgent, path: str) -> None:
    assert (await ask(door, "/files/browse", {"path": path})).status == 404


async def test_bad_questions(door: MesosAgent) -> None:
    folder = await directory(door)
    assert (await ask(door, "/files/read")).status == 400
    assert (await ask(door, "/files/read", {"path": f"{folder}/stdout", "offset": "x"})).status == 400
    assert (await ask(door, "/files/read", {"path": f"{folder}/sub", "offset": "0"})).status == 400
    assert (await ask(door, "/nothing")).status == 404
    stranger = Request("GET", "/state")
    answer = await door.handle(stranger)
    assert isinstance(answer, Response)
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="mesos-agent-readonly"'


async def test_containers_statistics_and_calls(door: MesosAgent) -> None:
    (container,) = await read(door, "/containers")
    assert (container["container_id"], container["executor_id"]) == ("c1", "t1")
    (figures,) = await read(door, "/monitor/statistics")
    assert figures["statistics"]["cpus_limit"] == 0.6
    assert await read(door, "/containers", {"container_id": "other"}) == []
    answer = await ask(door, "/api/v1", body={"type": "GET_CONTAINERS"})
    assert isinstance(answer, Response)
    assert orjson.loads(answer.body)["get_containers"]["containers"][0]["container_id"] == {"value": "c1"}
    path = f"{await directory(door)}/stdout"
    call = {"type": "READ_FILE", "read_file": {"path": path, "offset": 0, "length": 5}}
    answer = await ask(door, "/api/v1", body=call)
    assert isinstance(answer, Response)
    assert orjson.loads(answer.body)["read_file"] == {"size": 60, "data": "aGVsbG8="}
    assert (await ask(door, "/api/v1", body={"type": "LAUNCH_CONTAINER"})).status == 501
    assert (await ask(door, "/metrics/snapshot")).status == 200


async def test_sandboxes_outlive_their_pods(door: MesosAgent) -> None:
    """The pod goes with the last acknowledgement; where its output is must still be found."""
    folder = await directory(door)
    door.pods = lambda: []
    state = await read(door, "/state")
    assert (state["id"], state["frameworks"]) == ("S0", [])
    (framework,) = state["completed_frameworks"]
    (executor,) = framework["completed_executors"]
    assert (framework["id"], executor["id"], executor["container"]) == ("fw", "t1", "c1")
    assert executor["directory"] == folder
    for path in (folder, "/frameworks/fw/executors/t1/runs/latest"):
        assert (await read(door, "/files/read", {"path": f"{path}/stdout", "offset": "0", "length": "5"}))["data"]


def test_pods_that_are_no_tasks_are_left_out(tmp_path: Path) -> None:
    spoilt = core.Pod()
    spoilt.metadata.labels = {tasks.FRAMEWORK_ID: "fw"}
    spoilt.metadata.annotations = {tasks.TASKS: "{"}
    door = MesosAgent(lambda: [core.Pod(), spoilt], lambda: None, tmp_path, VirtualClock())
    assert door.state()["frameworks"] == []
