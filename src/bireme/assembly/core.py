"""The core process: store, API server, controllers, scheduler, Mesos master and Marathon, on direct calls."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any, Protocol

import orjson
import structlog

from bireme.aio.clock import Clock, RealClock
from bireme.aio.supervise import supervise
from bireme.api.errors import NotFound
from bireme.api.kinds import core, meta
from bireme.apiserver import resources
from bireme.apiserver.errors import refusal
from bireme.apiserver.tunnels import RegistryPlaces, Tunnels
from bireme.assembly.admission import admission_config
from bireme.assembly.api import MASTERS, Api, serve_api
from bireme.assembly.auditing import audit
from bireme.assembly.authentication import authenticator, earlier_keys, front_proxy, trusted
from bireme.assembly.certificates import front_proxy_trust
from bireme.assembly.cluster_info import make_cluster_info
from bireme.assembly.doors import Opening, open_doors
from bireme.assembly.parts import run_controllers, run_scheduler, signs
from bireme.assembly.process import run_until_stopped, set_up_logs, settle_memory
from bireme.assembly.scheduling import scheduler_settings
from bireme.client.client import Client
from bireme.config import Config
from bireme.controllers.settings import Settings as ControllerSettings
from bireme.http.certificates import Authority, Pair, client_context, load_or_create_signing_key, server_context
from bireme.http.credentials import Credentials
from bireme.http.interface import Answer, Request, Response
from bireme.http.requests import Session
from bireme.ledger.ledger import Ledger
from bireme.marathon.marathon import Marathon
from bireme.marathon.settings import Settings as MarathonSettings
from bireme.marathon.transport import InProcessMaster, basic
from bireme.mesos.api import MesosMaster
from bireme.mesos.core import Means
from bireme.mesos.core import Settings as MesosSettings
from bireme.mesos.master import Master
from bireme.network.services import OTHER_PROXY
from bireme.registry.verbs import Registry
from bireme.store.sqlite import SqliteStore

log = structlog.get_logger(__name__)

Service = Callable[[], Awaitable[None]]
MARATHON = "marathon"
STATUS_PATH = "/bireme/v1/status"
DNS_PORTS = (("dns", "UDP"), ("dns-tcp", "TCP"))


class StandIn(Protocol):
    """What stands in for machines, in this very process: nodes and pods that are hollow."""

    def tunnels(self, others: resources.Tunnels) -> resources.Tunnels:
        """Ways into pods that have no machine; everything else goes to `others`."""
        ...

    async def run(self, api: Api) -> None:
        """Have the nodes there, until cancelled."""
        ...

    def statistics(self) -> dict[str, int]:
        """How they are, for `bireme status`."""
        ...


def run(settings: Path) -> None:
    """Run the core of the cluster whose settings are in this file, until a signal."""
    config = Config.load(settings)
    set_up_logs("core", level=config.log_level)
    run_until_stopped(main(config, clock=RealClock()))


async def main(config: Config, *, clock: Clock, stand_in: StandIn | None = None) -> None:
    """Open the store and serve everything over it until cancelled."""
    config.store.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = SqliteStore(config.store / "state.db", clock=clock)
    pair = Pair.read(config.pki, "apiserver-kubelet-client")
    session = Session(tls=client_context((config.pki / "ca.crt").read_bytes(), pair))

    def tunnels(registry: Registry) -> resources.Tunnels:
        real = Tunnels(Places(registry, config), session)
        return stand_in.tunnels(real) if stand_in else real

    try:
        async with (
            session,
            serve_api(
                store,
                clock=clock,
                service_range=config.service_range,
                advertise=config.inside,
                port=config.api_port,
                signing=load_or_create_signing_key(config.pki),
                earlier_keys=earlier_keys(config),
                audit=audit(config, clock=clock),
                authenticator=lambda registry, tokens: authenticator(config, registry, tokens, clock=clock),
                tunnels=tunnels,
                plugins=config.admission_plugins,
                admission=admission_config(config),
                front_proxy=front_proxy_trust(config.pki),
            ) as api,
        ):
            await Core(config, api, clock=clock, stand_in=stand_in).run()
    finally:
        await store.close()


class Places(RegistryPlaces):
    """Where nodes are reached: this machine's own on loopback, when the doors are there alone."""

    def __init__(self, registry: Registry, config: Config) -> None:
        super().__init__(registry)
        self._config = config

    async def node(self, name: str) -> dict[str, Any]:
        """The node of that name, with the address at which this process finds it."""
        tree = await super().node(name)
        if name == self._config.node_name and len(self._config.hosts) > 1:
            tree["status"]["addresses"] = [{"type": "InternalIP", "address": self._config.host}]
        return tree


