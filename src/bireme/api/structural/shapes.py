"""A structural schema in the terms of `api/shape.py`, which server-side apply reads how values are owned from."""

from typing import Any

from bireme.api.definitions import META
from bireme.api.schema import builtin
from bireme.api.shape import DEDUCED, Field, Form, Node
from bireme.api.structural.settling import EMBEDDED, PRESERVE, items_of, values_of

Tree = dict[str, Any]
_FORMS = {"string": Form.STRING, "integer": Form.INT64, "number": Form.NUMBER, "boolean": Form.BOOLEAN}


def shape_of(schema: Tree) -> Node:
    """The node of the schema of a whole object."""
    node = _node(schema)
    node.form = Form.OBJECT
    node.fields = {**node.fields, **_own()}
    return node


def _own() -> dict[str, Field]:
    metadata = builtin().node(f"{META}ObjectMeta")
    text = Node(Form.STRING, "string")
    return {"apiVersion": Field(text), "kind": Field(text), "metadata": Field(metadata)}


def _node(schema: Tree) -> Node:
    if schema.get("x-kubernetes-int-or-string"):
        return Node(Form.INT_OR_STRING, "intstr.IntOrString")
    kind = schema.get("type") or ""
    if kind in _FORMS:
        return Node(_FORMS[kind], kind)
    if kind == "array":
        items = items_of(schema)
        return Node(Form.LIST, "[]", items=_node(items) if items is not None else DEDUCED)
    if kind != "object":
        return DEDUCED
    node = Node(Form.OBJECT, "map[string]interface {}", atomic=schema.get("x-kubernetes-map-type") == "atomic")
    node.fields = {name: _field(said) for name, said in (schema.get("properties") or {}).items()}
    values = values_of(schema)
    if schema.get(EMBEDDED):
        node.fields = {**node.fields, **_own()}
    if values is not None:
        node.items = _node(values)
    elif schema.get(PRESERVE) or schema.get("additionalProperties"):
        node.items = DEDUCED
    return node


def _field(said: Tree) -> Field:
    keys = tuple(said.get("x-kubernetes-list-map-keys") or ())
    items = (items_of(said) or {}).get("properties") or {}
    return Field(
        _node(said),
        said.get("x-kubernetes-list-type") or "",
        keys,
        said.get("x-kubernetes-map-type") or "",
        key_defaults={key: items[key]["default"] for key in keys if "default" in (items.get(key) or {})},
    )
