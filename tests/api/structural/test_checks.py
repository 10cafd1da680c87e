"""What schemas find wrong with values, in which words, and how little that may cost."""

import time
from typing import Any

import pytest

from bireme.api.structural.checks import compile_check
from bireme.api.structural.paths import BadPath, compile_path
from bireme.api.structural.places import Faults, text_of
from bireme.api.structural.ratchet import Ratchet
from bireme.api.structural.settling import compile_settler

Tree = dict[str, Any]


def faults(schema: Tree, value: Any) -> list[tuple[str, str]]:
    check, found = compile_check(schema), Faults()
    if check is not None:
        check(value, None, found)
    return [(cause.field, cause.message) for cause in found.causes]


ONE_OF: Tree = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
    "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
}


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        pytest.param({"type": "integer"}, 2**63, 'must be of type integer: "number"', id="too many bits"),
        pytest.param(
            {"type": "integer"}, 2.0**53, 'must be of type integer: "number"', id="too large for a fraction"
        ),
        pytest.param({"type": "integer"}, 1.5, 'must be of type integer: "number"', id="a fraction"),
        pytest.param({"type": "integer"}, True, 'must be of type integer: "boolean"', id="a flag is no number"),
        pytest.param({"type": "number", "multipleOf": 0.5}, 0.7, "should be a multiple of 0.5", id="multiple"),
        pytest.param({"type": "string", "format": "ipv4"}, "::1", 'must be of type ipv4: "::1"', id="format"),
        pytest.param({"type": "array", "minItems": 2}, [1], "should have at least 2 items", id="too few items"),
        pytest.param({"type": "string", "format": "creditcard"}, "²" * 16, "must be of type", id="raised digits"),
        pytest.param(
            {"type": "string", "format": "isbn10"}, "²" * 10, "must be of type", id="raised digits of a book"
        ),
        pytest.param({"type": "integer", "enum": [1]}, True, "must be of type", id="a flag is none of the numbers"),
        pytest.param(ONE_OF, {}, "must validate one and only one schema (oneOf). Found none valid", id="none of"),
        pytest.param(ONE_OF, {"a": "", "b": ""}, "(oneOf). Found 2 valid alternatives", id="both of what may be one"),
        pytest.param({"type": "string", "not": {"enum": ["x"]}}, "x", "must not validate the schema (not)", id="not"),
    ],
)
def test_faults(schema: Tree, value: Any, message: str) -> None:
    assert message in faults(schema, value)[0][1]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param({"type": "integer"}, 2.0, id="a whole number with a point"),
        pytest.param({"type": "integer"}, -(2**63), id="the least of 64 bits"),
        pytest.param({"type": "integer", "format": "int32"}, 2**31, id="a format of numbers, which nobody holds to"),
        pytest.param({"type": "string", "nullable": True}, None, id="a null that may be"),
        pytest.param({"type": "string", "format": "of-their-own"}, "x", id="a format that nobody knows"),
        pytest.param({"x-kubernetes-int-or-string": True}, "80%", id="int or string"),
    ],
)
def test_fine(schema: Tree, value: Any) -> None:
    assert faults(schema, value) == []


def test_an_update_is_excused_by_what_stands_under_the_same_key() -> None:
    item = {"type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "integer", "maximum": 1}}}
    listed = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}
    check = compile_check({"type": "object", "properties": {"l": listed}})
    new, old = {"l": [{"n": "b", "v": 3}, {"n": "a", "v": 2}]}, {"l": [{"n": "a", "v": 2}, {"n": "b", "v": 2}]}
    found = Faults(excuse=Ratchet(new, old))
    assert check is not None
    check(new, None, found)
    assert [cause.field for cause in found.causes] == ["l[0].v"]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param({"type": "string", "pattern": "(a+)+$"}, "a" * 50_000 + "b", id="a pattern that explodes"),
        pytest.param({"type": "array", "x-kubernetes-list-type": "set"}, list(range(50_000)), id="a large set"),
    ],
)
def test_no_value_takes_long(schema: Tree, value: Any) -> None:
    began = time.process_time()
    faults(schema, value)
    assert time.process_time() - began < 4


def test_constraints_within_constraints_cost_no_more_than_their_number() -> None:
    schema: Tree = {"type": "object", "required": ["a"]}
    for _ in range(60):
        schema = {"allOf": [schema]}
    began = time.process_time()
    assert faults(schema, {})
    assert time.process_time() - began < 2


def test_pruning_goes_through_what_is_open_to_what_is_said() -> None:
    inner = {"type": "object", "properties": {"known": {"type": "string"}}}
    schema = {
        "type": "object",
        "properties": {"open": {"x-kubernetes-preserve-unknown-fields": True, "properties": {"inner": inner}}},
    }
    tree: Tree = {"kind": "X", "open": {"any": {"x": 1}, "inner": {"known": "", "odd": 1}}, "odd": 1}
    unknown: list[str] = []
    compile_settler(schema).prune(tree, None, lambda place: unknown.append(text_of(place)))
    assert tree == {"kind": "X", "open": {"any": {"x": 1}, "inner": {"known": ""}}}
    assert sorted(unknown) == ["odd", "open.inner.odd"]


def test_defaults_are_made_anew_for_each_object() -> None:
    fill = compile_settler({"properties": {"a": {"type": "array", "default": []}}}).fill
    first: Tree = {"a": None}
    fill(first)
    first["a"].append(1)
    second: Tree = {}
    fill(second)
    assert second == {"a": []}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        ("{.l[*].n}", ["x", "y"]),
        (".l[-1].n", ["y"]),
        ('.l[?(@.n=="x")].v', [5]),
        ("..v", [5, 6]),
        (".m['x.y/z']", [7]),
        (r".m.x\.y/z", [7]),
        (".none", []),
    ],
)
def test_paths(path: str, found: list[Any]) -> None:
    tree = {"a": {"b": 1}, "l": [{"n": "x", "v": 5}, {"n": "y", "v": 6}], "m": {"x.y/z": 7}}
    assert compile_path(path)(tree) == found


def test_no_path() -> None:
    with pytest.raises(BadPath):
        compile_path(".a[(")
