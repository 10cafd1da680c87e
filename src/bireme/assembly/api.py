"""The Kubernetes API in this process, from the store up: what the core serves and tests and simulations use."""

import asyncio
import random as chance
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from uuid import uuid4

from bireme.aio.clock import Clock
from bireme.api.scheme import Scheme, builtin
from bireme.apiserver.app import ApiServer
from bireme.apiserver.health import Health
from bireme.apiserver.resources import Tunnels
from bireme.client.client import Client
from bireme.client.transport import InProcessTransport
from bireme.http.certificates import signing_key
from bireme.http.interface import Identity
from bireme.registry.addresses import ServiceAddresses
from bireme.registry.admission.plugins import default_plugins
from bireme.registry.bootstrap import make_start_objects
from bireme.registry.expiry import expire_events
from bireme.registry.tokens import ServiceAccountTokens
from bireme.registry.verbs import Registry
from bireme.store.interface import Store

MASTERS = "system:masters"


@dataclass(frozen=True, slots=True)
class Api:
    """The API of one cluster. `server.handle` is its door."""

    store: Store
    registry: Registry
    server: ApiServer

    def client(self, name: str, *, groups: tuple[str, ...] = ()) -> Client:
        """A client in this process that speaks as `name`."""
        return Client(InProcessTransport(self.server.handle, Identity(name, groups)), user_agent=name)

    def admin(self) -> Client:
        return self.client("kubernetes-admin", groups=(MASTERS,))


@asynccontextmanager
async def serve_api(
    store: Store,
    *,
    clock: Clock,
    service_range: str = "10.96.0.0/16",
    advertise: str = "127.0.0.1",
    port: int = 6443,
    signing: tuple[bytes, bytes] | None = None,
    tunnels: Tunnels | None = None,
    scheme: Scheme | None = None,
    uid: Callable[[], str] = lambda: str(uuid4()),
    random: chance.Random | None = None,
) -> AsyncIterator[Api]:
    """Load what the store holds, make the objects that every cluster has, and serve until the block is left."""
    dice = random or chance.Random()
    registry = Registry(store, scheme or builtin(), clock, uid=uid, random=dice)
    addresses = ServiceAddresses(registry, service_range=IPv4Network(service_range), random=dice)
    registry.use(default_plugins(registry, dice), {"Service": addresses})
    private, public = signing or signing_key()
    tokens = ServiceAccountTokens(private, public, clock=clock, uid=uid)
    tokens.look_up_in(registry)
    server = ApiServer(registry, tokens=tokens, tunnels=tunnels, health=Health(), random=dice, uid=uid)
    registry.start()
    addresses.load()
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(registry.run(), name="watch cache"),
            tasks.create_task(expire_events(registry, clock), name="event expiry"),
        ]
        await make_start_objects(
            registry, service_range=IPv4Network(service_range), advertise_address=advertise, port=port
        )
        try:
            yield Api(store, registry, server)
        finally:
            for task in running:
                task.cancel()
