"""ResourceQuota: nothing is made beyond what the quotas of its namespace allow. The last word of the chain.

What is charged and how stands in `registry/quotas.py`.
"""

from collections.abc import Sequence
from functools import partial

from bireme.registry.admission.chain import Attributes, Operation, Place, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind
from bireme.registry.limited_resources import Limited
from bireme.registry.quotas import Quotas

_UPDATED = ("services", "persistentvolumeclaims", "resourceclaims.resource.k8s.io")


class ResourceQuota(Plugin):
    """See the module."""

    name = "ResourceQuota"

    def __init__(self, quotas: Quotas, limited: Sequence[Limited] = ()) -> None:
        self._quotas = quotas
        self._limited = limited

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        if not kind.resource.namespaced or kind.resource.kind == "Event":
            return False
        if subresource:
            return (operation, subresource) == ("UPDATE", "resize")
        return operation == "CREATE" or (operation == "UPDATE" and kind.stored.title in _UPDATED)

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return None  # quotas are written all the time; that there is none is soon seen

    def passes(self, attributes: Attributes) -> bool:
        return not (self._limited or self._quotas.of(attributes.namespace))

    async def validate(self, attributes: Attributes) -> None:
        namespace, tree = attributes.namespace, attributes.tree
        if tree is None or self.passes(attributes):
            return
        dry_run = attributes.call.dry_run
        if self._limited:
            refusal = self._quotas.uncovered(self._limited, attributes.kind, namespace, tree)
            if refusal:
                raise refused(attributes, refusal)
        charge = self._quotas.measure(attributes.kind, namespace, tree, attributes.old, dry_run=dry_run)
        refusal = await self._quotas.charge(namespace, charge)
        if refusal:
            raise refused(attributes, refusal)
        if charge.held:
            attributes.settle.append(partial(self._quotas.settle, namespace, charge))
