"""A cluster without machines: the API over TLS on loopback, controllers, a scheduler, hollow nodes.

Everything is in one process and one event loop, the store is memory, and the folder that holds the kubeconfig and
the keys is gone when the cluster is. What tests start (`testing/`, `bireme test-server`) is this.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from bireme.aio.clock import Clock
from bireme.aio.supervise import supervise
from bireme.api.errors import AlreadyExists, NotFound
from bireme.api.kinds import authentication, core, meta, rbac
from bireme.apiserver.errors import refusal
from bireme.apiserver.tunnels import RegistryPlaces, Tunnels
from bireme.assembly.api import MASTERS, Api, serve_api
from bireme.assembly.certificates import ensure_front_proxy, front_proxy_trust
from bireme.assembly.parts import memory_store, run_controllers, run_scheduler, signs
from bireme.client.client import Client
from bireme.controllers.settings import Settings as ControllerSettings
from bireme.http.certificates import Authority, Pair, client_context, server_context
from bireme.http.interface import Answer, Handler, Request
from bireme.http.requests import Session
from bireme.http.server import serve
from bireme.ledger.ledger import Ledger
from bireme.simulation.folder import temporary_folder, write_kubeconfig
from bireme.simulation.nodes import HollowNodes
from bireme.simulation.pods import HollowPods
from bireme.simulation.scripts import DEFAULT_RULES, Rules
from bireme.simulation.shapes import Shape
from bireme.simulation.tunnels import HollowTunnels

HOST = "127.0.0.1"
NAMES = (HOST, "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1")
POD_RANGE = "10.128.0.0/9"
ACCOUNT = "bireme-test-admin"
TOKEN_S = 24 * 3600
LOOK_S = 0.005


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the cluster should be: hollow nodes of what shape, with controllers and scheduler or the API alone."""

    nodes: int = 0
    shape: Shape = field(default_factory=Shape)
    controllers: bool = True
    port: int = 0
    rules: Rules = DEFAULT_RULES


@dataclass(frozen=True, slots=True)
class SimulatedCluster:
    """The running cluster; `nodes` are its hollow ones."""

    api: Api
    nodes: HollowNodes
    clock: Clock
    url: str
    folder: Path

    @property
    def admin(self) -> Client:
        """A client in this process that may do everything."""
        return self.api.admin()

    @property
    def kubeconfig(self) -> Path:
        """The admin's."""
        return self.folder / "kubeconfig"

    @property
    def pki(self) -> Path:
        """The folder with `ca.crt`, which clients are to trust, and the admin's `admin.crt` and `admin.key`."""
        return self.folder / "pki"

    async def token(self) -> str:
        """A bearer token of an account that may do everything, good for a day."""
        admin = self.admin
        account = core.ServiceAccount(metadata=meta.ObjectMeta(name=ACCOUNT, namespace="kube-system"))
        subject = rbac.Subject(kind="ServiceAccount", name=ACCOUNT, namespace="kube-system")
        role = rbac.RoleRef(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name="cluster-admin")
        binding = rbac.ClusterRoleBinding(metadata=meta.ObjectMeta(name=ACCOUNT), role_ref=role, subjects=[subject])
        for wanted in (account, binding):
            try:
                await admin.create(wanted)
            except AlreadyExists:
                continue
        ask = authentication.TokenRequest(spec=authentication.TokenRequestSpec(expiration_seconds=TOKEN_S))
        said = await admin.create_subresource(core.ServiceAccount, ACCOUNT, "token", ask, namespace="kube-system")
        return str(orjson.loads(said)["status"]["token"])


@asynccontextmanager
async def simulated(wishes: Wishes, *, clock: Clock) -> AsyncIterator[SimulatedCluster]:
    """A cluster until the block is left. It is ready: nodes are Ready, and pods can be made in `default`."""
    with temporary_folder() as folder:
        keys = Keys(folder / "pki", clock=clock)
        entrance = Entrance()
        door = await serve(
            entrance.handle, host=HOST, port=wishes.port, tls=keys.server_tls(), refuse=refusal, name="api"
        )
        store = memory_store(clock)
        try:
            async with (
                Session(tls=keys.client_tls()) as session,
                serve_api(
                    store,
                    clock=clock,
                    port=door.port,
                    tunnels=lambda registry: HollowTunnels(Tunnels(RegistryPlaces(registry), session), clock=clock),
                    front_proxy=front_proxy_trust(folder / "pki"),
                ) as api,
                running(api, wishes, keys, clock=clock) as nodes,
            ):
                entrance.handler = api.server.handle
                url = f"https://{HOST}:{door.port}"
                write_kubeconfig(folder, url)
                try:
                    yield SimulatedCluster(api, nodes, clock, url, folder)
                finally:
                    await door.close(grace_s=0)
        finally:
            await door.close(grace_s=0)
            await store.close()


class Entrance:
    """The door's handler, which is open before there is an API to lead to: the API wants to know its port."""

    handler: Handler | None = None

    async def handle(self, request: Request) -> Answer:
        """See `http.interface.Handler`."""
        if self.handler is None:
            return refusal(503, "the server is not ready yet")
        return await self.handler(request)


class Keys:
    """A new authority in `folder`, and the admin's pair beside it."""

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        self._clock = clock
        self.authority = Authority.create(folder, now=clock.now())
        self.ca = self.authority.certificate
        self._issue("kubernetes-admin", (MASTERS,)).write(folder, "admin")
        ensure_front_proxy(folder, "simulation", now=clock.now())

    def _issue(self, name: str, groups: tuple[str, ...] = (), hosts: Sequence[str] = ()) -> Pair:
        return self.authority.issue(name, groups, hosts, now=self._clock.now(), server=bool(hosts))

    def server_tls(self) -> ssl.SSLContext:
        """For the door."""
        return server_context(self._issue("kube-apiserver", hosts=NAMES), trusted=self.ca)

    def client_tls(self) -> ssl.SSLContext:
        """For what the API server asks of others."""
        return client_context(self.ca, self._issue("kube-apiserver", (MASTERS,)))


@asynccontextmanager
async def running(api: Api, wishes: Wishes, keys: Keys, *, clock: Clock) -> AsyncIterator[HollowNodes]:
    """The parts around the API, and the nodes."""
    client = api.client("bireme-simulation", groups=(MASTERS,))
    nodes = HollowNodes(client, clock=clock, untaint=not wishes.controllers)
    pods = HollowPods(client, nodes, clock=clock, rules=wishes.rules)
    parts: dict[str, Callable[[], Awaitable[None]]] = {"hollow nodes": nodes.run, "hollow pods": pods.run}
    if wishes.controllers:
        settings = ControllerSettings(
            root_ca=keys.ca.decode(), pod_range=POD_RANGE, sign=signs(keys.authority, clock)
        )
        parts["controllers"] = lambda: run_controllers(api, settings, clock=clock)
        parts["scheduler"] = lambda: run_scheduler(api, Ledger(), clock=clock)
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(supervise(name, part, clock), name=name) for name, part in parts.items()]
        try:
            await nodes.add(wishes.nodes, wishes.shape)
            if wishes.controllers:
                await account_made(api.admin())
            yield nodes
        finally:
            for task in started:
                task.cancel()


async def account_made(client: Client) -> None:
    """Return once pods can be made in `default`: they need its service account."""
    while True:
        try:
            await client.get(core.ServiceAccount, "default", namespace="default")
        except NotFound:
            await asyncio.sleep(LOOK_S)
        else:
            return
