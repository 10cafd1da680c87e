"""`bireme test-server`: a whole API server for tests in any language, from memory, with hollow nodes.

It says where it is in one line on standard output when it is ready, and ends with whoever started it: on a signal,
when its standard input is a pipe that is closed, or when the parent process ends. Nothing is left behind.
"""

import asyncio
import os
import stat
import sys
from typing import TYPE_CHECKING

import click
import orjson

if TYPE_CHECKING:
    from bireme.simulation.cluster import Wishes

STDIN = 0


@click.command()
@click.option("--nodes", default=2, show_default=True, help="Hollow nodes to begin with.")
@click.option("--cpu", default="16", show_default=True, help="What each node has.")
@click.option("--memory", default="64Gi", show_default=True)
@click.option("--pods", default=110, show_default=True)
@click.option("--controllers/--no-controllers", default=True, help="Controllers and scheduler too.")
@click.option("--port", default=0, help="The port to serve at on loopback; 0 takes a free one.")
@click.option("--json", "as_json", is_flag=True, help="Say more than the kubeconfig's path: url, token, ca …")
@click.option("--stay", is_flag=True, help="End on a signal alone.")
def test_server(
    nodes: int, cpu: str, memory: str, pods: int, controllers: bool, port: int, as_json: bool, stay: bool
) -> None:
    """Serve the Kubernetes API for tests, from memory, until the caller ends.

    Prints the path of the admin's kubeconfig once the API is ready and the nodes are.
    """
    parent = os.pidfd_open(os.getppid())  # before what takes its time: it may be gone afterwards
    from bireme.assembly.process import run_until_stopped, set_up_logs
    from bireme.simulation.cluster import Wishes
    from bireme.simulation.shapes import Shape

    set_up_logs("test-server", level="warning")
    wishes = Wishes(nodes, Shape(cpu, memory, pods), controllers, port)
    run_until_stopped(_serve(wishes, as_json=as_json, parent=None if stay else parent))


async def _serve(wishes: "Wishes", *, as_json: bool, parent: int | None) -> None:
    from bireme.aio.clock import RealClock
    from bireme.assembly.process import settle_memory
    from bireme.simulation.cluster import simulated

    async with simulated(wishes, clock=RealClock()) as cluster:
        said = str(cluster.kubeconfig)
        if as_json:
            pki = cluster.pki
            facts = {
                "kubeconfig": said,
                "url": cluster.url,
                "token": await cluster.token(),
                "ca": str(pki / "ca.crt"),
                "certificate": str(pki / "admin.crt"),
                "key": str(pki / "admin.key"),
                "pid": os.getpid(),
            }
            said = orjson.dumps(facts).decode()
        settle_memory()
        sys.stdout.write(said + "\n")
        sys.stdout.flush()
        await (asyncio.Event().wait() if parent is None else caller_ended(parent))


async def caller_ended(parent: int) -> None:
    """Return once the parent process has ended, or standard input has, where that is a pipe or a socket.

    `parent` is its process's descriptor: a death signal would come when the thread that started us ends, and in
    many languages threads come and go.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(parent, ended.set)
    mode = os.fstat(STDIN).st_mode
    listens = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)

    def read() -> None:
        if not os.read(STDIN, 4096):
            ended.set()

    if listens:
        loop.add_reader(STDIN, read)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(parent)
        if listens:
            loop.remove_reader(STDIN)
