"""The values of the variables of admission expressions, for one request.

`admission_values` serves the match conditions of webhooks as well as policies. A policy's own variables are worked
out when an expression asks for them, once for each request. Source: the AdmissionRequest of the Kubernetes API.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from bireme.api.cel.errors import CelError, CostExceeded, TooLong
from bireme.api.cel.library.authorizer import Answer, Authorizer, Check, Decide, ResourceCheck
from bireme.api.cel.program import PER_CALL, QUICK, Program
from bireme.http.interface import Identity
from bireme.registry import access, scale
from bireme.registry.admission.chain import Attributes
from bireme.registry.conversion import from_stored
from bireme.registry.kinds import Kind

T = TypeVar("T")
Tree = dict[str, Any]
Values = dict[str, Any]
# Given a user and what they would do, what the cluster's authorizer says.
Authorize = Callable[[Identity, Check], Answer]


class Budget:
    """What the expressions of one policy may still cost for one request; `quick` has the first part alone."""

    __slots__ = ("left", "quick")

    def __init__(self, left: int, *, quick: bool = False) -> None:
        self.left = QUICK if quick else left
        self.quick = quick

    def evaluate(self, program: Program, values: Mapping[str, Any]) -> Any:
        """The value of an expression, paid for. Raises CelError; TooLong where the first part does not do."""
        if self.left <= 0:
            raise TooLong if self.quick else OutOfBudget
        try:
            outcome = program.run(values, limit=min(PER_CALL, self.left))
        except CostExceeded:
            if self.quick:
                raise TooLong from None
            raise
        self.left -= outcome.cost
        return outcome.value


async def unhurried(work: Callable[[bool], T], *, here: bool) -> T:
    """Do `work` quickly, or else again in a thread, where it holds up nobody; `here` keeps it on this one.

    What asks the authorizer stays here, since that reads what others write.
    """
    if here:
        return work(False)
    try:
        return work(True)
    except TooLong:
        return await asyncio.to_thread(work, False)


class OutOfBudget(CostExceeded):
    """The expressions before this one have used up what a policy may cost."""

    def __str__(self) -> str:
        return "validation failed due to running out of cost budget, no further validation rules will be run"


class LazyVariables:
    """What `variables` holds."""

    __slots__ = ("_budget", "_known", "_programs", "_values")
    type_name = "map"

    def __init__(self, programs: Mapping[str, Program], values: Values, budget: Budget) -> None:
        self._programs = programs
        self._values = values
        self._budget = budget
        self._known: dict[str, Any] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._programs

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            program = self._programs[name]
            try:
                self._known[name] = self._budget.evaluate(program, self._values)
            except CostExceeded:
                raise
            except CelError as error:
                raise CelError(f"composited variable {name!r} fails to evaluate: {error}") from error
        return self._known[name]


def admission_values(
    attributes: Attributes, matched: Kind, *, namespace: Tree | None, authorize: Authorize | None
) -> Values:
    """The variables but for `params` and `variables`; the objects are given in the version that matched."""
    decide = _decide(attributes.call.user, authorize)
    return {
        "object": _shown(attributes, attributes.tree, matched),
        "oldObject": _shown(attributes, attributes.old, matched),
        "request": request_of(attributes, matched),
        "namespaceObject": namespace,
        "authorizer": Authorizer(decide),
        "authorizer.requestResource": ResourceCheck(decide, _requested(attributes)),
    }


def _shown(attributes: Attributes, tree: Tree | None, kind: Kind) -> Tree | None:
    if tree is None:
        return None
    if attributes.subresource == "scale":
        return scale.scale_of(tree, scale.paths_of(attributes.kind))
    return from_stored(kind, tree)


def request_of(attributes: Attributes, matched: Kind) -> Tree:
    """What `request` holds."""
    asked, call = attributes.kind, attributes.call
    user = call.user
    return {
        "kind": _kind(matched),
        "resource": _resource(matched),
        "subResource": attributes.subresource,
        "requestKind": _kind(asked),
        "requestResource": _resource(asked),
        "requestSubResource": attributes.subresource,
        "name": attributes.name,
        "namespace": attributes.namespace,
        "operation": attributes.operation,
        "userInfo": {
            "username": user.name,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": {key: list(values) for key, values in user.extra.items()},
        },
        "dryRun": call.dry_run,
        "options": {},
    }


def _kind(kind: Kind) -> Tree:
    resource = kind.resource
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _resource(kind: Kind) -> Tree:
    resource = kind.resource
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def _requested(attributes: Attributes) -> Check:
    resource = attributes.kind.resource
    return Check(
        group=resource.group,
        resource=resource.plural,
        subresource=attributes.subresource,
        namespace=attributes.namespace,
        name=attributes.name,
    )


def authorize_by(authorizer: access.Authorizer) -> Authorize:
    """What expressions ask, asked of the cluster's authorizer."""

    def authorize(user: Identity, check: Check) -> Answer:
        attempt = access.Attempt(
            check.verb,
            check.group,
            "*",
            check.resource,
            check.subresource,
            check.name,
            check.namespace,
            check.path,
        )
        decision = authorizer.decide(user, attempt)
        return Answer(decision.allowed, decision.reason)

    return authorize


def _decide(user: Identity, authorize: Authorize | None) -> Decide:
    def decide(check: Check) -> Answer:
        if authorize is None:
            return Answer(allowed=False, error="there is no authorizer")
        asked = user
        if check.service_account:
            namespace = check.service_account.partition(":")[0]
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            asked = Identity(f"system:serviceaccount:{check.service_account}", groups)
        return authorize(asked, check)

    return decide
