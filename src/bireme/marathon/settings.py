"""How a Marathon is set up; the names are those of the original's flags where it has them."""

from dataclasses import dataclass, field

from bireme.marathon.changes import Policy
from bireme.marathon.normalize import Defaults

VERSION = "1.11.24"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that may be chosen; seconds where no unit is named."""

    framework_name: str = "marathon"
    hostname: str = "localhost"
    http_port: int = 8080
    master: str = "http://localhost:5050"
    mesos_user: str = "root"
    mesos_role: str = "*"
    principal: str = ""
    failover_timeout: float = 604_800.0
    local_port_min: int = 10_000
    local_port_max: int = 20_000
    default_network_name: str = "bireme"
    mesos_bridge_name: str = "mesos-bridge"
    env_vars_prefix: str = ""
    max_apps: int = 0
    max_running_deployments: int = 100
    max_instances_per_offer: int = 5
    zk_max_versions: int = 50
    decline_offer_duration: float = 120.0
    decline_while_busy: float = 1.0
    min_revive_offers_interval: float = 1.0
    reconciliation_interval: float = 600.0
    kill_retry_timeout: float = 30.0
    task_launch_timeout: float = 300.0
    tick_interval: float = 1.0
    reconnect_delay: float = 1.0
    missed_heartbeats: int = 5
    request_timeout: float = 10.0
    access_control_allow_origin: tuple[str, ...] = ()
    realm: str = "Mesosphere"
    insecure: bool = False
    features: tuple[str, ...] = field(default=("vips", "task_killing", "gpu_resources"))

    @property
    def policy(self) -> Policy:
        """What new apps are held to."""
        return Policy(
            role=self.mesos_role,
            ports=range(self.local_port_min, self.local_port_max),
            max_apps=self.max_apps,
            defaults=Defaults(default_network=self.default_network_name),
        )

    @property
    def leader(self) -> str:
        """`host:port`, as /v2/leader gives it."""
        return f"{self.hostname}:{self.http_port}"
