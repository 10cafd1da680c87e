"""The rules of the schemas of custom kinds: that they are structural, bounded, and that their defaults fit.

A structural schema says the type of everything that it names, once, outside of what only constrains values
(`allOf`, `anyOf`, `oneOf`, `not`), so that objects can be pruned and defaulted by it. Size and depth are bounded,
since a schema is compiled and walked in the server. Source: the Kubernetes documentation of
CustomResourceDefinitions; messages as the original words them.
"""

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass

from bireme.api.cel.errors import CelError
from bireme.api.cel.regex import compiled
from bireme.api.cel.rule_limits import check_rules
from bireme.api.errors import Cause
from bireme.api.structural.checks import compile_check
from bireme.api.structural.places import Faults, Place, text_of
from bireme.api.structural.settling import EMBEDDED, PRESERVE, compile_settler, items_of, values_of
from bireme.api.validation.field import MOST_FAULTS, Enough, Problems, Tree

DEEPEST = 100
LARGEST = 20_000
TYPES = ("array", "boolean", "integer", "number", "object", "string")
INT_OR_STRING = "x-kubernetes-int-or-string"
_REFUSED = {
    "$ref": "$ref is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "id": "id is not supported",
    "patternProperties": "patternProperties is not supported",
    "additionalItems": "additionalItems is not supported",
}
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_NOT_IN_JUNCTORS = (
    "description",
    "title",
    "default",
    "nullable",
    "additionalProperties",
    PRESERVE,
    EMBEDDED,
    INT_OR_STRING,
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
)
_INT_OR_STRING_TYPES = [{"type": "integer"}, {"type": "string"}]


@dataclass(frozen=True, slots=True)
class _Where:
    """Where in a schema something stands: its path, and whether only values are constrained there."""

    path: str
    root: bool = False
    junctor: bool = False


def check_schema(problems: Problems, schema: Tree, path: str) -> None:
    """The schema of one version of a definition."""
    if not _is_bounded(problems, schema, path):
        return
    found = len(problems)
    if schema.get("type") != "object":
        value = schema.get("type") or ""
        if value:
            problems.invalid(f"{path}.type", value, "must be object at the root")
        else:
            problems.required(f"{path}.type", "must not be empty at the root")
    if schema.get("nullable"):
        problems.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    _check(problems, schema, _Where(path, root=True))
    if len(problems) == found:
        _check_defaults(problems, schema, path)
        check_rules(problems, schema, path)


