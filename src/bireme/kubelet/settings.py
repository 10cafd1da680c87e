"""What a node agent is told when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MESOS_PREFIX = "mesos.bireme.dev/"


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """One node's agent.

    `root` holds volumes and what else belongs to pods, `log_root` their logs. `api_host` and `api_port` are
    given to containers until the `kubernetes` service is known. `mesos_root` is the only folder in which pods
    may ask for a Mesos sandbox (None: no such pods). `privileged_files` says that this process may mount and
    change owners; hollow nodes may not.
    """

    node_name: str
    node_ip: str
    root: Path
    log_root: Path
    cluster_dns: tuple[str, ...] = ("10.96.0.10",)
    cluster_domain: str = "cluster.local"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cgroup_root: str = "/bireme"
    api_host: str = ""
    api_port: int = 6443
    port: int = 10250
    max_pods: int = 110
    reserved: Mapping[str, str] = field(default_factory=dict)
    capacity: Mapping[str, str] | None = None
    resolv_conf: Path = Path("/etc/resolv.conf")
    hosts_file: Path = Path("/etc/hosts")
    mesos_root: Path | None = None
    privileged_files: bool = True
    version: str = "v1.37.0-bireme"
    parallel_starts: int = 8
    lease_s: float = 10.0
    relist_s: float = 1.0
    resync_s: float = 60.0
    log_max_bytes: int = 10 << 20
    log_max_files: int = 5
