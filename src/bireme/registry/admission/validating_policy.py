"""ValidatingAdmissionPolicy: policies in CEL that refuse requests, warn of them, or note them for the audit.

Source: the documentation of validating admission policies in Kubernetes.
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bireme.api.cel.errors import CelError, CostExceeded
from bireme.api.cel.policies import Validation
from bireme.api.errors import ApiError, Cause, Forbidden, Invalid, TooLarge, Unauthorized
from bireme.registry.admission.chain import Attributes, Operation, Place, Plugin
from bireme.registry.admission.policies import (
    PER_POLICY,
    Policies,
    Task,
    Unbound,
    conditions_hold,
    with_params,
)
from bireme.registry.admission.policy_figures import Checked, PolicyFigures
from bireme.registry.admission.policy_match import is_exempt
from bireme.registry.admission.policy_values import Budget, Values, unhurried
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
LONGEST_MESSAGE = 5120
NO_ERROR = "no_error"
_FAILURES = "validation.policy.admission.k8s.io/validation_failure"
_REASONS: dict[str, type[ApiError]] = {
    "Unauthorized": Unauthorized,
    "Forbidden": Forbidden,
    "Invalid": Invalid,
    "RequestEntityTooLarge": TooLarge,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A claim of a policy that a request does not keep."""

    task: Task
    message: str
    reason: str = ""
    index: int = 0
    error: str = NO_ERROR

    @property
    def text(self) -> str:
        """What is told to the user."""
        policy, binding = self.task.known.name, self.task.binding.name
        return f"ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {self.message}"


class ValidatingAdmissionPolicy(Plugin):
    """See the module."""

    name: ClassVar[str] = "ValidatingAdmissionPolicy"

    def __init__(self, policies: Policies, figures: PolicyFigures) -> None:
        self._policies, self._figures = policies, figures

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return not is_exempt(kind)

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return None if self._policies.current() else self._policies.places

    def is_quiet(self, attributes: Attributes) -> bool:
        return not self._policies.current()

    async def validate(self, attributes: Attributes) -> None:
        if not self._policies.current():
            return
        denied: list[Fault] = []
        noted: list[Fault] = []
        async for task in self._policies.for_request(attributes):
            actions = task.binding.spec.get("validationActions") or ("Deny",)
            began = self._figures.monotonic()
            faults = await self._faults(task, attributes)
            self._note(task, faults, actions, self._figures.monotonic() - began)
            for fault in faults:
                if "Deny" in actions:
                    denied.append(fault)
                if "Warn" in actions:
                    policy, binding = task.known.name, task.binding.name
                    place = f"ValidatingAdmissionPolicy '{policy}' with binding '{binding}'"
                    attributes.call.warn(f"Validation failed for {place}: {fault.message}")
                if "Audit" in actions:
                    noted.append(fault)
        if noted:
            attributes.call.audit[_FAILURES] = json.dumps([_audited(fault) for fault in noted], separators=(",", ":"))
        if denied:
            raise refusal(attributes, denied[0].text, denied[0].reason)

    def _note(self, task: Task, faults: Sequence[Fault], actions: Sequence[str], seconds: float) -> None:
        policy, binding = task.known.name, task.binding.name
        if not faults:
            self._figures.checked(Checked(policy, binding, "allow", NO_ERROR), seconds)
        for fault in faults:
            for action in actions:
                self._figures.checked(Checked(policy, binding, action.lower(), fault.error), seconds)

    async def _faults(self, task: Task, attributes: Attributes) -> list[Fault]:
        known = task.known
        if known.fault:
            return [Fault(task, known.fault, error="compile_error")] if known.fails else []
        try:
            parameters = self._policies.parameters(task, attributes)
        except Unbound as error:
            return [Fault(task, str(error), error="invalid_error")] if known.fails else []
        faults: list[Fault] = []
        for params in parameters:
            work = functools.partial(_evaluated, task, params, attributes)
            faults += await unhurried(work, here=known.asks)
        return faults


def _evaluated(task: Task, params: Tree | None, attributes: Attributes, quick: bool) -> list[Fault]:
    known, budget = task.known, Budget(PER_POLICY, quick=quick)
    values = with_params(task, params, budget)
    try:
        if not conditions_hold(task, values, quick=quick):
            return []
    except CelError as error:
        return [Fault(task, str(error), error=_kind_of(error))] if known.fails else []
    faults: list[Fault] = []
    for index, validation in enumerate(known.policy.validations):
        expression = validation.program.expression.strip()
        try:
            holds = budget.evaluate(validation.program, values) is True
        except CelError as error:
            if known.fails:
                text = f"expression '{expression}' resulted in error: {error}"
                faults.append(Fault(task, text, index=index, error=_kind_of(error)))
            if isinstance(error, CostExceeded):
                break
            continue
        if not holds:
            message = _message(validation, values, budget) or f"failed expression: {expression}"
            faults.append(Fault(task, message, validation.said.get("reason") or "", index))
    _annotate(task, values, budget, attributes)
    return faults


def _kind_of(error: CelError) -> str:
    return "out_of_budget" if isinstance(error, CostExceeded) else "invalid_error"


def _message(validation: Validation, values: Values, budget: Budget) -> str:
    said: str = (validation.said.get("message") or "").strip()
    if validation.message is None:
        return said
    try:
        text = budget.evaluate(validation.message, values)
    except CelError:
        return said
    text = text.strip() if isinstance(text, str) else ""
    return text if text and "\n" not in text and len(text) <= LONGEST_MESSAGE else said


def _annotate(task: Task, values: Values, budget: Budget, attributes: Attributes) -> None:
    for key, program in task.known.policy.annotations:
        try:
            value = budget.evaluate(program, values)
        except CelError:
            continue  # an annotation that can't be worked out is left out
        if isinstance(value, str) and value.strip():
            attributes.call.audit[f"{task.known.name}/{key}"] = value.strip()


def _audited(fault: Fault) -> Tree:
    return {
        "message": fault.message,
        "policy": fault.task.known.name,
        "binding": fault.task.binding.name,
        "expressionIndex": fault.index,
        "validationActions": fault.task.binding.spec.get("validationActions") or ["Deny"],
    }


def refusal(attributes: Attributes, text: str, reason: str) -> ApiError:
    """The answer to a request that a policy refuses."""
    resource = attributes.kind.resource
    return _REASONS.get(reason, Invalid)(
        f'{resource.title} "{attributes.name}" is forbidden: {text}',
        details={"name": attributes.name, "group": resource.group, "kind": resource.plural},
        causes=[Cause("", text)],
    )
