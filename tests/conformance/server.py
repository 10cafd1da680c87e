"""A control plane for the conformance tests: a real API server over TLS, controllers, scheduler, two hollow nodes.

A process of its own, so that clients are as far away as they are in life. It prints a line of JSON when it is
ready, and ends when its input does.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import orjson
import uvloop
import yaml

from bireme.aio.clock import Clock, RealClock
from bireme.api.kinds import core
from bireme.apiserver.errors import refusal
from bireme.apiserver.tunnels import RegistryPlaces, Tunnels
from bireme.assembly.api import MASTERS, Api, serve_api
from bireme.assembly.process import set_up_logs
from bireme.client.events import EventRecorder
from bireme.client.informer import Informer
from bireme.controllers.all import controllers, run
from bireme.controllers.controller import Context
from bireme.controllers.informers import Informers
from bireme.controllers.settings import Settings
from bireme.http.certificates import Authority, Pair, client_context, server_context
from bireme.http.requests import Session
from bireme.http.server import serve
from bireme.kubelet.agent import Kubelet
from bireme.kubelet.settings import KubeletSettings
from bireme.ledger.ledger import Ledger
from bireme.runtime.hollow import HollowRuntime
from bireme.scheduler.scheduler import Scheduler
from bireme.store.memory import MemoryStore

NODES = 2
HOSTS = ("127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


async def main() -> None:
    clock = RealClock()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority.create(folder / "pki", now=clock.now())
        admin = authority.issue("kubernetes-admin", (MASTERS,), now=clock.now())
        own = authority.issue("kube-apiserver", hosts=HOSTS, now=clock.now(), server=True)
        ca = authority.certificate
        kubelets = Session(tls=client_context(ca, authority.issue("kube-apiserver", (MASTERS,), now=clock.now())))
        async with (
            kubelets,
            serve_api(
                MemoryStore(clock=clock),
                clock=clock,
                tunnels=lambda registry: Tunnels(RegistryPlaces(registry), kubelets),
            ) as api,
            asyncio.TaskGroup() as tasks,
        ):
            door = await serve(
                api.server.handle,
                host="127.0.0.1",
                port=0,
                tls=server_context(own, trusted=ca),
                refuse=refusal,
                name="api",
            )
            running = [
                tasks.create_task(run_controllers(api, clock, ca.decode())),
                tasks.create_task(run_scheduler(api, clock)),
                *(tasks.create_task(run_node(api, clock, folder, number)) for number in range(NODES)),
            ]
            await ready(api)
            url = f"https://127.0.0.1:{door.port}"
            write(folder, url, ca, admin)
            said = {"url": url, "kubeconfig": str(folder / "kubeconfig"), "pki": str(folder / "pki")}
            sys.stdout.write(orjson.dumps(said).decode() + "\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)
            for task in running:
                task.cancel()
            await door.close(grace_s=0)


async def run_controllers(api: Api, clock: Clock, root_ca: str) -> None:
    client = api.client("system:kube-controller-manager")
    context = Context(client, Informers(client, clock=clock), clock, Settings(root_ca=root_ca))
    await run(context, controllers(context))


async def run_scheduler(api: Api, clock: Clock) -> None:
    client = api.client("system:kube-scheduler")
    pods, nodes = Informer(client, core.Pod, clock=clock), Informer(client, core.Node, clock=clock)
    events = EventRecorder(client, "default-scheduler", clock=clock)
    scheduler = Scheduler(client, pods=pods, nodes=nodes, ledger=Ledger(), events=events, clock=clock)
    async with asyncio.TaskGroup() as tasks:
        for service in (pods, nodes, events, scheduler):
            tasks.create_task(service.run())


async def run_node(api: Api, clock: Clock, folder: Path, number: int) -> None:
    """A real kubelet over containers that only claim to run."""
    name = f"hollow-{number}"
    settings = KubeletSettings(
        node_name=name,
        node_ip=f"192.0.2.{number + 10}",
        root=folder / name / "kubelet",
        log_root=folder / name / "logs",
        capacity={"cpu": "16", "memory": "64Gi", "pods": "500", "ephemeral-storage": "100Gi"},
        privileged_files=False,
        api_host="10.96.0.1",
    )
    client = api.client(f"system:node:{name}", groups=("system:nodes",))
    await Kubelet(settings, client, HollowRuntime(clock), clock=clock).run()


async def ready(api: Api) -> None:
    """Return once the nodes are ready and pods can be made."""
    client = api.admin()
    while True:
        nodes = (await client.list(core.Node)).items
        fine = [one for one in nodes if any(c.type == "Ready" and c.status == "True" for c in one.status.conditions)]
        accounts = (await client.list(core.ServiceAccount, namespace="default")).items
        if len(fine) == NODES and accounts:
            return
        await asyncio.sleep(0.05)


def write(folder: Path, url: str, ca: bytes, admin: Pair) -> None:
    """The admin's kubeconfig, and the files that it names."""
    admin.write(folder / "pki", "admin")
    pki = folder / "pki"
    cluster = {"server": url, "certificate-authority": str(pki / "ca.crt")}
    user = {"client-certificate": str(pki / "admin.crt"), "client-key": str(pki / "admin.key")}
    said = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(said))


if __name__ == "__main__":
    set_up_logs("conformance", level="warning")
    uvloop.run(main())
