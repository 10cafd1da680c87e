"""The certificates of one cluster: its authority and a leaf for each identity, made where missing or ending soon."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bireme.config import Config
from bireme.http.certificates import Authority, Pair, load_or_create_signing_key

RENEW_BEFORE = timedelta(days=30)
DAYS = 365


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
    load_or_create_signing_key(folder)
    return f"1 CA, {len(wanted)} leaves, {made} made, valid {DAYS} days"


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
