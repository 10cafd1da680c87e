"""Whether values are as a schema says, in the words of the original.

A schema is compiled once to closures, one for each node that can find a fault; a value that is right costs a
dictionary look-up for its type and one call for each rule that its schema states. Patterns are matched by RE2,
whose time is linear, so that none can stop the server. Source: the Kubernetes documentation; messages as
kube-openapi's `validation/errors` words them.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

from bireme.api.cel.regex import compiled
from bireme.api.structural.formats import FORMATS
from bireme.api.structural.places import Faults, Place
from bireme.api.structural.settling import items_of, values_of
from bireme.api.validation.field import Enough, shown

Tree = dict[str, Any]
Check = Callable[[Any, Place, Faults], None]

LONGEST_REMEMBERED = 256
INT_OR_STRING = "x-kubernetes-int-or-string"
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
_NAMES: Mapping[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
    type(None): "null",
}
_ALL = (str, int, float, bool, dict, list)
_HELD = (dict, list)
_NUMBERS = (int, float)


def compile_check(schema: Tree) -> Check | None:
    """What tells the faults of a value; None where nothing can be wrong with it."""
    types = _types_of(schema)
    steps: dict[type, list[Check]] = {kind: [] for kind in (types or _ALL)}
    for kinds, step in _steps(schema):
        for kind in kinds:
            if kind in steps:
                steps[kind].append(step)
    nullable = bool(schema.get("nullable"))
    if nullable or not types:
        steps.setdefault(type(None), [])
    if not types and not any(steps.values()):
        return None
    wanted = "integer,string" if schema.get(INT_OR_STRING) else schema.get("type", "")
    whole = wanted == "integer"
    table = {kind: tuple(found) for kind, found in steps.items()}
    ints = table.get(int, ())

    if len(table) == 1 and not whole:
        (only, found_only) = next(iter(table.items()))
        if len(found_only) == 1:
            return _single(only, found_only[0], wanted)

    def check(value: Any, place: Place, faults: Faults) -> None:
        found = table.get(value.__class__)
        if whole and value.__class__ in _NUMBERS:
            if not _is_whole(value):
                _wrong_type(float(value), wanted, place, faults)
                return
            found = ints
        if found is None:
            _wrong_type(value, wanted, place, faults)
            return
        for step in found:
            step(value, place, faults)

    return check


def plain_type(schema: Tree) -> type:
    """The type whose values cannot be wrong, so that they need no call; a type that no value has if there is none."""
    kind = _TYPES.get(schema.get("type") or "", ())
    return kind[0] if len(kind) == 1 and not _steps(schema) else _Nothing


def _single(only: type, step: Check, wanted: str) -> Check:
    """The check of values of one type for which there is one rule, which most are."""

    def check(value: Any, place: Place, faults: Faults) -> None:
        if value.__class__ is only:
            step(value, place, faults)
        else:
            _wrong_type(value, wanted, place, faults)

    return check


class _Nothing:
    """No value is of this type."""


_NOTHING = _Nothing()


def _types_of(schema: Tree) -> tuple[type, ...]:
    if schema.get(INT_OR_STRING):
        return (int, str)
    return _TYPES.get(schema.get("type") or "", ())


def _is_whole(value: float) -> bool:
    """Whether a number is an integer to clients: 64 bits, or a fraction of nothing that is told exactly."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value.is_integer() and abs(value) < 2**53


def _wrong_type(value: Any, wanted: str, place: Place, faults: Faults) -> None:
    name = _NAMES.get(value.__class__, "object")
    text = f'Invalid value: "{name}": {faults.text(place)} in body must be of type {wanted}: "{name}"'
    faults.add("FieldValueTypeInvalid", text, place)


def _steps(schema: Tree) -> list[tuple[tuple[type, ...], Check]]:
    """The rules of a schema with the types that each is for, in the order of the original."""
    steps: list[tuple[tuple[type, ...], Check]] = []
    for make, kinds in (
        (_junctors, _ALL),
        (_text, (str,)),
        (_number, (int, float)),
        (_list, (list,)),
        (_enum, _ALL),
        (_object, (dict,)),
    ):
        made = make(schema)
        if made is not None:
            steps.append((kinds, made))
    return steps


# Values with nothing in them


def _enum(schema: Tree) -> Check | None:
    allowed = schema.get("enum")
    if not allowed:
        return None
    listed = ", ".join(shown(value) for value in allowed)
    # Numbers are equal whatever they are written as, and none is a truth value.
    simple = {(isinstance(value, bool), value) for value in allowed if not isinstance(value, dict | list)}
    others = {_canonical(value) for value in allowed if isinstance(value, dict | list)}

    def check(value: Any, place: Place, faults: Faults) -> None:
        if value.__class__ in _HELD:
            if others and _canonical(value) in others:
                return
        elif (value.__class__ is bool, value) in simple:
            return
        text = f"Unsupported value: {shown(value)}: supported values: {listed}"
        faults.add("FieldValueNotSupported", text, place)

    return check


