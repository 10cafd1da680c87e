"""Expressions of a policy held against the kinds that it names: what would fail for any object of them.

Only kinds that are named outright are looked at, a few of them; a policy that fits no kind is still good, since
expressions see objects untyped, so what is found are warnings. Source: the documentation of validating admission
policies, "Type checking".
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bireme.api import definitions
from bireme.api.cel.declarations import type_from_schema
from bireme.api.cel.policies import compile_policy
from bireme.api.cel.types import Type
from bireme.api.scheme import Resource, Scheme

Tree = Mapping[str, Any]
MOST_KINDS = 10
_PREFIX = "compilation failed: "


def expression_warnings(spec: Tree, scheme: Scheme) -> list[dict[str, str]]:
    """The fields of a policy whose expressions don't fit a kind that it names: what is wrong, and for which."""
    found: dict[str, list[str]] = {}
    for resource in _named(spec, scheme):
        kind = builtin_type(resource.definition)
        if kind is None:
            continue
        title = f"{resource.api_version}, Kind={resource.kind}"

        def report(path: str, expression: str, fault: str, title: str = title) -> None:
            found.setdefault(path, []).append(f"{title}: {fault.removeprefix(_PREFIX)}")

        compile_policy(spec, report, types={"object": kind, "oldObject": kind})
    return [{"fieldRef": path, "warning": "\n".join(faults)} for path, faults in found.items()]


def _named(spec: Tree, scheme: Scheme) -> Iterator[Resource]:
    """The kinds that the rules of a policy name without stars."""
    count = 0
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        for group, version, plural in _places(rule):
            resource = scheme.resource(group, version, plural)
            if resource is not None and count < MOST_KINDS:
                count += 1
                yield resource


def _places(rule: Tree) -> Iterable[tuple[str, str, str]]:
    said = [rule.get(part) or () for part in ("apiGroups", "apiVersions", "resources")]
    if any("*" in value for part in said for value in part):
        return
    for group in said[0]:
        for version in said[1]:
            for plural in said[2]:
                yield group, version, plural


@functools.lru_cache(maxsize=64)
def builtin_type(definition: str) -> Type | None:
    """The type of a built-in kind's objects; None where it is not known."""
    known = definitions.builtin()
    if definition not in known:
        return None
    return type_from_schema(_whole(known.get(definition), ()), "Object", root=True)


def _whole(schema: Any, within: tuple[str, ...]) -> dict[str, Any]:
    """A schema with what it refers to in the place of the references; one that holds itself ends there untyped."""
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix(definitions.REF)
        if name in within:
            return {}
        if name in _UNTYPED:
            return {"x-kubernetes-int-or-string": True}
        return _whole(definitions.builtin().get(name), (*within, name))
    made = dict(schema)
    if "properties" in schema:
        made["properties"] = {name: _whole(said, within) for name, said in schema["properties"].items()}
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            made[part] = _whole(schema[part], within)
    return made


_UNTYPED = frozenset({definitions.INT_OR_STRING, definitions.QUANTITY})
"""What expressions may see as a number or as a text."""
