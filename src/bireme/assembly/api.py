"""The Kubernetes API in this process, from the store up: what the core serves and tests and simulations use."""

import asyncio
import random as chance
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network

from bireme.aio.clock import Clock
from bireme.aio.supervise import supervise
from bireme.aio.uids import new_uid
from bireme.api.scheme import Scheme, builtin
from bireme.apiserver.aggregation import Aggregator
from bireme.apiserver.app import ApiServer
from bireme.apiserver.audit import Audit
from bireme.apiserver.authentication import Authenticator
from bireme.apiserver.front_proxy import FrontProxyTrust
from bireme.apiserver.resources import Tunnels
from bireme.apiserver.start_checks import add_start_checks
from bireme.client.client import Client
from bireme.client.transport import InProcessTransport
from bireme.http.certificates import signing_key
from bireme.http.interface import Identity
from bireme.registry.admission.configuration import AdmissionConfig
from bireme.registry.tokens import ServiceAccountTokens
from bireme.registry.verbs import Registry
from bireme.registry.wiring import build_registry, fill_registry, keep_filled, run_registry
from bireme.store.interface import Store

MASTERS = "system:masters"


@dataclass(frozen=True, slots=True)
class Api:
    """The API of one cluster. `server.handle` is its door."""

    store: Store
    registry: Registry
    server: ApiServer
    tokens: ServiceAccountTokens

    def client(self, name: str, *, groups: tuple[str, ...] = ()) -> Client:
        """A client in this process that speaks as `name`."""
        user = Identity(name, groups)
        return Client(
            InProcessTransport(self.server.handle, user), user_agent=name, lane=self.server.lane(user, name)
        )

    def admin(self) -> Client:
        return self.client("kubernetes-admin", groups=(MASTERS,))


@asynccontextmanager
async def serve_api(
    store: Store,
    *,
    clock: Clock,
    service_range: str = "10.96.0.0/16",
    advertise: str = "192.0.2.1",
    port: int = 6443,
    signing: tuple[bytes, bytes] | None = None,
    earlier_keys: Sequence[bytes] = (),
    authenticator: Callable[[Registry, ServiceAccountTokens], Authenticator] | None = None,
    audit: Audit | None = None,
    tunnels: Callable[[Registry], Tunnels] | None = None,
    scheme: Scheme | None = None,
    uid: Callable[[], str] = new_uid,
    random: chance.Random | None = None,
    plugins: Collection[str] = (),
    admission: AdmissionConfig | None = None,
    front_proxy: FrontProxyTrust | None = None,
) -> AsyncIterator[Api]:
    """Load what the store holds, make the objects that every cluster has, and serve until the block is left.

    `plugins` names admission plugins that are on beside those that always are; `admission` sets them. `front_proxy`
    is what this server shows to servers of APIs behind it.
    """
    dice = random or chance.Random()
    services = IPv4Network(service_range)
    registry = build_registry(
        store,
        scheme or builtin(),
        clock,
        uid=uid,
        random=dice,
        service_range=services,
        plugins=plugins,
        admission=admission,
    )
    private, public = signing or signing_key()
    tokens = ServiceAccountTokens(private, public, clock=clock, uid=uid, earlier=earlier_keys)
    tokens.look_up_in(registry)
    ways_in = tunnels(registry) if tunnels else None
    aggregator = Aggregator(registry, dice, front_proxy)
    server = ApiServer(
        registry,
        tokens=tokens,
        authenticator=authenticator(registry, tokens) if authenticator else None,
        audit=audit,
        tunnels=ways_in,
        random=dice,
        uid=uid,
        address=f"{advertise}:{port}",
        aggregator=aggregator,
    )
    add_start_checks(server.health, registry, authenticates_to_others=front_proxy is not None)
    filling = partial(keep_filled, registry, service_range=services, advertise_address=advertise, port=port)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run_registry(registry), name="registry")]
        await fill_registry(registry, service_range=services, advertise_address=advertise, port=port)
        running.append(tasks.create_task(supervise("start objects", filling, clock), name="start objects"))
        for name, service in audit.services().items() if audit is not None else ():
            running.append(tasks.create_task(supervise(name, service, clock), name=name))
        running.append(tasks.create_task(supervise("aggregation", aggregator.run, clock), name="aggregation"))
        try:
            yield Api(store, registry, server, tokens)
        finally:
            for task in running:
                task.cancel()
