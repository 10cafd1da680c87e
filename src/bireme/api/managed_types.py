"""How the parts of an object are owned: a compiled definition (`shape.py`) in the terms of field ownership.

Scalars, and lists and maps that are atomic, are owned whole; maps and structs field by field; lists of type `map`
item by item, known by their keys; lists of type `set` item by item, known by their value. What has no schema is
taken as it comes: maps field by field, the rest whole. Source: the `x-kubernetes-list-type`, `-list-map-keys` and
`-map-type` extensions; where a published list has no type, its patch strategy tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from bireme.api.managed_sets import key_element, value_element
from bireme.api.shape import DEDUCED, Field, Form, Node

ABSENT: Any = object()

MOST_TYPES = 50_000


class Owned(Enum):
    """By what a value is owned."""

    WHOLE = auto()
    FIELDS = auto()
    KEYS = auto()
    VALUES = auto()
    AS_IT_COMES = auto()


@dataclass(slots=True, eq=False)
class Typed:
    """How one value is owned. `items` is how what a map or list holds is; structs without it are closed."""

    owned: Owned
    form: Form = Form.ANY
    fields: "dict[str, Typed]" = field(default_factory=dict, repr=False)
    items: "Typed | None" = field(default=None, repr=False)
    keys: tuple[str, ...] = ()
    key_defaults: Mapping[str, Any] = field(default_factory=dict)

    def of(self, value: Any) -> Owned:
        """By what `value` is owned, whatever its schema leaves open."""
        if self.owned is not Owned.AS_IT_COMES:
            return self.owned
        return Owned.FIELDS if isinstance(value, dict) else Owned.WHOLE

    def field(self, name: str) -> "Typed | None":
        """How the field or map entry of that name is owned; None if there is none."""
        return self.fields.get(name) or self.items

    def element(self, item: Any) -> str:
        """The path element of a list item. Raises KeyError where it lacks a key, TypeError where it has none."""
        if self.owned is Owned.VALUES:
            return value_element(item)
        return key_element(self.keys, *self.key_of(item))

    def key_of(self, item: Any) -> tuple[Any, ...]:
        """What the item of a list is known by; raises as `element` does."""
        if not isinstance(item, dict):
            raise TypeError(item)
        if len(self.keys) == 1 and (only := item.get(self.keys[0])) is not None:
            return (only,)
        found = []
        for name in self.keys:
            value = item.get(name)
            found.append(self.key_defaults[name] if value is None else value)
        return tuple(found)


OPEN = Typed(Owned.AS_IT_COMES)
OPEN.items = OPEN


class TypeBook:
    """The ownership of nodes, worked out once for each."""

    def __init__(self) -> None:
        self._known: dict[tuple[Node, str, tuple[str, ...], str], Typed] = {}
        self._whole: dict[Node, Typed] = {}

    def of(self, node: Node) -> Typed:
        """How an object of that shape is owned."""
        whole = self._whole.get(node)
        if whole is not None:
            return whole
        if len(self._known) > MOST_TYPES:
            self._known.clear()  # definitions of custom kinds come and go
            self._whole.clear()
        whole = self._whole[node] = self._typed(Field(node))
        return whole

    def _typed(self, said: Field) -> Typed:
        if said.node is DEDUCED:
            return OPEN
        list_type, keys = said.list_type, said.list_map_keys
        if not list_type and "merge" in said.patch_strategies and said.node.form is Form.LIST:
            list_type, keys = ("map", (said.patch_merge_key,)) if said.patch_merge_key else ("set", ())
        place = (said.node, list_type, keys, said.map_type)
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = Typed(Owned.WHOLE, said.node.form, keys=keys, key_defaults=said.key_defaults)
            self._fill(known, said.node, list_type, said.map_type)
        return known

    def _fill(self, made: Typed, node: Node, list_type: str, map_type: str) -> None:
        if node.form in (Form.OBJECT, Form.MAP):
            if map_type == "atomic" or (node.atomic and map_type != "granular"):
                return
            made.owned = Owned.FIELDS
            made.fields = {name: self._typed(said) for name, said in node.fields.items()}
        elif node.form is Form.LIST and list_type in ("map", "set"):
            made.owned = Owned.KEYS if list_type == "map" else Owned.VALUES
        else:
            return
        made.items = None if node.items is None else self._typed(Field(node.items))
