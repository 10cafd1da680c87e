"""What a structural schema takes out of an object and puts into it: unknown fields, nulls, defaults.

A schema is compiled to closures once; each visits only what holds more than a value, so that an object that has
nothing unknown costs a set comparison for each of its maps. Source: the Kubernetes documentation of
CustomResourceDefinitions on pruning, defaulting, nullable fields and embedded resources.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bireme.api.structural.places import Place

Tree = dict[str, Any]
Unknown = Callable[[Place], None]
Prune = Callable[[Any, Place, Unknown], None]
Fill = Callable[[Any], None]

OWN_FIELDS = frozenset(("apiVersion", "kind", "metadata"))
PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
_SIMPLE = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Settler:
    """`prune(tree, place, unknown)` takes out what is unknown and tells its place; `fill(tree)` puts in defaults."""

    prune: Prune
    fill: Fill


def compile_settler(schema: Tree) -> Settler:
    """The settler of the schema of a whole object."""
    return Settler(_pruner(schema, root=True, preserving=False), _filler(schema, root=True))


def items_of(schema: Tree) -> Tree | None:
    """The schema of a list's items."""
    items = schema.get("items")
    return items if isinstance(items, dict) else None


def values_of(schema: Tree) -> Tree | None:
    """The schema of a map's values: none where they are allowed or refused outright."""
    said = schema.get("additionalProperties")
    return said if isinstance(said, dict) else None


def _pruner(schema: Tree | None, *, root: bool, preserving: bool) -> Prune:
    if schema is None:
        return _keep if preserving else _drop_all
    preserving = bool(schema.get(PRESERVE))
    embedded = root or bool(schema.get(EMBEDDED))
    properties: Mapping[str, Tree] = schema.get("properties") or {}
    own = OWN_FIELDS if embedded else frozenset()
    known = frozenset(properties) | own
    children = [
        (name, _pruner(said, root=False, preserving=False))
        for name, said in properties.items()
        if name not in own and _holds_more(said)
    ]
    open_ended = bool(schema.get("additionalProperties"))
    rest = _pruner(values_of(schema), root=False, preserving=False) if open_ended else None
    items = items_of(schema)
    each = _pruner(items, root=False, preserving=preserving)

    def prune(value: Any, place: Place, unknown: Unknown) -> None:
        if isinstance(value, dict):
            if not value.keys() <= known:
                for name in [name for name in value if name not in known]:
                    if rest is not None:
                        if not isinstance(value[name], _SIMPLE):
                            rest(value[name], (place, name), unknown)
                    elif not preserving:
                        unknown((place, name))
                        del value[name]
            for name, child in children:
                found = value.get(name)
                if found:
                    child(found, (place, name), unknown)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if not isinstance(item, _SIMPLE):
                    each(item, (place, (index, None)), unknown)

    return prune


def _holds_more(schema: Tree) -> bool:
    """Whether values may have something in them; where the type is not said, they may."""
    return schema.get("type") not in ("string", "integer", "number", "boolean")


def _keep(value: Any, place: Place, unknown: Unknown) -> None:
    return None


def _drop_all(value: Any, place: Place, unknown: Unknown) -> None:
    """No schema speaks of what is in here, so nothing of it is known."""
    if isinstance(value, dict):
        for name in list(value):
            unknown((place, name))
            del value[name]
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _drop_all(item, (place, (index, None)), unknown)


def _filler(schema: Tree, *, root: bool) -> Fill:
    own = OWN_FIELDS if root or schema.get(EMBEDDED) else frozenset()
    properties: Mapping[str, Tree] = {k: v for k, v in (schema.get("properties") or {}).items() if k not in own}
    defaults = [(name, _maker(said["default"])) for name, said in properties.items() if "default" in said]
    nullable = frozenset(name for name, said in properties.items() if said.get("nullable"))
    plain = frozenset(name for name in properties if name not in nullable)
    children = [(name, _filler(said, root=False)) for name, said in properties.items() if _holds_more(said)]
    values = values_of(schema)
    rest = _filler(values, root=False) if values is not None else None
    rest_nulls = values is not None and not values.get("nullable")
    items = items_of(schema)
    each = _filler(items, root=False) if items is not None else None

    def fill(value: Any) -> None:
        if isinstance(value, dict):
            if None in value.values():
                for name in [name for name, held in value.items() if held is None]:
                    if name in plain or (rest_nulls and name not in properties and name not in own):
                        del value[name]
            for name, make in defaults:
                if name not in value:
                    value[name] = make()
            for name, child in children:
                found = value.get(name)
                if found.__class__ is dict or found.__class__ is list:
                    child(found)
            if rest is not None:
                for name, held in value.items():
                    if name not in properties and name not in own:
                        rest(held)
        elif each is not None and isinstance(value, list):
            for item in value:
                each(item)

    return fill


def _maker(default: Any) -> Callable[[], Any]:
    if isinstance(default, _SIMPLE):
        return lambda: default
    return lambda: copy.deepcopy(default)


@dataclass(frozen=True, slots=True)
class Embedded:
    """An object in an object, what stood in its place before, and where that is."""

    held: Tree
    before: Any
    place: Place


def embedded_places(schema: Tree) -> Callable[[Tree, Any], list[Embedded]] | None:
    """Finds the embedded objects in an object and its old state; None where the schema has none."""
    finder = _finder(schema)
    if finder is None:
        return None

    def find(tree: Tree, old: Any) -> list[Embedded]:
        found: list[Embedded] = []
        finder(tree, old, None, found)
        return found

    return find


Finder = Callable[[Any, Any, Place, list[Embedded]], None]


def _finder(schema: Tree, *, root: bool = True) -> Finder | None:
    here = not root and bool(schema.get(EMBEDDED))
    children = [
        (name, below)
        for name, said in (schema.get("properties") or {}).items()
        if (below := _finder(said, root=False)) is not None
    ]
    values, items = values_of(schema), items_of(schema)
    rest = _finder(values, root=False) if values is not None else None
    each = _finder(items, root=False) if items is not None else None
    if not (here or children or rest or each):
        return None
    names = frozenset(name for name, _ in children)

    def find(value: Any, old: Any, place: Place, found: list[Embedded]) -> None:
        if isinstance(value, dict):
            if here:
                found.append(Embedded(value, old, place))
            was = old if isinstance(old, dict) else {}
            for name, below in children:
                if name in value:
                    below(value[name], was.get(name), (place, name), found)
            if rest is not None:
                for name, held in value.items():
                    if name not in names:
                        rest(held, was.get(name), (place, name), found)
        elif each is not None and isinstance(value, list):
            were = old if isinstance(old, list) else []
            for index, item in enumerate(value):
                each(item, were[index] if index < len(were) else None, (place, (index, None)), found)

    return find