def _text(schema: Tree) -> Check | None:
    least, most = schema.get("minLength"), schema.get("maxLength")
    pattern, format_name = schema.get("pattern") or "", schema.get("format") or ""
    search = _matcher(pattern) if pattern else None
    fits = FORMATS.get(format_name.replace("datetime", "date-time"))
    if schema.get(INT_OR_STRING):
        fits = None
    if least is None and most is None and search is None and fits is None:
        return None

    if most is not None and least is None and search is None and fits is None:

        def short(value: str, place: Place, faults: Faults) -> None:
            if len(value) > most:
                faults.add("FieldValueTooLong", f"Too long: may not be more than {most} bytes", place)

        return short

    def check(value: str, place: Place, faults: Faults) -> None:
        if most is not None and len(value) > most:
            faults.add("FieldValueTooLong", f"Too long: may not be more than {most} bytes", place)
        if least is not None and len(value) < least:
            faults.must(value, f"should be at least {least} chars long", place)
        if search is not None and not search(value):
            faults.must(value, f"should match '{pattern}'", place)
        if fits is not None and not fits(value):
            faults.must(value, f"must be of type {format_name}: {shown(value)}", place)

    return check


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a pattern is found in a text; short texts, which come again and again, are remembered."""
    search = compiled(pattern).search
    known = functools.lru_cache(maxsize=512)(lambda text: search(text) is not None)
    return lambda text: known(text) if len(text) <= LONGEST_REMEMBERED else search(text) is not None


def _number(schema: Tree) -> Check | None:
    most, least, step = schema.get("maximum"), schema.get("minimum"), schema.get("multipleOf")
    if most is None and least is None and not step:
        return None
    below, above = bool(schema.get("exclusiveMaximum")), bool(schema.get("exclusiveMinimum"))

    def check(value: float, place: Place, faults: Faults) -> None:
        if most is not None and (value >= most if below else value > most):
            words = "less than" if below else "less than or equal to"
            faults.must(value, f"should be {words} {number(most)}", place)
        if least is not None and (value <= least if above else value < least):
            words = "greater than" if above else "greater than or equal to"
            faults.must(value, f"should be {words} {number(least)}", place)
        if step and not _is_multiple(value, step):
            faults.must(value, f"should be a multiple of {number(step)}", place)

    return check


def number(value: float) -> str:
    """A number as messages show it."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)


def _is_multiple(value: float, step: float) -> bool:
    if isinstance(value, int) and float(step).is_integer():
        return value % int(step) == 0
    parts = value / step
    return math.isfinite(parts) and parts == int(parts)


# Lists and maps


def _list(schema: Tree) -> Check | None:
    least, most = schema.get("minItems"), schema.get("maxItems")
    unique = bool(schema.get("uniqueItems"))
    items = items_of(schema)
    each = compile_check(items) if items is not None else None
    kind = schema.get("x-kubernetes-list-type") or ""
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ()) if kind == "map" else None
    if least is None and most is None and not unique and each is None and kind not in ("map", "set"):
        return None

    def check(value: list[Any], place: Place, faults: Faults) -> None:
        if each is not None:
            for index, item in enumerate(value):
                each(item, (place, (index, keys)), faults)
        if least is not None and len(value) < least:
            faults.must(len(value), f"should have at least {least} items", place)
        if most is not None and len(value) > most:
            text = f"Too many: {len(value)}: must have at most {most} items"
            faults.add("FieldValueTooMany", text, place)
        if unique and repeated(value):
            faults.must(value, "shouldn't contain duplicates", place)
        if keys is not None:
            _check_keys(value, keys, items or {}, place, faults)
        elif kind == "set":
            for index in repeated(value):
                faults.add(
                    "FieldValueDuplicate",
                    f"Duplicate value: {shown(value[index])}",
                    place,
                    f"{faults.text(place)}[{index}]",
                )

    return check


