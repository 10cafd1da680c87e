"""MutatingAdmissionPolicy: policies in CEL that change objects before they are checked and stored.

A mutation either builds a part of the object, which is merged in as server-side apply does, or a list of JSON
patch operations. Each sees what those before it made. A policy that asks for it (`reinvocationPolicy: IfNeeded`)
runs once more when a later one changed the object. Source: the documentation of mutating admission policies.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from bireme.api.apply_merge import merge
from bireme.api.cel.errors import CelError
from bireme.api.cel.policies import Mutation
from bireme.api.cel.values import TypeValue
from bireme.api.errors import ApiError
from bireme.api.managed_types import Owned, Typed
from bireme.api.patch import json_patch
from bireme.registry.admission.chain import Attributes, Operation, Place, Plugin
from bireme.registry.admission.policies import (
    PER_POLICY,
    Policies,
    Task,
    Unbound,
    conditions_hold,
    with_params,
)
from bireme.registry.admission.policy_match import is_exempt
from bireme.registry.admission.policy_values import Budget, unhurried
from bireme.registry.admission.validating_policy import refusal
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
TypedOf = Callable[[Kind], Typed]

_FIXED = ("apiVersion", "kind")
_FIXED_METADATA = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")


class MutationFailed(Exception):
    """A mutation gave something that can't be put into the object."""


class MutatingAdmissionPolicy(Plugin):
    """See the module; `typed` tells how the fields of a kind merge."""

    name: ClassVar[str] = "MutatingAdmissionPolicy"

    def __init__(self, policies: Policies, typed: TypedOf) -> None:
        self._policies = policies
        self._typed = typed

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and not is_exempt(kind)

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return None if self._policies.current() else self._policies.places

    def is_quiet(self, attributes: Attributes) -> bool:
        return not self._policies.current()

    async def admit(self, attributes: Attributes) -> None:
        if attributes.tree is None or not self._policies.current():
            return
        again: list[str] = []
        ran: list[str] = []
        second = attributes.again is not None and attributes.again.under_way
        async for task in self._policies.for_request(attributes):
            if second and task.known.spec.get("reinvocationPolicy") != "IfNeeded":
                continue
            changed = await self._run(task, attributes)
            if changed:
                again += [name for name in ran if name not in again and name != task.known.name]
            if task.known.spec.get("reinvocationPolicy") == "IfNeeded" and task.known.name not in ran:
                ran.append(task.known.name)
        if again:
            async for task in self._policies.for_request(attributes):
                if task.known.name in again:
                    await self._run(task, attributes)

    async def _run(self, task: Task, attributes: Attributes) -> bool:
        """Apply one policy with one binding; whether it changed anything."""
        try:
            return await self._mutated(task, attributes)
        except (CelError, MutationFailed, ApiError, Unbound) as error:
            if not task.known.fails:
                return False
            raise _refused(task, attributes, str(error)) from error

    async def _mutated(self, task: Task, attributes: Attributes) -> bool:
        known = task.known
        if known.fault:
            raise CelError(known.fault)
        changed = False
        for params in self._policies.parameters(task, attributes):
            if not await unhurried(functools.partial(_is_meant, task, params), here=known.asks):
                continue
            left = PER_POLICY
            for mutation in known.policy.mutations:
                task.values["object"] = await self._policies.shown.new(attributes, task.kind)
                work = functools.partial(_evaluated, task, params, mutation, left)
                value, left = await unhurried(work, here=known.asks)
                changed |= await self._put(task, attributes, mutation, value)
        return changed

    async def _put(self, task: Task, attributes: Attributes, mutation: Mutation, value: Any) -> bool:
        shown = task.values["object"]
        if mutation.kind == "ApplyConfiguration":
            made = self._merged(task.kind, shown, _plain(value))
        else:
            made = json_patch(shown, [_operation(each) for each in _listed(value)])
        if made == shown:
            return False
        _check_fixed(made, shown)
        if not isinstance(made.get("metadata"), dict):
            raise MutationFailed("metadata must be an object")
        return await self._policies.shown.become(attributes, task.kind, made)

    def _merged(self, kind: Kind, shown: Tree, config: Any) -> Tree:
        if not isinstance(config, dict):
            raise MutationFailed("the expression must give an Object")
        typed = self._typed(kind)
        if fault := _atomic(typed, config, ""):
            raise MutationFailed(
                f"invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {fault}"
            )
        made: Tree = merge(typed, shown, config)
        return made


def _is_meant(task: Task, params: Tree | None, quick: bool) -> bool:
    return conditions_hold(task, with_params(task, params, Budget(PER_POLICY, quick=quick)), quick=quick)


def _evaluated(task: Task, params: Tree | None, mutation: Mutation, left: int, quick: bool) -> tuple[Any, int]:
    budget = Budget(left, quick=quick)
    before = budget.left
    value = budget.evaluate(mutation.program, with_params(task, params, budget))
    return value, left - (before - budget.left)


def _refused(task: Task, attributes: Attributes, message: str) -> ApiError:
    policy, binding = task.known.name, task.binding.name
    return refusal(attributes, f"policy '{policy}' with binding '{binding}' denied request: {message}", "")


def _check_fixed(made: Tree, shown: Tree) -> None:
    for name in _FIXED:
        if made.get(name) != shown.get(name):
            raise MutationFailed(f"may not mutate {name}")
    new, old = made.get("metadata") or {}, shown.get("metadata") or {}
    for name in _FIXED_METADATA:
        if new.get(name) != old.get(name):
            raise MutationFailed(f"may not mutate metadata.{name}")


def _atomic(typed: Typed, config: Any, path: str) -> str:
    """The path of the first atomic list, map or struct that a configuration touches, or nothing."""
    owned = typed.of(config)
    if owned is Owned.WHOLE:
        return path if isinstance(config, (list, dict)) and path else ""
    if isinstance(config, dict):
        for name, value in config.items():
            below = typed.field(name)
            if below is not None and (fault := _atomic(below, value, f"{path}.{name}")):
                return fault
    if isinstance(config, list) and typed.items is not None:
        for index, item in enumerate(config):
            if fault := _atomic(typed.items, item, f"{path}[{index}]"):
                return fault
    return ""


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise MutationFailed("the expression must give a list of JSONPatch")
    return value


def _operation(value: Any) -> Tree:
    if not isinstance(value, dict):
        raise MutationFailed("the expression must give a list of JSONPatch")
    made = {name: _plain(each) for name, each in value.items()}
    if made.get("op") in ("add", "replace", "test") and "value" not in made:
        made["value"] = None
    return made


def _plain(value: Any) -> Any:
    """A value of an expression as JSON has it."""
    match value:
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case int() if not isinstance(value, bool):
            return int(value)
        case None | bool() | float() | str():
            return value
        case TypeValue():
            raise MutationFailed(f"a value of type {value.name} can't stand in an object")
    raise MutationFailed("a value of that type can't stand in an object")
