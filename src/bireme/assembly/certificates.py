"""The certificates of one cluster: its authority and a leaf for each identity, made where missing or ending soon."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bireme.apiserver.front_proxy import FrontProxyTrust
from bireme.config import Config
from bireme.http.certificates import Authority, Pair, load_or_create_signing_key

RENEW_BEFORE = timedelta(days=30)
DAYS = 365
FRONT_PROXY_CA = "front-proxy-ca"
FRONT_PROXY = "front-proxy-client"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate to have: the file's name, who it speaks for, and for which hosts it serves."""

    name: str
    common_name: str
    organizations: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @property
    def is_server(self) -> bool:
        return bool(self.hosts)


def leaves(config: Config) -> list[Leaf]:
    """Every identity of a cluster on one machine."""
    first = str(ipaddress.ip_network(config.service_range)[1])
    api_names = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{config.domain}",
    )
    own = dict.fromkeys(("localhost", "127.0.0.1", config.host, config.node_ip))
    hosts = tuple(host for host in own if host not in ("", "0.0.0.0"))
    node_hosts = tuple(dict.fromkeys((config.node_name, *hosts)))
    return [
        Leaf("apiserver", "kube-apiserver", hosts=(*api_names, first, *hosts)),
        Leaf("apiserver-kubelet-client", "kube-apiserver", ("system:masters",)),
        Leaf("admin", "kubernetes-admin", ("system:masters",)),
        Leaf("node-services", "bireme:node-services"),
        Leaf("kubelet", f"system:node:{config.node_name}", ("system:nodes",), node_hosts),
    ]


def ensure(config: Config, *, now: datetime) -> str:
    """Make what is missing, or ends within a month, or lacks a host; says what there is."""
    folder = config.pki
    try:
        authority = Authority.load(folder)
    except FileNotFoundError:
        authority = Authority.create(folder, now=now, common_name=f"{config.cluster}-ca")
    made = 0
    wanted = leaves(config)
    for leaf in wanted:
        if not is_good(folder, leaf, now=now):
            issue(authority, leaf, now=now).write(folder, leaf.name)
            (folder / f"{leaf.name}.hosts").write_text("\n".join(leaf.hosts))
            made += 1
    made += ensure_front_proxy(folder, config.cluster, now=now)
    load_or_create_signing_key(folder)
    return f"2 CAs, {len(wanted) + 1} leaves, {made} made, valid {DAYS} days"


def ensure_front_proxy(folder: Path, cluster: str, *, now: datetime) -> int:
    """Make what is missing of what the API server shows to servers behind it; how many leaves were made.

    Its authority is one of its own: whoever it signed for may speak for every user.
    """
    try:
        authority = Authority.load(folder, name=FRONT_PROXY_CA)
    except FileNotFoundError:
        common_name = f"{cluster}-front-proxy-ca"
        authority = Authority.create(folder, now=now, common_name=common_name, name=FRONT_PROXY_CA)
    leaf = Leaf(FRONT_PROXY, FRONT_PROXY)
    if is_good(folder, leaf, now=now):
        return 0
    issue(authority, leaf, now=now).write(folder, leaf.name)
    (folder / f"{leaf.name}.hosts").write_text("")
    return 1


def front_proxy_trust(folder: Path) -> FrontProxyTrust:
    """What the API server shows to servers of APIs behind it, and what these are to trust."""
    authority = Pair.read(folder, FRONT_PROXY_CA).certificate
    return FrontProxyTrust(Pair.read(folder, FRONT_PROXY), authority, (folder / "ca.crt").read_bytes())


def is_good(folder: Path, leaf: Leaf, *, now: datetime) -> bool:
    """The leaf is there, good for a month more, and for the hosts it should serve."""
    try:
        ends = Pair.read(folder, leaf.name).expires()
        hosts: Sequence[str] = (folder / f"{leaf.name}.hosts").read_text().split()
    except (FileNotFoundError, ValueError):
        return False
    return ends - now > RENEW_BEFORE and tuple(hosts) == leaf.hosts


def issue(authority: Authority, leaf: Leaf, *, now: datetime) -> Pair:
    return authority.issue(
        leaf.common_name, leaf.organizations, leaf.hosts, now=now, server=leaf.is_server, client=True, days=DAYS
    )
