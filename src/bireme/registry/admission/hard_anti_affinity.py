"""LimitPodHardAntiAffinityTopology: a pod may keep others off its node only, not off a zone. Off unless asked for.

Who keeps all others out of a zone needs one pod for it. Source: the Kubernetes documentation on admission control.
"""

from collections.abc import Sequence
from typing import Any

from bireme.registry.admission.chain import Attributes, Operation, Place, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind

HOST = "kubernetes.io/hostname"


class LimitPodHardAntiAffinityTopology(Plugin):
    """See the module."""

    name = "LimitPodHardAntiAffinityTopology"

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and kind.is_a("Pod") and not subresource

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return ()

    async def validate(self, attributes: Attributes) -> None:
        for key in _topologies((attributes.tree or {}).get("spec") or {}):
            if key != HOST:
                raise refused(
                    attributes,
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOST} "
                    "is allowed",
                )


def _topologies(spec: dict[str, Any]) -> list[str]:
    against = (spec.get("affinity") or {}).get("podAntiAffinity") or {}
    terms = against.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    return [term.get("topologyKey") or "" for term in terms]
