"""Strategic merge patch: how a patch is merged depends on what the field is.

Maps are merged key by key, lists are replaced, unless the schema gives the list the strategy `merge`: then items
are paired by the merge key (or, for plain values, by what they are). Directives in the patch ask for more:
`$patch: replace | delete | merge`, `$retainKeys`, `$deleteFromPrimitiveList/FIELD`, `$setElementOrder/FIELD`.

The order of a merged list is that of `$setElementOrder`, then of the patch, then of the live list; new items
stand before live ones that the patch doesn't name. Source: apimachinery `pkg/util/strategicpatch` and the design
proposals "strategic merge patch" and "preserve order in strategic merge patch". Items are found by an index, so
that the cost stays linear.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from bireme.api.errors import BadRequest, Invalid
from bireme.api.shape import Field, Form, Node

PATCH = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_PRIMITIVES = "$deleteFromPrimitiveList"
SET_ORDER = "$setElementOrder"

BAD_PRIMITIVES = "invalid patch format of primitive list"
BAD_RETAIN_KEYS = "invalid patch format of retainKeys"
BAD_ORDER = "invalid patch format of setElementOrder list"

Map = dict[str, Any]
Key = tuple[str, Any]

_DIRECTIVES = (RETAIN_KEYS, f"{DELETE_PRIMITIVES}/", f"{SET_ORDER}/")
_NO_FIELD = Field(Node(Form.ANY, "interface {}"))


class StrategicMerge:
    """One merge. Both sides are changed on the way and partly used for the result: hand in copies.

    `plain` says that the patch has neither nulls nor directives, as most have: less is to be looked for then.
    """

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain

    def maps(self, live: Map, patch: Map, node: Node) -> Map:
        """The live map with the patch merged in."""
        if self._plain:
            for key, value in patch.items():
                old = live.get(key)
                alike = type(old) is type(value) and isinstance(value, dict | list)
                live[key] = self._value(old, value, _field(node, key)) if alike else value
            return live
        if PATCH in patch:
            return _replaced(patch)
        _retain_keys(live, patch)
        self._ordered_lists(live, patch, node)
        for key, value in patch.items():
            if key.startswith(DELETE_PRIMITIVES):
                _delete_primitives(live, key, value)
            elif value is None:
                live.pop(key, None)
            else:
                live[key] = self._value(live.get(key), value, _field(node, key))
        return live

    def _value(self, live: Any, value: Any, field: Field) -> Any:
        if isinstance(live, dict) and isinstance(value, dict):
            return _cleaned(value) if "replace" in field.patch_strategies else self.maps(live, value, field.node)
        if isinstance(live, list) and isinstance(value, list) and "merge" in field.patch_strategies:
            return self._lists(live, value, field)
        return value if self._plain else _cleaned(value)

    def _lists(self, live: list[Any], patch: list[Any], field: Field) -> list[Any]:
        if not live and not patch:
            return live
        if self._plain and (made := self._distinct_maps(live, patch, field)) is not None:
            return made
        merged, order = self._contents(live, patch, field)
        return merged if order is None else _ordered(merged, order, live, field.patch_merge_key)

    def _distinct_maps(self, live: list[Any], patch: list[Any], field: Field) -> list[Any] | None:
        """Lists of maps merged whose keys are all texts and all different; None for any others."""
        name = field.patch_merge_key
        if not name:
            return None
        try:
            known = {item[name]: item for item in live}
            said = {item[name]: item for item in patch}
        except (KeyError, TypeError, IndexError):
            return None
        if len(known) != len(live) or len(said) != len(patch) or not all(type(key) is str for key in (*known, *said)):
            return None
        inner = field.node.items or _NO_FIELD.node
        made = [item if key not in known else self.maps(known[key], item, inner) for key, item in said.items()]
        if known.keys() <= said.keys():
            return made
        return _ordered([*made, *(item for key, item in known.items() if key not in said)], patch, live, name)

    def _contents(self, live: list[Any], patch: list[Any], field: Field) -> tuple[list[Any], list[Any] | None]:
        """The items of a merged list, and those that count for the order: None if all is replaced."""
        if not _are_maps(live, patch):
            return _distinct([*live, *patch]), patch
        name = field.patch_merge_key
        if not name:
            raise BadRequest(f"cannot merge lists without merge key for type {field.node.go_type}")
        live, patch, replaced = _special_items(live, patch, name)
        if replaced:
            return patch, None
        places = {key: place for place, key in reversed(list(enumerate(_keys(live, name, required=False))))}
        merged = list(live)
        for item in patch:
            key = _key_of(item, name)
            place = places.get(key)
            if place is None:
                places[key] = len(merged)
                merged.append(_cleaned(item))
            else:
                merged[place] = self.maps(merged[place], item, field.node.items or _NO_FIELD.node)
        return merged, patch

    def _ordered_lists(self, live: Map, patch: Map, node: Node) -> None:
        """Merge the lists that come with an order, and take both out of the patch."""
        for directive in [key for key in patch if key.startswith(SET_ORDER)]:
            order = patch.pop(directive)
            name = _field_name(directive, BAD_ORDER)
            field = _field(node, name)
            old, new = live.get(name), patch.get(name)
            if not isinstance(order, list) or any(not isinstance(side, list | None) for side in (old, new)):
                raise BadRequest(BAD_ORDER)
            _check_order(new or [], order, field.patch_merge_key)
            if (old is None and new is None) or (name in patch and new is None):
                continue
            patch.pop(name, None)
            if old is None or new is None:
                merged = _cleaned(new) if old is None else old
            elif "merge" in field.patch_strategies:
                merged, _ = self._contents(old, new, field)
            else:
                merged = _cleaned(new)
            live[name] = _ordered(merged, order, old or [], field.patch_merge_key)


def _replaced(patch: Map) -> Map:
    """What a map with a directive of its own turns into."""
    directive = patch.pop(PATCH)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    raise BadRequest(f"unknown patch type: {directive} in map: {_shown(patch)}")


def _retain_keys(live: Map, patch: Map) -> None:
    if RETAIN_KEYS not in patch:
        return
    kept = patch.pop(RETAIN_KEYS)
    if not isinstance(kept, list) or not all(isinstance(key, str) for key in kept):
        raise BadRequest(BAD_RETAIN_KEYS)
    for key, value in patch.items():
        if value is not None and not key.startswith((DELETE_PRIMITIVES, SET_ORDER)) and key not in kept:
            raise BadRequest(BAD_RETAIN_KEYS)
    for key in live.keys() - set(kept):
        del live[key]


def _delete_primitives(live: Map, directive: str, gone: Any) -> None:
    name = _field_name(directive, BAD_PRIMITIVES)
    if gone is None:
        live.pop(name, None)
        return
    if not isinstance(gone, list):
        raise BadRequest(BAD_PRIMITIVES)
    if isinstance(live.get(name), list):
        keys = set(_keys(gone, ""))
        live[name] = [item for item in live[name] if _key(item) not in keys]


def _special_items(live: list[Any], patch: list[Any], name: str) -> tuple[list[Any], list[Any], bool]:
    """Carry out the items of a list patch that are directives; the rest, and whether it replaces the list."""
    plain, gone, replaced = [], set(), False
    for item in patch:
        directive = item.get(PATCH)
        if directive is None:
            plain.append(item)
        elif directive == "delete":
            gone.add(_key_of(item, name))
        elif directive == "replace":
            replaced = True
        elif directive == "merge":
            raise BadRequest("merging lists cannot yet be specified in the patch")
        else:
            raise BadRequest(f"unknown patch type: {directive} in map: {_shown(item)}")
    if gone:
        live = [item for item in live if name not in item or _key(item[name]) not in gone]
    return live, ([_cleaned(item) for item in plain] if replaced else plain), replaced


def _check_order(patch: list[Any], order: list[Any], name: str) -> None:
    """The items of the patch must stand in the order, and in that order."""
    wanted = [_key_of(item, name) for item in patch if not (isinstance(item, dict) and PATCH in item)]
    rest = iter(_keys(order, name))
    if order and not all(key in rest for key in wanted):
        raise BadRequest(
            f"The order in patch list:\n{_shown(patch)}\n doesn't match {SET_ORDER} list:\n{_shown(order)}\n"
        )


def _ordered(merged: list[Any], order: list[Any], live: list[Any], name: str) -> list[Any]:
    """Items in the order given; those it doesn't name keep their place among the live ones."""
    ranks = _ranks(_keys(order, name))
    live_ranks = _ranks(_keys(live, name, required=False))
    keyed = [(_key_of(item, name), item) for item in merged]
    named = sorted((pair for pair in keyed if pair[0] in ranks), key=lambda pair: ranks[pair[0]])
    others = [pair for pair in keyed if pair[0] not in ranks]
    others.sort(key=lambda pair: live_ranks.get(pair[0], len(live_ranks)))
    result = []
    place = 0
    for key, item in named:
        while place < len(others) and live_ranks.get(others[place][0], len(live)) < live_ranks.get(key, -1):
            result.append(others[place][1])
            place += 1
        result.append(item)
    return result + [item for _, item in others[place:]]


