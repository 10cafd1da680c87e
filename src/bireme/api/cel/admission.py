"""What expressions of admission may speak of: match conditions of webhooks, and everything in policies.

`object`, `oldObject` and `params` are dyn, since a policy may apply to many kinds; the request and the namespace
have types. Objects that a mutation builds are written `Object.spec{...}`, after their place; what fields there are
is the business of the object that they are merged into.

Source: the documentation of validating and mutating admission policies in Kubernetes.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bireme.api.cel.ast import Call, Comprehension, Expr, ListOf, MapOf, Select, StructOf
from bireme.api.cel.declarations import type_from_schema
from bireme.api.cel.environment import Environment
from bireme.api.cel.errors import CelError
from bireme.api.cel.program import Program, compile
from bireme.api.cel.types import DYN, STRING, Struct, Type, named

AUTHORIZER = named("kubernetes.authorization.Authorizer")
RESOURCE_CHECK = named("kubernetes.authorization.ResourceCheck")
PATCH_OPERATION = Struct("JSONPatch", {"op": STRING, "path": STRING, "from": STRING, "value": DYN})

_TEXT = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_KIND = {"type": "object", "properties": {"group": _TEXT, "version": _TEXT, "kind": _TEXT}}
_RESOURCE = {"type": "object", "properties": {"group": _TEXT, "version": _TEXT, "resource": _TEXT}}
_LISTS = {"type": "object", "additionalProperties": {"type": "array", "items": _TEXT}}
_USER = {
    "type": "object",
    "properties": {
        "username": _TEXT,
        "uid": _TEXT,
        "groups": {"type": "array", "items": _TEXT},
        "extra": _LISTS,
    },
}
_REQUEST = {
    "type": "object",
    "properties": {
        "kind": _KIND,
        "resource": _RESOURCE,
        "subResource": _TEXT,
        "requestKind": _KIND,
        "requestResource": _RESOURCE,
        "requestSubResource": _TEXT,
        "name": _TEXT,
        "namespace": _TEXT,
        "operation": _TEXT,
        "userInfo": _USER,
        "dryRun": {"type": "boolean"},
        "options": {"x-kubernetes-int-or-string": True},
    },
}
_TIME = {"type": "string", "format": "date-time"}
_CONDITION = {
    "type": "object",
    "properties": {"type": _TEXT, "status": _TEXT, "lastTransitionTime": _TIME, "reason": _TEXT, "message": _TEXT},
}
_NAMESPACE = {
    "type": "object",
    "properties": {
        "metadata": {
            "type": "object",
            "properties": {
                "name": _TEXT,
                "generateName": _TEXT,
                "namespace": _TEXT,
                "labels": _TEXTS,
                "annotations": _TEXTS,
                "UID": _TEXT,
                "uid": _TEXT,
                "creationTimestamp": _TIME,
                "deletionTimestamp": _TIME,
                "deletionGracePeriodSeconds": {"type": "integer"},
                "generation": {"type": "integer"},
                "resourceVersion": _TEXT,
                "finalizers": {"type": "array", "items": _TEXT},
            },
        },
        "spec": {"type": "object", "properties": {"finalizers": {"type": "array", "items": _TEXT}}},
        "status": {
            "type": "object",
            "properties": {"phase": _TEXT, "conditions": {"type": "array", "items": _CONDITION}},
        },
    },
}


def _declared(schema: Mapping[str, Any], name: str) -> Type:
    kind = type_from_schema(schema, name)
    assert kind is not None
    return kind


REQUEST = _declared(_REQUEST, "kubernetes.AdmissionRequest")
NAMESPACE = _declared(_NAMESPACE, "kubernetes.Namespace")


class _AnyField(Mapping[str, Type]):
    """Fields of every name, of any type."""

    def __getitem__(self, name: str) -> Type:
        return DYN

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def get(self, name: str, default: Any = None) -> Any:
        """The type of a field, which is not known."""
        return DYN


class _Structs(Mapping[str, Struct]):
    """`JSONPatch`, `Object`, and every name that begins with `Object.`."""

    def __getitem__(self, name: str) -> Struct:
        if name == "JSONPatch":
            return PATCH_OPERATION
        if name == "Object" or name.startswith("Object."):
            return Struct(name, _AnyField())
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(("JSONPatch", "Object"))

    def __len__(self) -> int:
        return 2


BUILDABLE = _Structs()


def admission_environment(
    *,
    params: bool = False,
    authorizer: bool = True,
    variables: Mapping[str, Type] | None = None,
    mutation: bool = False,
    types: Mapping[str, Type] | None = None,
) -> Environment:
    """Variables of an admission request; `variables` are those that a policy has given names to so far.

    `types` has types of `object`, `oldObject` and `params` where they are known, for type checking.
    """
    declared: dict[str, Type] = {
        "object": DYN,
        "oldObject": DYN,
        "request": REQUEST,
        "namespaceObject": NAMESPACE,
    }
    if params:
        declared["params"] = DYN
    if authorizer:
        declared |= {"authorizer": AUTHORIZER, "authorizer.requestResource": RESOURCE_CHECK}
    if variables is not None:
        declared["variables"] = Struct("kubernetes.variables", dict(variables))
    declared |= {name: kind for name, kind in (types or {}).items() if name in declared}
    return Environment(declared, BUILDABLE if mutation else {})


def compile_condition(expression: str) -> Program:
    """A match condition of a webhook. Raises CelError."""
    program = compile(expression, admission_environment())
    if program.result.name not in ("bool", "dyn"):
        raise CelError("must evaluate to bool")
    return program


def misplaced(expr: Expr, place: str = "") -> str | None:
    """What is wrong with the name of an object that is built in the place of another, if anything is."""
    match expr:
        case StructOf():
            if place and expr.name.startswith("Object") and expr.name != place:
                where = f"expected '{place}', which matches field name path from root Object type"
                return f"type mismatch: unexpected type name '{expr.name}', {where}"
            inside = [(entry.value, f"{expr.name}.{entry.key}") for entry in expr.entries]
        case ListOf():
            inside = [(element, place) for element in expr.elements]
        case MapOf():
            inside = [(entry.value, "") for entry in expr.entries]
        case Call():
            inside = [(part, "") for part in expr.args]
        case Comprehension():
            inside = [(expr.step, ""), (expr.result, "")]
        case Select():
            inside = [(expr.operand, "")]
        case _:
            return None
    return next((fault for part, at in inside if (fault := misplaced(part, at))), None)
