"""Server-side apply against a plain model: an object as values by path, and for each manager the paths it owns."""

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api.apply import Clashes, apply
from bireme.api.apply_check import faults
from bireme.api.managed import APPLY, UPDATE, Entry, Manager, decode, updated
from bireme.api.managed_diff import compare, fields_of, fitted
from bireme.api.managed_sets import EVERYTHING, paths
from bireme.api.managed_types import TypeBook
from bireme.api.shape import Shapes

Tree = dict[str, Any]
Path = tuple[str, ...]

STRING = {"type": "string"}
DEFINITIONS: dict[str, Any] = {
    "Thing": {
        "type": "object",
        "properties": {
            "colour": STRING,
            "atom": {"type": "array", "items": STRING, "x-kubernetes-list-type": "atomic"},
            "whole": {"type": "object", "additionalProperties": STRING, "x-kubernetes-map-type": "atomic"},
            "data": {"type": "object", "additionalProperties": STRING},
            "tags": {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
            "items": {
                "type": "array",
                "items": {"$ref": "#/definitions/Item"},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        },
    },
    "Item": {
        "type": "object",
        "properties": {"name": STRING, "image": STRING, "args": {"type": "array", "items": STRING}},
    },
}
THING = TypeBook().of(Shapes(DEFINITIONS.__getitem__).node("Thing"))
NOW = "2026-01-01T00:00:00Z"

names = st.sampled_from("abc")
values = st.sampled_from("123")
things = st.fixed_dictionaries(
    {},
    optional={
        "colour": values,
        "atom": st.lists(values, min_size=1, max_size=2),
        "whole": st.dictionaries(names, values, min_size=1, max_size=2),
        "data": st.dictionaries(names, values, min_size=1, max_size=3),
        "tags": st.lists(names, min_size=1, max_size=3, unique=True),
        "items": st.lists(
            st.fixed_dictionaries(
                {"name": names}, optional={"image": values, "args": st.lists(values, min_size=1, max_size=2)}
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda item: item["name"],
        ),
    },
)
deeds = st.lists(
    st.tuples(st.sampled_from(["apply", "force", "update"]), st.sampled_from(["m1", "m2", "m3"]), things), max_size=8
)


def flat(tree: Tree) -> dict[Path, Any]:
    """Values by path; items of lists, which are there by themselves, have None."""
    made: dict[Path, Any] = {}
    for name, value in tree.items():
        at = f"f:{name}"
        if name == "data":
            made |= {(at, f"f:{key}"): text for key, text in value.items()}
        elif name == "tags":
            made |= {(at, f'v:"{tag}"'): tag for tag in value}
        elif name == "items":
            for item in value:
                here = (at, f'k:{{"name":"{item["name"]}"}}')
                made[here] = None
                made |= {(*here, f"f:{key}"): text for key, text in item.items()}
        else:
            made[at,] = value
    return made


@dataclass
class Model:
    """What should be: small, slow and plain."""

    live: dict[Path, Any] = field(default_factory=dict)
    applied: dict[str, set[Path]] = field(default_factory=dict)
    updates: dict[str, set[Path]] = field(default_factory=dict)

    def everyone(self) -> list[set[Path]]:
        return [*self.applied.values(), *self.updates.values()]

    def apply(self, manager: str, config: dict[Path, Any], *, force: bool) -> set[Path]:
        """The clashes; nothing is done if there are any and it is not forced."""
        others = [owned for owned in self.everyone() if owned is not self.applied.get(manager)]
        new = self.live | config
        unsaid = self.applied.get(manager, set()) - config.keys()
        gone = {path for path in unsaid if not any(path in owned for owned in others)}
        new = {path: value for path, value in new.items() if not any(path[: len(top)] == top for top in gone)}
        differs = {path for path in new if path not in self.live or self.live[path] != new[path]}
        clashes = {path for path in differs if any(path in owned for owned in others)}
        if clashes and not force:
            return clashes
        self._settle(new, differs, others)
        self.applied[manager] = set(config)
        return set()

    def update(self, manager: str, new: dict[Path, Any]) -> None:
        own = self.updates.setdefault(manager, set())
        differs = {path for path in new if path not in self.live or self.live[path] != new[path]}
        tops = {path[:1] for path in self.live} | {(), *()}
        made = {path[:1] for path in new if len(path) > 1 and path[:1] not in tops}
        lost = {path[:1] for path in self.live if path[:1] not in {path[:1] for path in new}}
        self._settle(new, differs, self.everyone())
        for owned in self.everyone():
            owned -= lost
        own |= differs | made

    def _settle(self, new: dict[Path, Any], differs: set[Path], losers: list[set[Path]]) -> None:
        for owned in losers:
            owned -= differs
        tops = {path[:1] for path in new}
        for owned in self.everyone():
            owned -= {path for path in owned if path not in new and not (len(path) == 1 and path in tops)}
        self.live = new


def owned_paths(entries: list[Entry], operation: str) -> dict[str, set[Path]]:
    return {entry.manager.name: set(paths(entry.fields)) for entry in entries if entry.manager.operation == operation}


@settings(max_examples=400, deadline=None)
@given(deeds)
def test_as_the_model_has_it(said: list[tuple[str, str, Tree]]) -> None:
    model, tree, entries = Model(), {}, []
    for deed, name, thing in said:
        before = orjson.dumps(tree)
        if deed == "update":
            manager = Manager(name, UPDATE, "v1")
            entries = updated(entries, manager, compare(THING, tree, thing), EVERYTHING, now=NOW)
            tree = thing
            model.update(name, flat(thing))
        else:
            manager = Manager(name, APPLY, "v1")
            force = deed == "force"
            clashes = model.apply(name, flat(thing), force=force)
            fields = fields_of(THING, thing)
            if clashes and not force:
                with pytest.raises(Clashes) as refused:
                    apply(THING, tree, thing, fields, entries, manager, EVERYTHING, force=False, now=NOW)
                assert {clash.path for clash in refused.value.clashes} == clashes
                continue
            made = apply(THING, tree, thing, fields, entries, manager, EVERYTHING, force=force, now=NOW)
            assert orjson.dumps(tree) == before  # what was live stays as it was
            tree, entries = made.tree, made.entries
        assert flat(tree) == model.live
        assert owned_paths(entries, APPLY) == {name: owned for name, owned in model.applied.items() if owned}
        assert owned_paths(entries, UPDATE) == {name: owned for name, owned in model.updates.items() if owned}


@given(things, things)
def test_applying_twice_is_applying_once(live: Tree, config: Tree) -> None:
    manager = Manager("m", APPLY, "v1")
    fields = fields_of(THING, config)
    once = apply(THING, live, config, fields, [], manager, EVERYTHING, force=False, now=NOW)
    again = apply(THING, once.tree, config, fields, once.entries, manager, EVERYTHING, force=False, now="later")
    assert again.tree is once.tree
    assert again.entries == once.entries


@given(things, things)
def test_an_apply_that_takes_all_back_leaves_what_was_there(live: Tree, config: Tree) -> None:
    """Where nothing that was there is set by it."""
    config = {name: value for name, value in config.items() if name not in live}
    manager = Manager("m", APPLY, "v1")
    made = apply(THING, live, config, fields_of(THING, config), [], manager, EVERYTHING, force=False, now=NOW)
    back = apply(THING, made.tree, {}, {}, made.entries, manager, EVERYTHING, force=False, now=NOW)
    assert back.tree == live
    assert back.entries == []


@pytest.mark.parametrize(
    ("live", "config", "expected"),
    [
        pytest.param("abc", "cb", "acb", id="shared items stand as the configuration says"),
        pytest.param("abc", "d", "abcd", id="new items come last"),
        pytest.param("ab", "ca", "cab", id="unless the configuration has them before others"),
        pytest.param("abcd", "da", "bcda", id="others keep their place among their neighbours"),
        pytest.param("", "ba", "ba", id="nothing was there"),
    ],
)
def test_order_of_items(live: str, config: str, expected: str) -> None:
    tree, said = ({"items": [{"name": name} for name in text]} for text in (live, config))
    made = apply(
        THING, tree, said, fields_of(THING, said), [], Manager("m", APPLY, "v1"), EVERYTHING, force=False, now=NOW
    )
    assert "".join(item["name"] for item in made.tree["items"]) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param({"size": 1}, ".size: field not declared in schema", id="an unknown field"),
        pytest.param({"colour": {}}, ".colour: expected string, got map", id="a map for a string"),
        pytest.param({"colour": 7}, ".colour: expected string, got 7", id="a number for a string"),
        pytest.param({"data": []}, ".data: expected map, got list", id="a list for a map"),
        pytest.param(
            {"items": [{"name": "a"}, {"name": "a"}]},
            '.items: duplicate entries for key [name="a"]',
            id="an item twice",
        ),
        pytest.param({"tags": ["a", "a"]}, '.tags: duplicate entries for key [="a"]', id="a value twice"),
        pytest.param(
            {"items": [{"image": "i"}]},
            '.items: element 0: associative list with keys has an element that omits key field "name" '
            "(and doesn't have default value)",
            id="an item without its key",
        ),
        pytest.param(
            {"items": [{"name": "a", "image": 3}]},
            '.items[name="a"].image: expected string, got 3',
            id="deep in a list",
        ),
    ],
)
def test_what_does_not_fit(config: Tree, expected: str) -> None:
    assert faults(THING, config) == [expected]


def test_what_became_atomic_is_owned_whole() -> None:
    fields = {
        "f:whole": {".": {}, "f:a": {}},
        "f:atom": {'v:"1"': {}},
        "f:items": {'k:{"name":"a"}': {"f:args": {"i:0": {}}}},
    }
    assert fitted(THING, fields) == {"f:whole": {}, "f:atom": {}, "f:items": {'k:{"name":"a"}': {"f:args": {}}}}
    same = fields_of(THING, {"data": {"a": "1"}, "tags": ["x"], "items": [{"name": "a"}]})
    assert fitted(THING, same) == same


def test_an_applier_has_one_entry_in_all_versions() -> None:
    said = [
        {"manager": "m", "operation": "Apply", "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": {}}
        for version in ("v1", "v2")
    ]
    entries = decode(said)
    assert entries is not None
    assert [entry.manager.api_version for entry in entries] == ["v2"]
