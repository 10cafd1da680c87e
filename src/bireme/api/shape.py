"""Definitions compiled to nodes: what stands where in an object, ready to be walked.

A node is made with all that it reaches when a kind is first asked for. Source: the `x-kubernetes-*` extensions
of the Kubernetes OpenAPI document; type names as Go prints them, since error messages carry them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from bireme.api.definitions import REF, Definition

_MACHINERY = "io.k8s.apimachinery.pkg."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."


class Form(Enum):
    """What a value is on the wire."""

    OBJECT = auto()
    MAP = auto()
    LIST = auto()
    STRING = auto()
    INT32 = auto()
    INT64 = auto()
    NUMBER = auto()
    BOOLEAN = auto()
    BYTES = auto()
    TIME = auto()
    QUANTITY = auto()
    INT_OR_STRING = auto()
    ANY = auto()


@dataclass(slots=True, eq=False)
class Node:
    """One type. `fields` is for objects, `items` for what a list or map holds; both are shared: don't change them."""

    form: Form
    go_type: str
    fields: "dict[str, Field]" = field(default_factory=dict)
    items: "Node | None" = None
    atomic: bool = False


DEDUCED = Node(Form.ANY, "deduced")
"""What has no schema and is taken as it comes."""


@dataclass(slots=True, eq=False)
class Field:
    """A field of an object: its type, and how lists and maps in it are merged."""

    node: Node
    list_type: str = ""
    list_map_keys: tuple[str, ...] = ()
    map_type: str = ""
    patch_strategies: frozenset[str] = frozenset()
    patch_merge_key: str = ""
    key_defaults: Mapping[str, Any] = field(default_factory=dict)


# Types that are read by hand in Go, with what is to be read in their place.
_BY_HAND: dict[str, tuple[Form, str]] = {
    f"{_MACHINERY}api.resource.Quantity": (Form.QUANTITY, "resource.Quantity"),
    f"{_MACHINERY}util.intstr.IntOrString": (Form.INT_OR_STRING, "intstr.IntOrString"),
    f"{_MACHINERY}apis.meta.v1.Time": (Form.TIME, "v1.Time"),
    f"{_MACHINERY}apis.meta.v1.MicroTime": (Form.TIME, "v1.MicroTime"),
    f"{_MACHINERY}apis.meta.v1.FieldsV1": (Form.ANY, "v1.FieldsV1"),
    f"{_MACHINERY}apis.meta.v1.Patch": (Form.ANY, "v1.Patch"),
    f"{_MACHINERY}runtime.RawExtension": (Form.ANY, "runtime.RawExtension"),
    f"{_EXTENSIONS}JSON": (Form.ANY, "v1.JSON"),
    f"{_EXTENSIONS}JSONSchemaPropsOrArray": (Form.ANY, "v1.JSONSchemaPropsOrArray"),
    f"{_EXTENSIONS}JSONSchemaPropsOrBool": (Form.ANY, "v1.JSONSchemaPropsOrBool"),
    f"{_EXTENSIONS}JSONSchemaPropsOrStringArray": (Form.ANY, "v1.JSONSchemaPropsOrStringArray"),
    f"{_EXTENSIONS}CustomResourceSubresourceStatus": (Form.ANY, "v1.CustomResourceSubresourceStatus"),
}
_SCALARS: dict[tuple[str, str], tuple[Form, str]] = {
    ("string", ""): (Form.STRING, "string"),
    ("string", "byte"): (Form.BYTES, "[]uint8"),
    ("string", "date-time"): (Form.TIME, "v1.Time"),
    ("integer", "int32"): (Form.INT32, "int32"),
    ("integer", "int64"): (Form.INT64, "int64"),
    ("integer", ""): (Form.INT64, "int64"),
    ("number", "double"): (Form.NUMBER, "float64"),
    ("number", ""): (Form.NUMBER, "float64"),
    ("boolean", ""): (Form.BOOLEAN, "bool"),
}


# Keys of list items that may be left out, with what they are then: the published schema does not tell.
_KEY_DEFAULTS: Mapping[str, Any] = {"protocol": "TCP"}


class Shapes:
    """Nodes by the name of their definition, each made once."""

    def __init__(self, definition: Callable[[str], Definition]) -> None:
        self._definition = definition
        self._nodes: dict[str, Node] = {}

    def node(self, name: str) -> Node:
        """The node of a definition; KeyError if there is none."""
        known = self._nodes.get(name)
        if known is not None:
            return known
        if name in _BY_HAND:
            form, go_type = _BY_HAND[name]
            node = self._nodes[name] = Node(form, go_type)
            return node
        definition = self._definition(name)
        node = self._nodes[name] = Node(Form.OBJECT, ".".join(name.split(".")[-2:]))
        self._fill(node, definition)
        return node

    def _fill(self, node: Node, definition: Definition) -> None:
        node.atomic = definition.get("x-kubernetes-map-type") == "atomic"
        node.fields = {name: self._field(said) for name, said in definition.get("properties", {}).items()}

    def _field(self, said: Definition) -> Field:
        strategy: str = said.get("x-kubernetes-patch-strategy", "")
        return Field(
            self._node_of(said),
            said.get("x-kubernetes-list-type", ""),
            tuple(said.get("x-kubernetes-list-map-keys", ())),
            said.get("x-kubernetes-map-type", ""),
            frozenset(strategy.split(",")) if strategy else frozenset(),
            said.get("x-kubernetes-patch-merge-key", ""),
            {
                name: _KEY_DEFAULTS[name]
                for name in said.get("x-kubernetes-list-map-keys", ())
                if name in _KEY_DEFAULTS
            },
        )

    def _node_of(self, said: dict[str, Any]) -> Node:
        if "$ref" in said:
            return self.node(said["$ref"].removeprefix(REF))
        kind = said.get("type")
        if kind == "array":
            items = self._node_of(said.get("items", {}))
            return Node(Form.LIST, f"[]{items.go_type}", items=items)
        if kind == "object" and said.get("properties"):
            node = Node(Form.OBJECT, "struct")
            self._fill(node, said)
            return node
        if kind == "object" and "additionalProperties" in said:
            items = self._node_of(said["additionalProperties"])
            return Node(Form.MAP, f"map[string]{items.go_type}", items=items)
        form, go_type = _SCALARS.get((kind or "", said.get("format", "")), (Form.ANY, "interface {}"))
        return Node(form, go_type)