def repeated(values: list[Any]) -> list[int]:
    """The places of values that stand further ahead already."""
    seen: set[str] = set()
    found = []
    for index, value in enumerate(values):
        text = shown(value) if not isinstance(value, dict | list) else _canonical(value)
        if text in seen:
            found.append(index)
        seen.add(text)
    return found


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{shown(name)}:{_canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return shown(value)


def _check_keys(value: list[Any], keys: tuple[str, ...], items: Tree, place: Place, faults: Faults) -> None:
    defaults = {key: said.get("default") for key, said in (items.get("properties") or {}).items()}
    told = [
        {key: item.get(key, defaults.get(key)) for key in keys if item.get(key, defaults.get(key)) is not None}
        for item in value
        if isinstance(item, dict)
    ]
    if len(told) != len(value):
        return  # of a wrong type, which was said
    for index in repeated(told):
        faults.add(
            "FieldValueDuplicate", f"Duplicate value: {shown(told[index])}", place, f"{faults.text(place)}[{index}]"
        )


def _object(schema: Tree) -> Check | None:
    properties: Mapping[str, Tree] = schema.get("properties") or {}
    checks = [
        (name, plain_type(said), made)
        for name, said in properties.items()
        if (made := compile_check(said)) is not None
    ]
    values = values_of(schema)
    rest = compile_check(values) if values is not None else None
    rest_plain = plain_type(values) if values is not None else _Nothing
    refused = schema.get("additionalProperties") is False
    required = tuple(schema.get("required") or ())
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if not (checks or rest or refused or required or least is not None or most is not None):
        return None
    known = frozenset(properties)

    def check(value: Tree, place: Place, faults: Faults) -> None:
        if most is not None and len(value) > most:
            text = f"Too many: {len(value)}: must have at most {most} items"
            faults.add("FieldValueTooMany", text, place)
        if least is not None and len(value) < least:
            faults.must(len(value), f"should have at least {least} properties", place)
        for name in required:
            if name not in value:
                faults.add("FieldValueRequired", "Required value", place, (place, name))
        get = value.get
        for name, plain, below in checks:
            held = get(name, _NOTHING)
            if held.__class__ is not plain and held is not _NOTHING:
                below(held, (place, name), faults)
        if rest is not None:
            for name, held in value.items():
                if held.__class__ is not rest_plain and name not in known:
                    rest(held, (place, name), faults)
        elif refused:
            for name in value.keys() - known:
                faults.add(
                    "FieldValueInvalid",
                    f'Invalid value: "": {faults.text((place, name))} in body is a forbidden property',
                    place,
                )

    return check


# Schemas that hold together


def _junctors(schema: Tree) -> Check | None:
    # What stands in these may leave types out, which then are those of the schema around them.
    together = [compile_check(said) for said in schema.get("allOf") or ()]
    one = [compile_check(said) for said in schema.get("anyOf") or ()]
    exactly = [compile_check(said) for said in schema.get("oneOf") or ()]
    never = [compile_check(schema["not"])] if isinstance(schema.get("not"), dict) else []
    if not (together or one or exactly or never):
        return None

    def check(value: Any, place: Place, faults: Faults) -> None:
        if one and not (found := _alternatives(one, value, place, faults))[0]:
            _of_whole(faults, place, "must validate at least one schema (anyOf)")
            _take(faults, found[1], place)
        if exactly:
            count, best = _alternatives(exactly, value, place, faults)
            if count != 1:
                said = f"Found {count} valid alternatives" if count else "Found none valid"
                _of_whole(faults, place, f"must validate one and only one schema (oneOf). {said}")
                _take(faults, best, place)
        if together:
            tried = [_tried(below, value, place, faults) for below in together]
            wrong = [each for each in tried if each]
            if wrong:
                said = "" if len(wrong) < len(tried) else ". None validated"
                _of_whole(faults, place, f"must validate all the schemas (allOf){said}")
                for each in wrong:
                    _take(faults, each, place)
        if never and _alternatives(never, value, place, faults)[0]:
            _of_whole(faults, place, "must not validate the schema (not)")

    return check


def _alternatives(checks: list[Check | None], value: Any, place: Place, faults: Faults) -> tuple[int, Faults | None]:
    """How many of the schemas fit, and the faults of the one that fits best if none does."""
    count, best = 0, None
    for below in checks:
        tried = _tried(below, value, place, faults)
        if not tried:
            count += 1
        elif best is None or len(tried) < len(best):
            best = tried
    return count, None if count else best


def _tried(below: Check | None, value: Any, place: Place, faults: Faults) -> Faults:
    tried = Faults(faults.base)
    if below is not None:
        with contextlib.suppress(Enough):
            below(value, place, tried)
    return tried


def _take(faults: Faults, found: Faults | None, place: Place) -> None:
    if found is not None:
        faults.take(found, place)


def _of_whole(faults: Faults, place: Place, text: str) -> None:
    """A fault that the original files under no field at all."""
    name = faults.text(place)
    faults.add(
        "FieldValueInvalid", f'Invalid value: "": "{name}" {text}', place, "<nil>" if not faults.base else faults.base
    )
