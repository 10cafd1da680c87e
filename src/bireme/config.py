"""What one cluster on this machine is set to, in one frozen record.

It comes from the flags of `up`, is kept as `config.json` in the cluster's data folder, and is all that the
core and node processes are told. Secrets are not in it: they are files of mode 0600 beside it.
"""

import ipaddress
import os
import re
import socket
from pathlib import Path
from typing import Self

import msgspec

DEFAULT_ROOT = Path("/var/lib/bireme")
DEFAULT_RUN = Path("/run/bireme")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster's settings. Addresses are text, ports numbers, folders absolute paths."""

    cluster: str = "bireme"
    data: Path = DEFAULT_ROOT / "bireme"
    run: Path = DEFAULT_RUN / "bireme"
    host: str = "127.0.0.1"
    api_port: int = 6443
    mesos_port: int = 5050
    agent_port: int = 5051
    marathon_port: int = 8080
    kubelet_port: int = 10250
    node_name: str = ""
    node_ip: str = ""
    pod_range: str = "10.244.0.0/16"
    service_range: str = "10.96.0.0/16"
    dns_address: str = "10.96.0.10"
    domain: str = "cluster.local"
    insecure_loopback: bool = False
    containers: bool = True
    simulated_nodes: int = 0
    simulated_cpu: str = "16"
    simulated_memory: str = "64Gi"
    simulated_pods: int = 110
    stages: Path | None = None
    log_level: str = "info"
    admission_plugins: tuple[str, ...] = ()
    admission_config: Path | None = None
    token_file: Path | None = None
    token_webhook_config: Path | None = None
    authentication_config: Path | None = None
    oidc_issuer_url: str = ""
    oidc_client_id: str = ""
    oidc_username_claim: str = "sub"
    oidc_username_prefix: str = ""
    oidc_groups_claim: str = ""
    oidc_groups_prefix: str = ""
    oidc_required_claims: tuple[str, ...] = ()
    oidc_ca_file: Path | None = None
    requestheader_ca_file: Path | None = None
    requestheader_allowed_names: tuple[str, ...] = ()
    audit_policy_file: Path | None = None
    audit_log_path: Path | None = None
    audit_log_max_megabytes: int = 100
    audit_log_max_backups: int = 10
    audit_webhook_config: Path | None = None
    audit_webhook_batch_max_size: int = 400
    audit_webhook_batch_max_wait_s: float = 30.0
    scheduler_config_file: Path | None = None
    scheduler_plugin_files: tuple[Path, ...] = ()

    @property
    def is_simulated(self) -> bool:
        """The nodes are hollow ones, which live in the core: no containers, no root."""
        return self.simulated_nodes > 0

    @property
    def pki(self) -> Path:
        return self.data / "pki"

    @property
    def credentials(self) -> Path:
        return self.data / "credentials.json"

    @property
    def store(self) -> Path:
        return self.data / "store"

    @property
    def containerd_root(self) -> Path:
        return self.data / "containerd"

    @property
    def containerd_state(self) -> Path:
        return self.run / "containerd"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def kubelet_root(self) -> Path:
        return self.data / "kubelet"

    @property
    def pod_logs(self) -> Path:
        return self.data / "pod-logs"

    @property
    def sandboxes(self) -> Path:
        return self.data / "mesos"

    @property
    def audit_log(self) -> Path:
        return self.audit_log_path or self.logs / "audit.jsonl"

    @property
    def logs(self) -> Path:
        return self.data / "log"

    @property
    def changes(self) -> Path:
        return self.data / "host-changes.jsonl"

    @property
    def parts(self) -> Path:
        """Where the supervisor writes the process ids of the parts."""
        return self.run / "parts.json"

    @property
    def api_url(self) -> str:
        return f"https://{self.host}:{self.api_port}"

    @property
    def mesos_url(self) -> str:
        return f"http://{self.host}:{self.mesos_port}"

    @property
    def marathon_url(self) -> str:
        return f"http://{self.host}:{self.marathon_port}"

    @property
    def inside(self) -> str:
        """Where containers on this machine reach our doors.

        With the doors on loopback that is the DNS address, which lies on the bridge of every node and which the
        ruleset keeps closed to other machines.
        """
        return self.dns_address if self.host.startswith("127.") else self.node_ip

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every address that the doors listen on."""
        on_bridge = self.host.startswith("127.") and not self.is_simulated
        return (self.host, self.inside) if on_bridge else (self.host,)

    @property
    def bridge(self) -> str:
        return f"{self.cluster[:10]}0"

    @property
    def nft_table(self) -> str:
        return self.cluster

    @property
    def cgroup(self) -> str:
        return f"/{self.cluster}"

    @classmethod
    def load(cls, path: Path) -> Self:
        """The settings that `save` wrote. Raises FileNotFoundError, or ValueError for a damaged file."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls, dec_hook=_to_path)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True, mode=0o755)
        path = self.data / "config.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(self, enc_hook=str), indent=2))
        os.replace(fresh, path)


def _to_path(kind: type, value: str) -> Path:
    return Path(value)


def check_cluster_name(name: str) -> str:
    """The name, if it will do as a label, a folder, a link and an nft table. Raises ValueError."""
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", name):
        raise ValueError(f"{name!r} is no cluster name: 1 to 20 of a-z, 0-9 and '-', beginning with a letter")
    return name


def check_ranges(config: Config) -> None:
    """Raises ValueError unless the ranges are IPv4 networks that do not overlap, with DNS among the Services."""
    pods, services = ipaddress.IPv4Network(config.pod_range), ipaddress.IPv4Network(config.service_range)
    if pods.prefixlen > 24 or services.prefixlen > 28:
        raise ValueError(f"{pods} or {services} is too small: at least a /24 for pods, a /28 for Services")
    if pods.overlaps(services):
        raise ValueError(f"{pods} and {services} overlap")
    if ipaddress.IPv4Address(config.dns_address) not in services:
        raise ValueError(f"the DNS address {config.dns_address} is not in {services}")


def user_root() -> Path:
    """Where clusters stand that need no root: the user's data folder."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home).absolute() / "bireme"


def default_node_name() -> str:
    """The machine's name as a node may be called: lower case, a DNS subdomain."""
    name = re.sub(r"[^a-z0-9.-]", "-", socket.gethostname().lower()).strip("-.")
    return name[:63] or "node"


def default_node_ip() -> str:
    """The address that this machine would use to reach others; loopback when it has no way out.

    Asks the routing table alone: connecting a datagram socket sends nothing.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
