import copy
import time
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.errors import ApiError, BadRequest, TooLarge
from bireme.api.patch import MAX_COPIED, MAX_OPERATIONS, PatchFailed, json_patch, merge_patch, same

keys = st.sampled_from(["a", "b", "c/d", "e~f", "", "0", "-"])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["x", "1", ""])
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=10
)
documents = st.dictionaries(keys, trees, max_size=4)


def pointers(tree: Any, base: str = "") -> list[str]:
    """Every path of a tree, and some that are not there."""
    found = [base]
    if isinstance(tree, dict):
        for key, value in tree.items():
            found += pointers(value, f"{base}/{key.replace('~', '~0').replace('/', '~1')}")
        found.append(f"{base}/new")
    elif isinstance(tree, list):
        for place, value in enumerate(tree):
            found += pointers(value, f"{base}/{place}")
        found += [f"{base}/-", f"{base}/{len(tree)}", f"{base}/{len(tree) + 1}", f"{base}/01"]
    return found


@st.composite
def patched(draw: st.DrawFn) -> tuple[Any, list[dict[str, Any]]]:
    tree = draw(documents)
    path = st.sampled_from([item for item in pointers(tree) if item])
    operations = []
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]))
        operation = {"op": name, "path": draw(path)}
        if name in ("add", "replace", "test"):
            operation["value"] = draw(trees)
        if name in ("move", "copy"):
            operation["from"] = draw(path)
        operations.append(operation)
    return tree, operations


def nested(depth: int) -> Any:
    tree: Any = {}
    for _ in range(depth):
        tree = {"x": tree}
    return tree


def unlike(operations: list[dict[str, Any]]) -> bool:
    """Where the other library is laxer, or thinks true to be 1: those have tests of their own."""
    texts = [item.get("path", "") + " " + item.get("from", "") for item in operations]
    return any("/01" in text for text in texts) or any(
        item["op"] == "test" or (item["op"] == "move" and item["path"].startswith(item["from"]))
        for item in operations
    )


@given(patched())
def test_json_patch_does_as_another_library(case: tuple[Any, list[dict[str, Any]]]) -> None:
    tree, operations = case
    if unlike(operations):
        return
    before = copy.deepcopy(tree)
    try:
        expected = jsonpatch.apply_patch(copy.deepcopy(tree), operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, KeyError, IndexError):
        with pytest.raises(ApiError):
            json_patch(tree, operations)
    else:
        assert json_patch(tree, operations) == expected
    assert tree == before


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "test", "path": "/a", "value": 1}, True),
        ({"op": "test", "path": "/a", "value": 1.0}, True),
        ({"op": "test", "path": "/a", "value": True}, False),
        ({"op": "test", "path": "/a", "value": "1"}, False),
        ({"op": "test", "path": "/missing", "value": None}, True),
        ({"op": "test", "path": "/missing", "value": 1}, False),
        ({"op": "test", "path": "/l", "value": [1, {"x": True}]}, True),
        ({"op": "test", "path": "/l", "value": [1, {"x": 1}]}, False),
        ({"op": "test", "path": "/l/1/x", "value": True}, True),
        ({"op": "test", "path": "", "value": {"a": 1, "l": [1, {"x": True}]}}, True),
        ({"op": "move", "from": "/l", "path": "/l/0"}, False),
        ({"op": "move", "from": "/a", "path": "/a"}, True),
        ({"op": "remove", "path": ""}, False),
        ({"op": "remove", "path": "/l/01"}, False),
        ({"op": "remove", "path": "/l/-"}, False),
        ({"op": "add", "path": "/l/3", "value": 1}, False),
        ({"op": "add", "path": "/a/x", "value": 1}, False),
        ({"op": "add", "path": "/x"}, False),
        ({"op": "add", "path": "x", "value": 1}, False),
        ({"op": "add", "value": 1}, False),
        ({"op": "nonsense", "path": "/x"}, False),
        ({"op": ["add"], "path": "/x"}, False),
        ({}, False),
    ],
)
def test_json_patch_edges(operation: dict[str, Any], expected: bool) -> None:
    tree = {"a": 1, "l": [1, {"x": True}]}
    if expected:
        assert json_patch(tree, [operation]) == tree
    else:
        with pytest.raises(PatchFailed) as caught:
            json_patch(tree, [operation])
        assert (caught.value.code, caught.value.reason) == (422, "Invalid")
        assert caught.value.message == "the server rejected our request due to an error in our request"


@pytest.mark.parametrize("operations", [None, {}, "x", [1], [None]])
def test_json_patch_must_be_a_list_of_operations(operations: Any) -> None:
    with pytest.raises(BadRequest, match="error decoding patch"):
        json_patch({}, operations)


@pytest.mark.parametrize(("count", "fits"), [(MAX_OPERATIONS, True), (MAX_OPERATIONS + 1, False)])
def test_the_edge_of_the_number_of_operations(count: int, fits: bool) -> None:
    operations = [{"op": "add", "path": "/a", "value": 1}] * count
    if fits:
        assert json_patch({}, operations) == {"a": 1}
    else:
        with pytest.raises(TooLarge, match=f"allowed maximum operations in a JSON patch is 10000, got {count}"):
            json_patch({}, operations)


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param(
            [{"op": "add", "path": "/a", "value": ["x" * 1000]}]
            + [{"op": "copy", "from": "/a", "path": "/a/-"} for _ in range(60)],
            id="copies that double",
        ),
        pytest.param(
            [{"op": "add", "path": "/a", "value": list(range(100_000))}]
            + [{"op": "add", "path": "/a/0", "value": 1}] * (MAX_OPERATIONS - 1),
            id="insertions that move all",
        ),
        pytest.param(
            [{"op": "add", "path": "/x" * (1 + 200 * place), "value": nested(200)} for place in range(10)],
            id="values in values",
        ),
        pytest.param([{"op": "copy", "from": "", "path": "/x"}] * MAX_OPERATIONS, id="a document in itself"),
    ],
)
def test_bombs_are_refused_soon(operations: list[Any]) -> None:
    started = time.process_time()
    with pytest.raises((TooLarge, PatchFailed)):
        json_patch({}, operations)
    assert time.process_time() - started < 4
    assert MAX_COPIED == 3 << 20


def reference(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2, word for word."""
    if isinstance(patch, dict):
        result = dict(target) if isinstance(target, dict) else {}
        for name, value in patch.items():
            if value is None:
                result.pop(name, None)
            else:
                result[name] = reference(result.get(name), value)
        return result
    return patch


@given(trees, documents)
def test_merge_patch_does_as_the_rfc_says(tree: Any, patch: dict[str, Any]) -> None:
    before, patch_before = copy.deepcopy(tree), copy.deepcopy(patch)
    assert merge_patch(tree, patch) == reference(tree, patch)
    assert (tree, patch) == (before, patch_before)


def test_merge_patch_gives_a_tree_of_its_own() -> None:
    tree, patch = {"a": {"b": [1]}}, {"c": {"d": [2]}}
    result = merge_patch(tree, patch)
    result["a"]["b"].append(3)
    result["c"]["d"].append(3)
    assert (tree, patch) == ({"a": {"b": [1]}}, {"c": {"d": [2]}})
    with pytest.raises(BadRequest):
        merge_patch(tree, [])


@given(trees, trees)
def test_same_is_equality_but_for_flags(left: Any, right: Any) -> None:
    assert same(left, copy.deepcopy(left))
    assert same(left, right) is same(right, left)
    if not same(left, right):
        assert repr(left) != repr(right)