class Core:
    """The parts of the core around one API. Each speaks to it under a name of its own."""

    def __init__(self, config: Config, api: Api, *, clock: Clock, stand_in: StandIn | None = None) -> None:
        self._config, self._api, self._clock, self._stand_in = config, api, clock, stand_in
        self._random = Random()
        self._ledger = Ledger()
        self._make_room: Callable[[], None] = lambda: None
        self._credentials = Credentials.load(config.credentials)
        self._gateways = front_proxy(config)

    async def run(self) -> None:
        """Open every door, then work until cancelled."""
        authority = (self._config.pki / "ca.crt").read_bytes()
        await make_cluster_info(self._api.admin(), server=self._config.api_url, authority=authority)
        if self._stand_in is None:
            await make_dns_service(self._api.admin(), address=self._config.dns_address)
        mesos = self._mesos()
        marathon = self._marathon(mesos)
        self._make_room = mesos.master.make_room
        doors = [
            Opening("api", self._handle, self._config.api_port, refuse=refusal, tls=self._tls()),
            Opening("mesos", mesos.handle, self._config.mesos_port),
            Opening("marathon", marathon.handle, self._config.marathon_port),
        ]
        services: dict[str, Service] = {
            "controllers": self._run_controllers,
            "scheduler": self._run_scheduler,
            "mesos": mesos.run,
            "marathon": marathon.run,
        }
        if (stand_in := self._stand_in) is not None:
            services["hollow nodes"] = lambda: stand_in.run(self._api)
        async with asyncio.TaskGroup() as tasks, open_doors(doors, self._config.hosts, tasks, clock=self._clock):
            for name, service in services.items():
                tasks.create_task(supervise(name, service, self._clock), name=name)
            settle_memory()
            log.info("core serves", url=self._config.api_url)
            await asyncio.Event().wait()

    async def _handle(self, request: Request) -> Answer:
        """The Kubernetes API, and for the admin what `bireme status` shows of this process."""
        if request.path != STATUS_PATH:
            return await self._api.server.handle(request)
        gateway = self._gateways is not None and self._gateways.is_one(request.peer)
        if gateway or MASTERS not in request.peer.organizations:
            return refusal(403, "the status of the core is for the admin")
        store, ledger = self._api.store.statistics(), self._ledger.statistics()
        shown: dict[str, Any] = {"store": asdict(store), "ledger": asdict(ledger)}
        if self._stand_in is not None:
            shown["hollow"] = self._stand_in.statistics()
        return Response(body=orjson.dumps(shown))

    def _tls(self) -> ssl.SSLContext:
        return server_context(Pair.read(self._config.pki, "apiserver"), trusted=trusted(self._config))

    async def _run_controllers(self) -> None:
        root_ca = (self._config.pki / "ca.crt").read_text()
        settings = ControllerSettings(
            root_ca=root_ca,
            pod_range=self._config.pod_range,
            sign=signs(Authority.load(self._config.pki), self._clock),
        )
        await run_controllers(self._api, settings, clock=self._clock)

    async def _run_scheduler(self) -> None:
        await run_scheduler(
            self._api,
            self._ledger,
            clock=self._clock,
            settings=scheduler_settings(self._config),
            ask_for_room=lambda: self._make_room(),
        )

    def _mesos(self) -> MesosMaster:
        config = self._config
        settings = MesosSettings(
            hostname=config.host,
            address=config.host,
            port=config.mesos_port,
            agent_port=config.agent_port,
            work_dir=str(config.sandboxes),
            cluster=config.cluster,
            insecure=config.insecure_loopback,
        )
        client = self._api.client("system:mesos-master")
        master = Master(Means(client, self._ledger, self._clock, self._random), settings)
        return MesosMaster(master, authenticator=self._credentials, insecure=config.insecure_loopback)

    def _marathon(self, mesos: MesosMaster) -> Marathon:
        """Marathon, which enters the master's door as any framework does: with its name and secret."""
        config = self._config
        settings = MarathonSettings(
            hostname=config.host,
            http_port=config.marathon_port,
            master=config.mesos_url,
            principal=MARATHON,
            insecure=config.insecure_loopback,
        )
        door = InProcessMaster(mesos.handle, headers=basic(MARATHON, secret_of(config, MARATHON)))
        return Marathon(
            self._api.client("system:marathon"),
            door,
            clock=self._clock,
            random=self._random,
            authenticator=self._credentials,
            settings=settings,
        )


def secret_of(config: Config, user: str) -> str:
    """The password of one of our own users."""
    users = orjson.loads(config.credentials.read_bytes())["users"]
    return str(next(each["password"] for each in users if each["name"] == user))


async def make_dns_service(client: Client, *, address: str) -> None:
    """Have the Service by which users find the cluster's DNS. Every node answers on that address by itself."""
    ports = [core.ServicePort(name=name, port=53, protocol=protocol) for name, protocol in DNS_PORTS]
    service = core.Service(
        metadata=meta.ObjectMeta(
            name="kube-dns",
            namespace="kube-system",
            labels={"k8s-app": "kube-dns", "kubernetes.io/name": "Bireme", OTHER_PROXY: "node-dns"},
        ),
        spec=core.ServiceSpec(cluster_ip=address, ports=ports),
    )
    try:
        await client.get(core.Service, "kube-dns", namespace="kube-system")
    except NotFound:
        await client.create(service)
