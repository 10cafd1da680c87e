"""What hollow nodes claim to have."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bireme.api.kinds import core


@dataclass(frozen=True, slots=True)
class Shape:
    """What a node claims to have, in the words of quantities."""

    cpu: str = "16"
    memory: str = "64Gi"
    pods: int = 110
    storage: str = "100Gi"
    extended: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[core.Taint, ...] = ()

    def capacity(self) -> dict[str, str]:
        """As a Node says it."""
        own = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.pods), "ephemeral-storage": self.storage}
        return {**own, **self.extended}
