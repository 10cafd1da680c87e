"""The figures that controllers go by. Defaults are Kubernetes'; `FAST` notices a lost node within seconds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

Sign = Callable[[bytes, timedelta, Sequence[str]], bytes]
"""Makes a certificate of a request in PEM: for how long, for which usages."""

SignLegacy = Callable[[str, str, str, str], str]
"""Makes the token for a Secret: of namespace, account, the account's uid and the Secret's name."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds, rates per second. `root_ca` is the cluster's CA certificate as PEM, `sign` signs by its key.

    `sign` and `sign_legacy` are None where the keys are not at hand: what needs them then waits.
    """

    root_ca: str = ""
    pod_range: str = "10.244.0.0/16"
    node_prefix: int = 24
    node_grace_s: float = 50.0
    node_startup_grace_s: float = 60.0
    node_eviction_rate: float = 0.1
    node_eviction_rate_disrupted: float = 0.01
    zone_unhealthy: float = 0.55
    zone_large: int = 50
    pod_collection_s: float = 20.0
    pod_quarantine_s: float = 40.0
    ended_pods_kept: int = 12_500
    namespace_poll_s: float = 2.0
    unseen_s: float = 10.0
    sign: Sign | None = None
    sign_legacy: SignLegacy | None = None


FAST = Settings(
    node_grace_s=5.0, node_startup_grace_s=10.0, node_eviction_rate=1.0, pod_collection_s=2.0, pod_quarantine_s=4.0
)
