"""The node's pods as its HTTPS door sees them."""

import pytest
from kubelet_pods import container

from bireme.api.errors import BadRequest, NotFound
from bireme.kubelet.backend import Backend
from bireme.kubelet.server import LogFile, PodBackend, Streams, Target
from bireme.runtime.interface import ExecResult

HERE = Target("default", "p")


async def test_answers_for_what_runs(world):
    async with world() as w:
        made = await w.make(container())
        backend: PodBackend = Backend(w.kubelet)
        (pod,) = backend.pods()
        assert pod.status.phase == "Running"
        w.engine.answer = lambda _id, command: ExecResult(command[0].encode(), b"!", 0)
        assert await backend.run(HERE, ["x"], 5) == b"x!"
        log = await backend.log_file(HERE, previous=False)
        assert log.path == f"default_p_{made.metadata.uid}/c/0.log"
        assert await backend.is_running(log.container_id)
        assert await backend.network_namespace(HERE) == ""
        w.engine.exit("c", 1)
        await w.pass_time(3)
        assert (await backend.log_file(HERE, previous=True)) == LogFile(log.path, log.container_id)
        assert not await backend.is_running(log.container_id)
        assert not await backend.is_running("nothing")
        (used,) = await backend.usage()
        assert (used.pod, used.container) == ("p", "c")


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        (Target("default", "q"), NotFound, 'pods "q" not found'),
        (Target("default", "p", uid="other"), NotFound, 'pods "p" not found'),
        (Target("default", "p", "x"), NotFound, "container x is not valid for pod p"),
        (Target("default", "p", "c"), BadRequest, 'container "c" in pod "p" is waiting to start: ErrImagePull'),
    ],
)
async def test_what_cannot_be_asked_is_told(world, target, error, words):
    async with world(missing=["app:1"]) as w:
        await w.make(container())
        backend = Backend(w.kubelet)
        with pytest.raises(error, match=words):
            await backend.log_file(target, previous=False)
        with pytest.raises(error):
            await backend.exec_url(target, ["x"], Streams(stdout=True))


async def test_one_of_several_containers_must_be_named(world):
    async with world() as w:
        await w.make(container("a"), container("b"))
        with pytest.raises(BadRequest, match="must be specified"):
            await Backend(w.kubelet).log_file(HERE, previous=False)
