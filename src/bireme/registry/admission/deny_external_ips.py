"""DenyServiceExternalIPs: nobody may add external addresses to a Service. Off unless asked for."""

from typing import Any

from bireme.registry.admission.chain import Attributes, Operation, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind


class DenyServiceExternalIPs(Plugin):
    """See the module."""

    name = "DenyServiceExternalIPs"

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and kind.is_a("Service") and not subresource

    async def validate(self, attributes: Attributes) -> None:
        if _addresses(attributes.tree) - _addresses(attributes.old):
            raise refused(attributes, "Use of external IPs is denied by admission control.")


def _addresses(service: dict[str, Any] | None) -> set[str]:
    return set(((service or {}).get("spec") or {}).get("externalIPs") or ())
