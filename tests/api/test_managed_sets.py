"""Sets of field paths, against Python's own sets; and what becomes of them in store."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bireme.api import managed_packing
from bireme.api.managed_sets import (
    covers,
    difference,
    holds,
    intersection,
    path_text,
    paths,
    touches,
    union,
    without_below,
)

Path = tuple[str, ...]
elements = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"'])
path_sets = st.sets(st.lists(elements, min_size=1, max_size=3).map(tuple), max_size=8)


def trie(wanted: set[Path]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for path in wanted:
        node = made
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _tidied(made)


def _tidied(node: dict[str, Any]) -> dict[str, Any]:
    if node == {".": {}}:
        return {}
    return {key: below if key == "." else _tidied(below) for key, below in node.items()}


def below(path: Path, tops: set[Path]) -> bool:
    return any(path[: len(top)] == top for top in tops)


@given(path_sets)
def test_paths(one: set[Path]) -> None:
    assert set(paths(trie(one))) == one
    assert all(holds(trie(one), path) for path in one)


@given(path_sets, path_sets)
def test_as_pythons_sets(one: set[Path], other: set[Path]) -> None:
    left, right = trie(one), trie(other)
    assert union(left, right) == trie(one | other)
    assert difference(left, right) == trie(one - other)
    assert intersection(left, right) == trie(one & other)
    assert touches(left, right) is bool(one & other)
    assert covers(left, right) is (other <= one)
    assert without_below(left, right) == trie({path for path in one if not below(path, other)})
    assert (left, right) == (trie(one), trie(other))


@given(path_sets)
def test_what_is_packed_comes_out_again(one: set[Path]) -> None:
    fields = trie(one)
    token = managed_packing.packed(fields)
    assert managed_packing.unpacked(token) == fields
    assert managed_packing.packed(managed_packing.unpacked(token)) == token


def test_tokens_that_are_in_stores_can_be_read_for_good() -> None:
    """If this fails, the dictionary was changed: add another one under another number instead."""
    token = managed_packing.packed({"f:spec": {"f:replicas": {}}})
    assert token == TOKEN
    assert managed_packing.text_of(TOKEN.encode()) == b'{"f:spec":{"f:replicas":{}}}'


TOKEN = "~1Q21CIWeT2loA"


def test_paths_in_words() -> None:
    assert path_text(("f:spec", 'k:{"port":80,"protocol":"TCP"}', "f:x")) == '.spec[port=80,protocol="TCP"].x'
    assert path_text(("f:finalizers", 'v:"a"')) == '.finalizers[="a"]'