def _is_bounded(problems: Problems, schema: Tree, path: str) -> bool:
    """Whether the schema is small enough to be looked at; nothing here recurses."""
    waiting, count = [(schema, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if depth > DEEPEST:
            problems.invalid(path, "", f"must not be nested deeper than {DEEPEST} levels")
            return False
        if count > LARGEST:
            problems.invalid(path, "", f"must not have more than {LARGEST} schemas in it")
            return False
        waiting += ((below, depth + 1) for _, below in _below(node))
    return True


def _below(schema: Tree) -> Iterator[tuple[str, Tree]]:
    """The schemas within a schema, with their paths from there."""
    for name in ("properties", "patternProperties", "definitions"):
        for key, said in (schema.get(name) or {}).items():
            if isinstance(said, dict):
                yield f"{name}[{key}]", said
    for name in ("items", "additionalProperties", "additionalItems", "not"):
        if isinstance(schema.get(name), dict):
            yield name, schema[name]
    for name in (*_JUNCTORS, "items"):
        found = schema.get(name)
        if isinstance(found, list):
            for index, said in enumerate(found):
                if isinstance(said, dict):
                    yield f"{name}[{index}]", said


def _check(problems: Problems, schema: Tree, where: _Where) -> None:
    _check_plain(problems, schema, where)
    if where.junctor:
        _check_in_junctor(problems, schema, where)
    else:
        _check_type(problems, schema, where)
        _check_extensions(problems, schema, where.path)
        for name, said in _constraining(schema):
            _check_covered(problems, schema, said, where.path, f"{where.path}.{name}")
    for name, said in _below(schema):
        below = where.junctor or name.startswith(("allOf", "anyOf", "oneOf", "not"))
        if not where.junctor and where.root and name == "properties[metadata]":
            _check_metadata(problems, said, f"{where.path}.{name}")
        _check(problems, said, _Where(f"{where.path}.{name}", junctor=below))


def _constraining(schema: Tree) -> Iterator[tuple[str, Tree]]:
    for name, said in _below(schema):
        if name.startswith(("allOf", "anyOf", "oneOf", "not")):
            yield name, said


def _check_plain(problems: Problems, schema: Tree, where: _Where) -> None:
    path = where.path
    for name, text in _REFUSED.items():
        if schema.get(name):
            problems.forbidden(f"{path}.{name}", text)
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        problems.forbidden(f"{path}.uniqueItems", text)
    if schema.get("additionalProperties") is False:
        problems.forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    if schema.get("properties") and schema.get("additionalProperties") not in (None, False):
        problems.forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if isinstance(schema.get("items"), list):
        problems.forbidden(f"{path}.items", "items must be a schema object and not an array")
    kind = schema.get("type") or ""
    if kind and kind not in TYPES:
        problems.unsupported(f"{path}.type", kind, TYPES)
    pattern = schema.get("pattern")
    if pattern:
        try:
            compiled(pattern)
        except CelError as error:
            problems.invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {error}")
    for name in ("maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"):
        if (schema.get(name) or 0) < 0:
            problems.invalid(f"{path}.{name}", schema[name], "must be greater than or equal to 0")


def _check_type(problems: Problems, schema: Tree, where: _Where) -> None:
    path, kind = where.path, schema.get("type") or ""
    if schema.get(INT_OR_STRING):
        if kind:
            text = f"must be empty if {INT_OR_STRING} is true"
            problems.forbidden(f"{path}.type", text)
    elif not kind and not where.root and not schema.get(PRESERVE):
        problems.required(f"{path}.type", _needed(path))
    if kind == "array" and items_of(schema) is None and not isinstance(schema.get("items"), list):
        problems.required(f"{path}.items", "must be specified")


def _needed(path: str) -> str:
    if path.endswith(".items"):
        return "must not be empty for specified array items"
    if path.endswith(".additionalProperties"):
        return "must not be empty for specified object fields"
    return "must not be empty for specified object fields"


def _check_extensions(problems: Problems, schema: Tree, path: str) -> None:
    kind = schema.get("type") or ""
    if schema.get(PRESERVE) is False:
        problems.invalid(f"{path}.{PRESERVE}", False, "must be true or undefined")
    if schema.get(EMBEDDED):
        if kind != "object":
            problems.invalid(f"{path}.type", kind, f"must be object if {EMBEDDED} is true")
        if not schema.get("properties") and not schema.get(PRESERVE):
            problems.required(f"{path}.properties", f"must not be empty if {EMBEDDED} is true without {PRESERVE}")
    map_type = schema.get("x-kubernetes-map-type")
    if map_type:
        if map_type not in ("granular", "atomic"):
            problems.unsupported(f"{path}.x-kubernetes-map-type", map_type, ("granular", "atomic"))
        if kind != "object":
            problems.invalid(f"{path}.type", kind, "must be object if x-kubernetes-map-type is specified")
    _check_list_type(problems, schema, path)


def _check_list_type(problems: Problems, schema: Tree, path: str) -> None:
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    if list_type:
        if list_type not in ("atomic", "set", "map"):
            problems.unsupported(f"{path}.x-kubernetes-list-type", list_type, ("atomic", "set", "map"))
        if schema.get("type") != "array":
            text = "must be array if x-kubernetes-list-type is specified"
            problems.invalid(f"{path}.type", schema.get("type") or "", text)
    where = f"{path}.x-kubernetes-list-map-keys"
    if keys and list_type != "map":
        problems.invalid(
            f"{path}.x-kubernetes-list-type",
            list_type or "",
            "must be map if x-kubernetes-list-map-keys is non-empty",
        )
    if list_type != "map":
        return
    if not keys:
        problems.required(where, "must not be empty if x-kubernetes-list-type is map")
        return
    items = items_of(schema) or {}
    properties = items.get("properties") or {}
    if items.get("type") != "object":
        problems.invalid(
            f"{path}.items.type",
            items.get("type") or "",
            "must be object if parent array's x-kubernetes-list-type is map",
        )
    for index, key in enumerate(keys):
        if key not in properties:
            problems.invalid(f"{where}[{index}]", key, "entries must all be names of item properties")
        elif properties[key].get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            problems.invalid(f"{path}.items.properties[{key}].type", properties[key]["type"], text)
        elif "default" not in properties[key] and key not in (items.get("required") or ()):
            text = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            problems.required(f"{path}.items.properties[{key}].default", text)
    if len(set(keys)) != len(keys):
        problems.invalid(where, keys, "entries must be unique")


def _check_in_junctor(problems: Problems, schema: Tree, where: _Where) -> None:
    path = where.path
    for name in _NOT_IN_JUNCTORS:
        if schema.get(name) not in (None, False, "", []) or (name == "default" and name in schema):
            problems.forbidden(f"{path}.{name}", "must be undefined to be structural")
    if schema.get("type"):
        # "integer or string" is spelled with types, and is checked where it stands.
        parent = path.rpartition(".")[0]
        if not (schema in _INT_OR_STRING_TYPES and parent):
            problems.forbidden(f"{path}.type", "must be empty to be structural")


def _check_covered(problems: Problems, schema: Tree, said: Tree, path: str, where: str) -> None:
    """What a constraint speaks of is specified in the schema around it."""
    for name, below in (said.get("properties") or {}).items():
        own = (schema.get("properties") or {}).get(name)
        values = values_of(schema)
        if own is None and values is None:
            if not schema.get(PRESERVE):
                text = f"because it is defined in {where}.properties[{name}]"
                problems.required(f"{path}.properties[{name}]", text)
        elif isinstance(below, dict):
            _check_covered(
                problems, own or values or {}, below, f"{path}.properties[{name}]", f"{where}.properties[{name}]"
            )
    if isinstance(said.get("items"), dict):
        own = items_of(schema)
        if own is None:
            if not schema.get(PRESERVE):
                problems.required(f"{path}.items", f"because it is defined in {where}.items")
        else:
            _check_covered(problems, own, said["items"], f"{path}.items", f"{where}.items")
    for name, below in _constraining(said):
        _check_covered(problems, schema, below, path, f"{where}.{name}")


def _check_metadata(problems: Problems, said: Tree, path: str) -> None:
    rest = {name: value for name, value in said.items() if name not in ("type", "properties", "description")}
    names = set(said.get("properties") or {})
    if any(rest.values()) or not names <= {"name", "generateName"}:
        text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        problems.forbidden(path, text)


def _check_defaults(problems: Problems, schema: Tree, path: str) -> None:
    """Every default is what its schema takes, with nothing that would be pruned."""
    waiting = [(path, schema)]
    while waiting:
        where, node = waiting.pop()
        if "default" in node:
            _check_default(problems, node, f"{where}.default")
        for name, said in _below(node):
            if not name.startswith(("allOf", "anyOf", "oneOf", "not")):
                waiting.append((f"{where}.{name}", said))


def _check_default(problems: Problems, schema: Tree, path: str) -> None:
    value = schema["default"]
    if value is None:
        if not schema.get("nullable"):
            problems.invalid(path, None, "must not be null unless nullable is true")
        return
    pruned, unknown = copy.deepcopy(value), list[Place]()
    settler = compile_settler({"properties": {"value": schema}, "type": "object"})
    settler.prune({"value": pruned}, None, unknown.append)
    if unknown:
        names = ", ".join(text_of(place).removeprefix("value.") for place in unknown[:MOST_FAULTS])
        problems.invalid(path, value, f"must not have unknown fields, but has: {names}")
        return
    check, faults = compile_check(schema), Faults("<default>")
    if check is not None:
        with contextlib.suppress(Enough):
            check(value, None, faults)
    for cause in faults.causes:
        where = f"{path}{cause.field.removeprefix('<default>')}"
        message = cause.message.replace("<default> in body ", "").replace("<default>", "")
        problems.append(Cause(cause.reason, message, where))
