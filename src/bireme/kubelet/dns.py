"""How a pod finds names: resolv.conf, /etc/hosts, its own host name.

Sources: Kubernetes, "DNS for Services and Pods", "Adding entries to Pod /etc/hosts"; resolv.conf(5).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bireme.api.kinds import core
from bireme.runtime.interface import DnsConfig

MAX_SERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_LENGTH = 2048
HOSTNAME_LENGTH = 63

LOCALHOST = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
HEADER = "# Kubernetes-managed hosts file.\n"
NODE_HEADER = "# Kubernetes-managed hosts file (host network).\n"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster's own names: where its DNS server answers and what its zone is called."""

    servers: tuple[str, ...]
    domain: str


def parse_resolv_conf(text: str) -> DnsConfig:
    """The nameservers, search domains and options of a resolv.conf; the last search line counts."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        word, *rest = line.split() or [""]
        if word == "nameserver" and rest:
            servers.append(rest[0])
        elif word in ("search", "domain"):
            searches = [name for name in rest if name != "."]
        elif word == "options":
            options += rest
    return DnsConfig(tuple(servers), tuple(searches), tuple(options))


def resolv_conf(pod: core.Pod, cluster: Cluster, node: DnsConfig) -> DnsConfig:
    """What a pod's resolv.conf says, by its dnsPolicy and dnsConfig; `node` is the machine's own."""
    policy = pod.spec.dns_policy or "ClusterFirst"
    if policy == "ClusterFirst" and pod.spec.host_network:
        policy = "Default"
    if policy == "None":
        base = DnsConfig()
    elif policy == "Default" or not cluster.servers:
        base = node
    else:
        zone, namespace = cluster.domain, pod.metadata.namespace
        searches = (f"{namespace}.svc.{zone}", f"svc.{zone}", zone, *node.searches)
        base = DnsConfig(cluster.servers, searches, ("ndots:5",))
    return _bounded(_with_config(base, pod.spec.dns_config))


def _with_config(base: DnsConfig, config: core.PodDNSConfig | None) -> DnsConfig:
    if config is None:
        return base
    options = {name: text for name, _, text in (option.partition(":") for option in base.options)}
    options.update({option.name: option.value for option in config.options})
    return DnsConfig(
        servers=_once([*base.servers, *config.nameservers]),
        searches=_once([*base.searches, *config.searches]),
        options=tuple(f"{name}:{text}" if text else name for name, text in options.items()),
    )


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _bounded(config: DnsConfig) -> DnsConfig:
    """Cut to what resolvers take."""
    searches: list[str] = []
    length = 0
    for name in config.searches[:MAX_SEARCHES]:
        length += len(name) + 1
        if length > MAX_SEARCH_LENGTH:
            break
        searches.append(name)
    return DnsConfig(config.servers[:MAX_SERVERS], tuple(searches), config.options)


def hostname(pod: core.Pod, domain: str) -> str:
    """What the processes of a pod with a network of its own see as their host name."""
    if pod.spec.hostname_override:
        return pod.spec.hostname_override
    short = (pod.spec.hostname or pod.metadata.name)[:HOSTNAME_LENGTH].rstrip("-.")
    if pod.spec.set_hostname_as_fqdn and pod.spec.subdomain:
        return f"{short}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{domain}"
    return short


def hosts_file(pod: core.Pod, addresses: Sequence[str], domain: str, node_hosts: str) -> str:
    """The pod's /etc/hosts; on the node's network it is the node's own, plus the aliases."""
    if pod.spec.host_network:
        text = NODE_HEADER + node_hosts.rstrip("\n") + "\n"
    else:
        text = HEADER + LOCALHOST
        name = hostname(pod, domain).partition(".")[0]
        full = f"{name}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{domain}\t" if pod.spec.subdomain else ""
        text += "".join(f"{address}\t{full}{name}\n" for address in addresses)
    if pod.spec.host_aliases:
        text += "\n# Entries added by HostAliases.\n"
        for alias in pod.spec.host_aliases:
            text += alias.ip + "\t" + "\t".join(alias.hostnames) + "\n"
    return text
