"""What is told of a ValidatingAdmissionPolicy in its status: whether its expressions fit the kinds that it names.

Source: the documentation of validating admission policies, "Type checking".
"""

from datetime import timedelta

import msgspec

from bireme.api.cel.type_checks import expression_warnings
from bireme.api.codec.json import to_tree
from bireme.api.kinds.admissionregistration import (
    ExpressionWarning,
    TypeChecking,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyStatus,
)
from bireme.client.informer import Key
from bireme.controllers.changes import Update
from bireme.controllers.controller import Controller, Watch


class ValidatingAdmissionPolicyStatusController(Controller):
    """Check the types of each policy once for each generation. Reads policies; writes their status."""

    name = "validatingadmissionpolicy-status-controller"
    workers = 1
    watches = (Watch(ValidatingAdmissionPolicy),)

    async def reconcile(self, key: Key) -> timedelta | None:
        policy = self.cache.get(ValidatingAdmissionPolicy, key)
        if policy is None or policy.status.observed_generation == policy.metadata.generation:
            return None
        found = expression_warnings(to_tree(policy)["spec"], self.scheme)
        warnings = [ExpressionWarning(field_ref=one["fieldRef"], warning=one["warning"]) for one in found]
        status = ValidatingAdmissionPolicyStatus(
            conditions=policy.status.conditions,
            observed_generation=policy.metadata.generation,
            type_checking=TypeChecking(expression_warnings=warnings),
        )
        await self.carry_out((Update(msgspec.structs.replace(policy, status=status), subresource="status"),))
        return None
