"""Named virtual IPs as Services of Kubernetes, so that the network and DNS of the cluster carry them.

A port with a label `VIP_n` = `/name:port` has a Service with that port and no selector, whose EndpointSlices name
the instances that serve: those in a network of their own by pod address and container port, those on the host's by
node address and host port. Slices hold endpoints with the same ports. The annotation `mesos.bireme.dev/vip` gives
DNS the name under l4lb.thisdcos.directory. Source: Marathon 1.11's REST API; Kubernetes' Services without
selectors.
"""

import asyncio
import hashlib
import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import structlog

from bireme.aio.clock import Clock
from bireme.api.codec.json import encode, to_tree
from bireme.api.errors import AlreadyExists, ApiError, NotFound
from bireme.api.kinds import core, discovery, meta
from bireme.api.kinds.meta import Object
from bireme.client.client import Client
from bireme.marathon.instances import Instance
from bireme.marathon.model import App
from bireme.mesos.tasks import namespace_of

log = structlog.get_logger(__name__)

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
OWNER = "marathon.bireme.dev"
LABEL = "marathon.bireme.dev/vip"
SERVICE_NAME = "kubernetes.io/service-name"
ANNOTATION = "mesos.bireme.dev/vip"
SETTLE_S = 0.1
RETRY_S = 5.0
Wanted = dict[tuple[type[Object], str, str], Object]


class Vip(NamedTuple):
    """A virtual address of one port of an app. `name` is "" where an address was given."""

    name: str
    address: str
    port: int
    place: int
    protocol: str


def vips_of(app: App) -> Iterator[Vip]:
    """The virtual addresses that an app's labels ask for; labels that make no sense are passed over."""
    for index, port in enumerate(app.ports):
        for key, value in sorted(port.labels.items()):
            if not re.fullmatch(r"VIP_\d+", key):
                continue
            head, _, number = value.rpartition(":")
            if not number.isdecimal() or not 0 < int(number) < 65536:
                continue
            for protocol in port.protocols:
                if _is_address(head):
                    yield Vip("", head, int(number), index, protocol.upper())
                elif name := head.replace("/", ""):
                    yield Vip(name, "", int(number), index, protocol.upper())


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def service_name(vip: Vip) -> str:
    """The name of a virtual address's Service: its own where that may be one."""
    text = vip.name or f"vip-{vip.address.replace('.', '-').replace(':', '-')}"
    if re.fullmatch(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?", text):
        return text
    slug = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:40].strip("-")
    return f"vip-{slug}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def wanted(apps: Iterable[App], instances: Mapping[str, Iterable[Instance]], *, framework: str) -> Wanted:
    """The Services and EndpointSlices there should be, by kind, namespace and name."""
    found: Wanted = {}
    services: dict[tuple[str, str], core.Service] = {}
    ends: dict[tuple[str, str], dict[str, set[tuple[str, int, str]]]] = defaultdict(lambda: defaultdict(set))
    for app in apps:
        namespace = namespace_of(app.role)
        for vip in vips_of(app):
            key = (namespace, service_name(vip))
            service = services.setdefault(key, _service(key, vip, framework))
            port = f"{vip.protocol.lower()}-{vip.port}"
            if port not in [each.name for each in service.spec.ports]:
                service.spec.ports.append(core.ServicePort(name=port, port=vip.port, protocol=vip.protocol))
            for instance in instances.get(app.id, ()):
                if instance.serving and vip.place < len(instance.app.ports):
                    address, number = _endpoint(instance, vip.place)
                    if address and number:
                        ends[key][address].add((port, number, vip.protocol))
    for (namespace, name), service in services.items():
        found[core.Service, namespace, name] = service
        for made in _slices(namespace, name, ends.get((namespace, name), {})):
            found[discovery.EndpointSlice, namespace, made.metadata.name] = made
    return found


def _service(key: tuple[str, str], vip: Vip, framework: str) -> core.Service:
    service = core.Service(metadata=_meta(*key))
    if vip.name:
        service.metadata.annotations = {ANNOTATION: f"{vip.name}.{framework}"}
    else:
        service.spec.external_ips = [vip.address]
    return service


def _meta(namespace: str, name: str) -> meta.ObjectMeta:
    return meta.ObjectMeta(namespace=namespace, name=name, labels={LABEL: "true"})