def _ranks(keys: Iterable[Key]) -> dict[Key, int]:
    ranks: dict[Key, int] = {}
    for place, key in enumerate(keys):
        ranks.setdefault(key, place)
    return ranks


def _distinct(items: list[Any]) -> list[Any]:
    first: dict[Key, Any] = {}
    for item in items:
        first.setdefault(_key(item), item)
    return list(first.values())


def _are_maps(*lists: list[Any]) -> bool:
    """Whether the items are maps; all must be alike, and none a list."""
    kinds = {_kind(item) for items in lists for item in items}
    if "list" in kinds:
        raise Invalid("lists of lists are not supported")
    if len(kinds) > 1:
        raise BadRequest(f"list element types are not identical: {_shown(list(lists))}")
    return kinds == {"map"}


_KINDS: dict[type, str] = {dict: "map", list: "list", bool: "bool", str: "string", int: "number", float: "number"}


def _kind(item: Any) -> str:
    return _KINDS.get(type(item), "null")


def _keys(items: list[Any], name: str, *, required: bool = True) -> list[Key]:
    return [_key_of(item, name) if required or _has(item, name) else ("", None) for item in items]


def _has(item: Any, name: str) -> bool:
    return not name or (isinstance(item, dict) and name in item)


def _key_of(item: Any, name: str) -> Key:
    """What tells an item from others: its merge key, or without one its value."""
    if not name:
        return _key(item)
    if not isinstance(item, dict):
        raise BadRequest("expected a map[string]interface {}, but received another type")
    if name not in item:
        raise BadRequest(f"map: {_shown(item)} does not contain declared merge key: {name}")
    return _key(item[name])


def _key(value: Any) -> Key:
    return (_kind(value), orjson.dumps(value) if isinstance(value, dict | list) else value)


def _field_name(directive: str, fault: str) -> str:
    prefix, slash, name = directive.partition("/")
    if not slash or prefix not in (DELETE_PRIMITIVES, SET_ORDER):
        raise BadRequest(fault)
    return name


def _field(node: Node, name: str) -> Field:
    if node.form is Form.OBJECT:
        return node.fields.get(name, _NO_FIELD)
    return Field(node.items) if node.form is Form.MAP and node.items is not None else _NO_FIELD


def _cleaned(value: Any) -> Any:
    """A value of the patch that meets nothing live: its nulls and directives have done their work."""
    if isinstance(value, dict):
        if PATCH in value:
            return _replaced(value)
        return {key: _cleaned(item) for key, item in value.items() if item is not None and not _is_directive(key)}
    if isinstance(value, list):
        return [_cleaned(item) for item in value if not (isinstance(item, dict) and PATCH in item)]
    return value


def _is_directive(key: str) -> bool:
    return key.startswith(_DIRECTIVES) and (key == RETAIN_KEYS or not key.startswith(RETAIN_KEYS))


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 300 else text[:300] + "..."
