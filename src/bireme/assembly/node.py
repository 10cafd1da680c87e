"""The node process: the kubelet with its door, the pods' network, the service proxy, DNS.

It can be killed at any moment: containerd and the containers run on, the kernel forwards on, and the next
process takes up what it finds.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import structlog

from bireme.aio.clock import Clock, RealClock
from bireme.aio.supervise import supervise
from bireme.aio.waiting import wait_any
from bireme.api.kinds import core, discovery
from bireme.assembly.doors import Opening, open_doors
from bireme.assembly.process import run_until_stopped, set_up_logs, settle_memory
from bireme.assembly.stopping import engine_settings
from bireme.client.client import Client
from bireme.client.informer import Informer, Key
from bireme.client.transport import HttpTransport
from bireme.config import Config
from bireme.dns.server import DnsServer
from bireme.dns.upstream import upstream_servers
from bireme.http.certificates import Pair, client_context, server_context
from bireme.http.credentials import Credentials
from bireme.http.requests import Session
from bireme.kubelet.agent import Kubelet
from bireme.kubelet.backend import Backend
from bireme.kubelet.server import KubeletDoor
from bireme.kubelet.settings import KubeletSettings
from bireme.mesos.agent import MesosAgent
from bireme.mesos.agents import AGENT_PORT, WORK_DIR
from bireme.network import cni
from bireme.network.proxy import ServiceProxy
from bireme.network.ruleset import NodeNetwork
from bireme.runtime import shims
from bireme.runtime.containerd import Containerd
from bireme.runtime.cri import CriRuntime
from bireme.runtime.host_changes import HostChanges, process_start

log = structlog.get_logger(__name__)

RESOLV_CONF = Path("/etc/resolv.conf")
WATCH_ENGINE_S = 1.0
LOST_SHIMS_S = 10.0


def run(settings: Path) -> None:
    """Run the node of the cluster whose settings are in this file, until a signal."""
    config = Config.load(settings)
    set_up_logs("node", level=config.log_level)
    run_until_stopped(Node(config, clock=RealClock()).run())


class Node:
    """One machine's node."""

    def __init__(self, config: Config, *, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._changes = HostChanges(config.changes)
        self._containerd = Containerd(engine_settings(config), clock=clock)
        pair = Pair.read(config.pki, "kubelet")
        self._session = Session(tls=client_context((config.pki / "ca.crt").read_bytes(), pair))
        self._engine = Session()
        self._client = Client(HttpTransport(self._session, config.api_url), user_agent="bireme-node")
        # The proxy and DNS see what every node may see, under a name of their own; the kubelet sees its own pods.
        services = Pair.read(config.pki, "node-services")
        self._wide_session = Session(tls=client_context((config.pki / "ca.crt").read_bytes(), services))
        self._wide = Client(HttpTransport(self._wide_session, config.api_url), user_agent="bireme-node-services")
        self._services = Informer(self._wide, core.Service, clock=clock)
        self._slices = Informer(self._wide, discovery.EndpointSlice, clock=clock)

    async def run(self) -> None:
        """Work until cancelled."""
        config = self._config
        await self._start_engine()
        runtime = CriRuntime(str(config.containerd_socket))
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            stack.push_async_callback(self._session.close)
            stack.push_async_callback(self._wide_session.close)
            stack.push_async_callback(self._engine.close)
            stack.push_async_callback(runtime.close)
            await self._containerd.import_builtin(runtime)
            kubelet = Kubelet(
                self._kubelet_settings(), self._client, runtime, clock=self._clock, services=self._services
            )
            mesos_agent = self._mesos_agent(kubelet)
            parts = {
                "services": self._services.run,
                "endpoint slices": self._slices.run,
                "engine": self._watch_engine,
                "lost shims": self._end_lost_shims,
                "kubelet": kubelet.run,
                "mesos sandboxes": lambda: mesos_agent.run(kubelet.pods.wait_synced),
                "network": lambda: self._run_network(kubelet),
            }
            for name, part in parts.items():
                tasks.create_task(supervise(name, part, self._clock), name=name)
            await stack.enter_async_context(
                open_doors(self._doors(kubelet, mesos_agent), config.hosts, tasks, clock=self._clock)
            )
            settle_memory()

    def _mesos_agent(self, kubelet: Kubelet) -> MesosAgent:
        config = self._config
        return MesosAgent(
            pods=lambda: kubelet.pods.items(),
            node=lambda: kubelet.registration.node,
            root=config.sandboxes,
            clock=self._clock,
            master_hostname=config.host,
            port=config.agent_port,
            authenticator=Credentials.load(config.credentials),
            insecure=config.insecure_loopback,
        )

    def _doors(self, kubelet: Kubelet, mesos_agent: MesosAgent) -> list[Opening]:
        config = self._config
        backend = Backend(kubelet)
        door = KubeletDoor(
            backend, node_name=config.node_name, log_root=config.pod_logs, engine=self._engine, clock=self._clock
        )
        tls = server_context(Pair.read(config.pki, "kubelet"), trusted=(config.pki / "ca.crt").read_bytes())
        return [
            Opening("kubelet", door.handle, config.kubelet_port, tls=tls),
            Opening("mesos agent", mesos_agent.handle, config.agent_port),
        ]

    async def _start_engine(self) -> None:
        settings = self._containerd.settings
        self._changes.record("cgroup", self._config.cgroup)
        self._changes.record("shims", str(settings.socket), before=str(settings.tasks))
        await self._containerd.start()
        pid = self._containerd.pid
        if pid is not None:
            self._changes.record("process", str(pid), before=process_start(pid))

    async def _watch_engine(self) -> None:
        """Start containerd again when it has ended; the containers run on under their shims."""
        while True:
            await self._clock.sleep(WATCH_ENGINE_S)
            if self._containerd.pid is None:
                log.warning("containerd ended; starting it again")
                await self._start_engine()

    async def _end_lost_shims(self) -> None:
        """End shims that the engine has forgotten, once they were seen twice."""
        address, before = str(self._config.containerd_socket), dict[int, str]()
        while True:
            await self._clock.sleep(LOST_SHIMS_S)
            if ended := shims.end_lost(address, before):
                log.info("shims ended that the engine had forgotten", count=ended)
            before = shims.lost(address)

    async def _run_network(self, kubelet: Kubelet) -> None:
        """Set the pods' network up once the node has its range, then proxy and answer names."""
        network = await self._pod_network()
        await cni.set_up(network, self._changes)
        config = self._config
        proxy = ServiceProxy(
            services=self._services,
            slices=self._slices,
            pods=kubelet.pods,
            node=config.node_name,
            network=NodeNetwork(config.nft_table, config.bridge, config.pod_range, config.service_range),
            changes=self._changes,
            clock=self._clock,
        )
        tasks_pods = Informer(self._wide, core.Pod, clock=self._clock, labels="mesos.bireme.dev/framework-id")
        dns = DnsServer(
            address=config.dns_address,
            domain=config.domain,
            upstream=upstream_servers(RESOLV_CONF, ours=config.dns_address),
            services=self._services,
            slices=self._slices,
            tasks=tasks_pods,
            clock=self._clock,
            chance=Random(),
            master=config.inside,
        )
        async with asyncio.TaskGroup() as tasks:
            for name, part in {"proxy": proxy.run, "dns": dns.run, "mesos tasks": tasks_pods.run}.items():
                tasks.create_task(supervise(name, part, self._clock), name=name)

    async def _pod_network(self) -> cni.PodNetwork:
        """The node's network, once a controller has given it its range."""
        config = self._config
        nodes = Informer(self._client, core.Node, clock=self._clock, fields=f"metadata.name={config.node_name}")
        given = asyncio.Event()

        def look(old: core.Node | None, new: core.Node | None) -> None:
            if new is not None and new.spec.pod_cidr:
                given.set()

        nodes.on_change(look)
        await wait_any(nodes.run(), given.wait())
        node = nodes.get(Key("", config.node_name))
        assert node is not None
        return cni.PodNetwork(
            name=config.cluster,
            bridge=config.bridge,
            pod_range=node.spec.pod_cidr,
            service_range=config.service_range,
            dns_address=config.dns_address,
            conf_dir=config.data / "cni" / "conf",
            data_dir=config.data / "cni" / "addresses",
            mtu=cni.default_mtu(),
        )

    def _kubelet_settings(self) -> KubeletSettings:
        config = self._config
        return KubeletSettings(
            node_name=config.node_name,
            node_ip=config.node_ip,
            root=config.kubelet_root,
            log_root=config.pod_logs,
            cluster_dns=(config.dns_address,),
            cluster_domain=config.domain,
            annotations={WORK_DIR: str(config.sandboxes), AGENT_PORT: str(config.agent_port)},
            cgroup_root=config.cgroup,
            api_host=config.inside,
            api_port=config.api_port,
            port=config.kubelet_port,
            mesos_root=config.sandboxes,
        )
