"""The pods' network on this node: a bridge, and the configuration with which containerd calls the CNI plugins.

The reference plugins of the distribution do the work: `bridge` makes each pod's link, `host-local` gives it an
address of the node's range. The bridge itself is made here first, so that services and DNS answer before any
pod runs. Every change is written to the host's ledger.
"""

import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path

import structlog

from bireme.network.nftables import run
from bireme.runtime.host_changes import HostChanges, set_sysctl

log = structlog.get_logger(__name__)

SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
}


class NetworkError(Exception):
    """The machine refused a link or a route."""


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """The network of one node. `pod_range` is the node's own /24, `conf_dir` where containerd looks."""

    name: str
    bridge: str
    pod_range: str
    service_range: str
    dns_address: str
    conf_dir: Path
    data_dir: Path
    mtu: int = 1500

    @property
    def gateway(self) -> str:
        """The bridge's own address: the first of the range."""
        return str(ipaddress.ip_network(self.pod_range)[1])


def conflist(network: PodNetwork) -> dict[str, object]:
    """The CNI configuration list."""
    ipam = {
        "type": "host-local",
        "dataDir": str(network.data_dir),
        "ranges": [[{"subnet": network.pod_range, "gateway": network.gateway}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": network.bridge,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "mtu": network.mtu,
        "ipam": ipam,
    }
    return {"cniVersion": "1.0.0", "name": network.name, "plugins": [bridge]}


async def set_up(network: PodNetwork, changes: HostChanges) -> None:
    """Make the bridge, its addresses, routes and settings, and the CNI configuration. Safe to run again."""
    changes.record("link", network.bridge)
    for name, value in SYSCTLS.items():
        set_sysctl(changes, name, value)
    if not Path("/sys/class/net", network.bridge).exists():
        await _ip("link", "add", network.bridge, "type", "bridge")
    prefix = ipaddress.ip_network(network.pod_range).prefixlen
    await _ip("address", "replace", f"{network.gateway}/{prefix}", "dev", network.bridge)
    await _ip("address", "replace", f"{network.dns_address}/32", "dev", network.bridge)
    await _ip("link", "set", network.bridge, "up", "mtu", str(network.mtu))
    await _ip("route", "replace", network.service_range, "dev", network.bridge, "src", network.gateway)
    # Node ports on localhost leave through the bridge; the ruleset keeps everyone else from loopback addresses.
    set_sysctl(changes, f"net.ipv4.conf.{network.bridge}.route_localnet", "1")
    write_conflist(network)


def write_conflist(network: PodNetwork) -> None:
    """Replace the configuration whole: containerd watches the folder."""
    network.conf_dir.mkdir(parents=True, exist_ok=True)
    network.data_dir.mkdir(parents=True, exist_ok=True)
    path = network.conf_dir / f"10-{network.name}.conflist"
    text = json.dumps(conflist(network), indent=2)
    if path.exists() and path.read_text() == text:
        return
    fresh = network.conf_dir / ".conflist.new"
    fresh.write_text(text)
    os.replace(fresh, path)


def default_mtu() -> int:
    """The smallest MTU of the machine's real links, so that a pod's packets fit through; 1500 when unknown."""
    links = [link for link in Path("/sys/class/net").iterdir() if (link / "device").exists()]
    return min([1500, *(int((link / "mtu").read_text()) for link in links)])


async def _ip(*arguments: str) -> None:
    code, output = await run("ip", *arguments)
    if code != 0:
        raise NetworkError(f"ip {' '.join(arguments)}: {output.strip()}")