def _endpoint(instance: Instance, index: int) -> tuple[str, int]:
    if instance.app.mode == "host":
        return instance.address, instance.host_ports[index] or 0
    return (instance.addresses[0] if instance.addresses else ""), instance.inner_port(index)


def _slices(
    namespace: str, service: str, ends: Mapping[str, set[tuple[str, int, str]]]
) -> Iterator[discovery.EndpointSlice]:
    """One slice for each set of ports, and address family, that some endpoints share."""
    groups: dict[tuple[bool, tuple[tuple[str, int, str], ...]], list[str]] = defaultdict(list)
    for address, open_ports in ends.items():
        groups[":" in address, tuple(sorted(open_ports))].append(address)
    for (six, ports), addresses in groups.items():
        digest = hashlib.sha256(repr((six, ports)).encode()).hexdigest()[:8]
        made = discovery.EndpointSlice(metadata=_meta(namespace, f"{service}-{digest}"))
        made.metadata.labels |= {SERVICE_NAME: service, MANAGED_BY: OWNER}
        made.address_type = "IPv6" if six else "IPv4"
        ready = discovery.EndpointConditions(ready=True, serving=True, terminating=False)
        made.endpoints = [discovery.Endpoint(addresses=[each], conditions=ready) for each in sorted(addresses)]
        made.ports = [discovery.EndpointPort(name=name, port=port, protocol=proto) for name, port, proto in ports]
        yield made


class Vips:
    """Keeps those objects as they should be. `look` says that something may have changed."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._wanted: Wanted | None = None
        self._there: dict[tuple[type[Object], str, str], bytes] = {}
        self._wake = asyncio.Event()

    def look(self, wanted: Wanted) -> None:
        """Have these objects and no others."""
        first, self._wanted = self._wanted is None, wanted
        if first or {key: encode(obj) for key, obj in wanted.items()} != self._there:
            self._wake.set()

    async def run(self) -> None:
        """Work until cancelled. The first look must have come, else everything is taken away."""
        await self._wake.wait()
        await self._find()
        while True:
            await self._wake.wait()
            await self._clock.sleep(SETTLE_S)
            self._wake.clear()
            if not await self._work():
                await self._clock.sleep(RETRY_S)
                self._wake.set()

    async def _find(self) -> None:
        kinds: tuple[type[Object], ...] = (core.Service, discovery.EndpointSlice)
        for kind in kinds:
            for obj in (await self._client.list(kind, labels=LABEL)).items:
                self._there[kind, obj.metadata.namespace, obj.metadata.name] = b""

    async def _work(self) -> bool:
        wanted, well = self._wanted or {}, True
        for key in [key for key in self._there if key not in wanted]:
            try:
                await self._client.delete(key[0], key[2], namespace=key[1])
            except NotFound:
                pass
            except ApiError as error:
                log.info("a VIP's object stays for now", name=key[2], error=str(error))
                well = False
                continue
            del self._there[key]
        for key, obj in wanted.items():
            data = encode(obj)
            if self._there.get(key) == data:
                continue
            try:
                await self._put(obj, known=key in self._there)
            except ApiError as error:
                log.info("a VIP's object waits", name=key[2], error=str(error))
                well = False
                continue
            self._there[key] = data
        return well

    async def _put(self, obj: Object, *, known: bool) -> None:
        if not known:
            try:
                await self._create(obj)
                return
            except AlreadyExists:
                current = await self._client.get(type(obj), obj.metadata.name, namespace=obj.metadata.namespace)
                if LABEL not in current.metadata.labels:
                    raise
        tree = to_tree(obj)
        parts = {name: tree[name] for name in ("spec", "endpoints", "ports") if name in tree}
        patch = {"metadata": {"annotations": obj.metadata.annotations}, **parts}
        await self._client.patch(type(obj), obj.metadata.name, patch, namespace=obj.metadata.namespace)

    async def _create(self, obj: Object) -> None:
        try:
            await self._client.create(obj)
        except NotFound:
            space = core.Namespace(metadata=meta.ObjectMeta(name=obj.metadata.namespace))
            try:
                await self._client.create(space)
            except AlreadyExists:
                pass
            await self._client.create(obj)
