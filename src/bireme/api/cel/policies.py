"""Admission policies compiled: variables, conditions, validations, mutations and annotations of one policy.

Used twice: to refuse a policy that doesn't compile when it is written, and to run it. Variables are worked out in
their order, each when an expression first asks for it. Left to others: whom a policy applies to, and running it
(`registry/admission/`). Source: the documentation of admission policies in Kubernetes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bireme.api.cel.admission import admission_environment, misplaced
from bireme.api.cel.environment import Environment
from bireme.api.cel.errors import CelError
from bireme.api.cel.program import Program, compile
from bireme.api.cel.types import Type

Tree = Mapping[str, Any]
# Where an expression stands, and why it can't.
Report = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class Validation:
    """One claim; `message` gives the text for the user where it doesn't hold."""

    said: Tree
    program: Program
    message: Program | None


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change: `kind` is ApplyConfiguration or JSONPatch."""

    kind: str
    program: Program


@dataclass(slots=True)
class Policy:
    """The expressions of one policy."""

    variables: dict[str, Program] = field(default_factory=dict)
    conditions: list[tuple[str, Program]] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    mutations: list[Mutation] = field(default_factory=list)
    annotations: list[tuple[str, Program]] = field(default_factory=list)


def compile_policy(spec: Tree, report: Report | None = None, *, types: Mapping[str, Type] | None = None) -> Policy:
    """A policy from its `spec`. Faults are reported with the path and the expression, or raised as CelError."""
    return _Compiler(spec, report or _raise, types).policy()


def _raise(path: str, expression: str, fault: str) -> None:
    raise CelError(f"{path}: {fault}")


class _Compiler:
    def __init__(self, spec: Tree, report: Report, types: Mapping[str, Type] | None) -> None:
        self._spec = spec
        self._report = report
        self._types = types
        self._params = spec.get("paramKind") is not None
        self._known: dict[str, Type] = {}

    def policy(self) -> Policy:
        made = Policy()
        bare = self._environment(variables=False)
        for index, said in enumerate(self._spec.get("matchConditions") or ()):
            path = f"spec.matchConditions[{index}].expression"
            program = self._compile(said.get("expression") or "", bare, path, ("bool",))
            if program is not None:
                made.conditions.append((said.get("name") or "", program))
        self._variables(made)
        self._validations(made)
        self._mutations(made)
        for index, said in enumerate(self._spec.get("auditAnnotations") or ()):
            path = f"spec.auditAnnotations[{index}].valueExpression"
            wanted = ("string", "null_type")
            program = self._compile(said.get("valueExpression") or "", self._environment(), path, wanted)
            if program is not None:
                made.annotations.append((said.get("key") or "", program))
        return made

    def _environment(self, *, variables: bool = True, authorizer: bool = True, mutation: bool = False) -> Environment:
        known = self._known if variables else None
        return admission_environment(
            params=self._params, authorizer=authorizer, variables=known, mutation=mutation, types=self._types
        )

    def _compile(
        self, expression: str, environment: Environment, path: str, wanted: tuple[str, ...]
    ) -> Program | None:
        if not expression.strip():
            return None  # a required value is asked for elsewhere
        try:
            program = compile(expression, environment)
        except CelError as error:
            self._report(path, expression, f"compilation failed: {error}")
            return None
        if wanted and program.result.name not in (*wanted, "dyn"):
            self._report(path, expression, f"must evaluate to {' or '.join(wanted)}")
            return None
        return program

    def _variables(self, made: Policy) -> None:
        mutation = bool(self._spec.get("mutations"))
        for index, said in enumerate(self._spec.get("variables") or ()):
            path = f"spec.variables[{index}].expression"
            environment = self._environment(mutation=mutation)
            program = self._compile(said.get("expression") or "", environment, path, ())
            if program is not None:
                name = said.get("name") or ""
                made.variables[name] = program
                self._known[name] = program.result

    def _validations(self, made: Policy) -> None:
        for index, said in enumerate(self._spec.get("validations") or ()):
            path = f"spec.validations[{index}]"
            expression = said.get("expression") or ""
            program = self._compile(expression, self._environment(), f"{path}.expression", ("bool",))
            message = None
            if said.get("messageExpression"):
                plain = self._environment(authorizer=False)
                message = self._compile(said["messageExpression"], plain, f"{path}.messageExpression", ("string",))
            if program is not None:
                made.validations.append(Validation(said, program, message))

    def _mutations(self, made: Policy) -> None:
        for index, said in enumerate(self._spec.get("mutations") or ()):
            kind = said.get("patchType") or ""
            field = "applyConfiguration" if kind == "ApplyConfiguration" else "jsonPatch"
            path = f"spec.mutations[{index}].{field}.expression"
            expression = (said.get(field) or {}).get("expression") or ""
            program = self._compile(expression, self._environment(mutation=True), path, ())
            if program is None:
                continue
            fault = _result_fault(kind, program.result) or misplaced(program.checked.parsed.expr)
            if fault:
                self._report(path, expression, fault)
            else:
                made.mutations.append(Mutation(kind, program))


def _result_fault(kind: str, result: Type) -> str | None:
    shown = str(result)
    if kind == "ApplyConfiguration":
        return None if shown in ("Object", "dyn") else f"must evaluate to Object but got {shown}"
    if shown in ("list(JSONPatch)", "list(dyn)", "dyn"):
        return None
    return f"must evaluate to list(JSONPatch) but got {shown}"
