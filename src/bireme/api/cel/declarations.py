"""Types of expressions from the schemas of objects.

A schema says what may stand where; an expression sees a struct with a field for each property, a map where names
are free, a list, or a scalar. What a schema leaves open (`x-kubernetes-preserve-unknown-fields`, a node without a
type) is not visible, but for int-or-string, which is dyn. Names that are no identifiers are escaped. The sizes that
a schema bounds, or that the size of a request does, go into the types for the cost estimate.

Source: the documentation of CEL in Kubernetes, "Type mapping" and "Escaping".
"""

import re
from collections.abc import Mapping
from typing import Any

from bireme.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Struct,
    Type,
    list_of,
    map_of,
)

Schema = Mapping[str, Any]

# The largest request that is taken, in bytes.
LARGEST_REQUEST = 3 * 1024 * 1024
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        "true false null in as break const continue else for function if import let loop package namespace return "
        "var void while",
    )
)
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPED = re.compile(r"__|[.\-/]")
# Sizes are bytes, and a length is counted in characters.
_BYTES_A_CHARACTER = 4
_TIME_LENGTH = {"date": 10, "date-time": 25, "duration": 30}


def escaped(name: str) -> str | None:
    """The identifier that stands for a property in expressions; None where there is none."""
    if name in _KEYWORDS:
        return f"__{name}__"
    if _IDENTIFIER.fullmatch(name) and "__" not in name:
        return name
    made = _ESCAPED.sub(lambda found: _ESCAPES[found[0]], name)
    return made if _IDENTIFIER.fullmatch(made) else None


def type_from_schema(schema: Schema, name: str = "object", *, root: bool = False) -> Type | None:
    """The type of what a structural schema describes, or None where expressions can't see it.

    `root` for a whole object: it has apiVersion, kind, metadata.name and metadata.generateName in any case.
    """
    if schema.get("x-kubernetes-int-or-string"):
        return DYN
    match schema.get("type"):
        case "object":
            return _object(schema, name, root=root or bool(schema.get("x-kubernetes-embedded-resource")))
        case "array":
            return _list(schema, name)
        case "string":
            return _text(schema)
        case "boolean":
            return BOOL
        case "number":
            return DOUBLE
        case "integer":
            return INT
    return None


def _object(schema: Schema, name: str, *, root: bool) -> Type | None:
    inside = schema.get("additionalProperties")
    if isinstance(inside, Mapping) and not schema.get("properties"):
        value = type_from_schema(inside, f"{name}.@values")
        if value is None:
            return None
        largest = schema.get("maxProperties")
        bound = LARGEST_REQUEST // (least_size(inside) + 6)
        return map_of(STRING, value, bound if largest is None else int(largest))
    properties = dict(schema.get("properties") or {})
    if root:
        properties = _with_root(properties)
    fields: dict[str, Type] = {}
    keys: dict[str, str] = {}
    for key, said in properties.items():
        field, kind = escaped(key), type_from_schema(said, f"{name}.{key}")
        if field is None or kind is None:
            continue
        fields[field] = kind
        if field != key:
            keys[field] = key
    return Struct(name, fields, keys=keys)


def _with_root(properties: dict[str, Any]) -> dict[str, Any]:
    metadata = dict(properties.get("metadata") or {"type": "object"})
    given = metadata.get("properties") or {}
    named = {"type": "string", "maxLength": 253}
    metadata["properties"] = {"name": named, "generateName": named, **given}
    return {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, **properties, "metadata": metadata}


def _list(schema: Schema, name: str) -> Type | None:
    items = schema.get("items") or {}
    element = type_from_schema(items, f"{name}.@items")
    if element is None:
        return None
    largest = schema.get("maxItems")
    bound = (LARGEST_REQUEST - 2) // (least_size(items) + 1)
    made = list_of(element, bound if largest is None else int(largest))
    kind = schema.get("x-kubernetes-list-type", "")
    if kind in ("set", "map"):
        return Type(
            "list", made.parameters, made.largest, kind, tuple(schema.get("x-kubernetes-list-map-keys") or ())
        )
    return made


def _text(schema: Schema) -> Type:
    form = schema.get("format")
    if form == "byte":
        largest = schema.get("maxLength")
        return BYTES.sized(LARGEST_REQUEST if largest is None else int(largest))
    if form in ("date", "date-time"):
        return TIMESTAMP.sized(_TIME_LENGTH[form])
    if form == "duration":
        return DURATION.sized(_TIME_LENGTH[form])
    largest = schema.get("maxLength")
    if largest is not None:
        return STRING.sized(int(largest) * _BYTES_A_CHARACTER)
    if schema.get("enum"):
        return STRING.sized(max(len(str(each)) for each in schema["enum"]))
    return STRING.sized(LARGEST_REQUEST - 2)


def least_size(schema: Schema) -> int:
    """The fewest bytes that a value takes in JSON."""
    if schema.get("x-kubernetes-int-or-string"):
        return 1
    match schema.get("type"):
        case "object":
            size = 2
            required = set(schema.get("required") or ())
            for key, said in (schema.get("properties") or {}).items():
                if key in required and "default" not in said:
                    size += len(key) + 4 + least_size(said)
            return size
        case "array":
            return 2
        case "string":
            return 2 + _TIME_LENGTH.get(schema.get("format") or "", 0)
        case "boolean":
            return 4
    return 1
