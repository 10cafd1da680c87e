import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.errors import ApiError, BadRequest, Invalid
from bireme.api.patch import merge_patch, strategic_merge_patch
from bireme.api.schema import builtin
from bireme.api.strategic import StrategicMerge

POD = "io.k8s.api.core.v1.Pod"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
SERVICE = "io.k8s.api.core.v1.Service"


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


def named(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, **more} for name in names]


ORDER = "$setElementOrder/"
GONE = "$deleteFromPrimitiveList/"


@pytest.mark.parametrize(
    ("live", "patch", "expected"),
    [
        pytest.param(
            pod(nodeName="n", containers=[{"name": "a", "image": "1", "env": named("X", value="1")}]),
            pod(containers=[{"name": "a", "image": "2", "env": named("Y", value="2")}]),
            pod(
                nodeName="n",
                containers=[
                    {"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]}
                ],
            ),
            id="items of a list are paired by their key",
        ),
        pytest.param(
            pod(containers=named("a", "b")),
            pod(containers=named("c")),
            pod(containers=named("c", "a", "b")),
            id="new items come first",
        ),
        pytest.param(
            pod(containers=named("a", "b", "c")),
            pod(containers=[{"name": "b", "image": "2"}]),
            pod(containers=[{"name": "a"}, {"name": "b", "image": "2"}, {"name": "c"}]),
            id="a changed item keeps its place",
        ),
        pytest.param(
            pod(containers=named("a", "b")),
            pod(containers=[{"name": "a", "$patch": "delete"}]),
            pod(containers=named("b")),
            id="delete an item",
        ),
        pytest.param(
            pod(containers=named("a", "b")),
            pod(containers=[{"$patch": "replace"}, {"name": "z"}, {"name": "y"}]),
            pod(containers=named("z", "y")),
            id="replace a list",
        ),
        pytest.param(
            pod(containers=named("b", "a")),
            pod(containers=[{"$patch": "replace"}]),
            pod(containers=[]),
            id="replace a list by nothing",
        ),
        pytest.param(
            pod(nodeSelector={"a": "1", "b": "2"}),
            pod(nodeSelector={"$patch": "replace", "c": "3"}),
            pod(nodeSelector={"c": "3"}),
            id="replace a map",
        ),
        pytest.param(
            pod(nodeSelector={"a": "1"}),
            pod(nodeSelector={"$patch": "delete"}),
            pod(nodeSelector={}),
            id="empty a map",
        ),
        pytest.param(
            {"metadata": {"labels": {"a": "1", "b": "2"}}},
            {"metadata": {"labels": {"a": None, "c": "3"}, "annotations": {"x": None, "y": "1"}}},
            {"metadata": {"labels": {"b": "2", "c": "3"}, "annotations": {"y": "1"}}},
            id="null removes, and is not kept",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["c", "a"]}},
            {"metadata": {"finalizers": ["c", "a", "b"]}},
            id="plain values are merged",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b", "c"]}},
            {"metadata": {f"{GONE}finalizers": ["b"]}},
            {"metadata": {"finalizers": ["a", "c"]}},
            id="plain values are deleted",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b", "c"]}},
            {"metadata": {f"{GONE}finalizers": ["b"], f"{ORDER}finalizers": ["d", "c", "a"], "finalizers": ["d"]}},
            {"metadata": {"finalizers": ["d", "c", "a"]}},
            id="plain values are deleted, added and ordered",
        ),
        pytest.param(
            {"metadata": {}},
            {"metadata": {f"{GONE}finalizers": ["b"]}},
            {"metadata": {}},
            id="deletion where there is nothing",
        ),
        pytest.param(
            pod(tolerations=[{"key": "a"}]),
            pod(tolerations=[{"key": "b"}]),
            pod(tolerations=[{"key": "b"}]),
            id="atomic lists are replaced",
        ),
        pytest.param(
            pod(containers=named("a", "b", "c", "d")),
            pod(**{f"{ORDER}containers": named("c", "a", "x"), "containers": named("x")}),
            pod(containers=named("b", "c", "a", "x", "d")),
            id="order, with live items that it does not name",
        ),
        pytest.param(
            pod(containers=named("a", "b")),
            pod(**{f"{ORDER}containers": named("b", "a")}),
            pod(containers=named("b", "a")),
            id="order alone",
        ),
        pytest.param(
            pod(),
            pod(**{f"{ORDER}containers": named("b", "a"), "containers": named("b", "a")}),
            pod(containers=named("b", "a")),
            id="order of a new list",
        ),
        pytest.param(
            pod(volumes=[{"name": "v", "emptyDir": {}}]),
            pod(volumes=[{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]),
            pod(volumes=[{"name": "v", "configMap": {"name": "c"}}]),
            id="keys that are not retained go",
        ),
        pytest.param(
            pod(),
            pod(volumes=[{"name": "v", "$retainKeys": ["name", "emptyDir"], "emptyDir": {"medium": None}}]),
            pod(volumes=[{"name": "v", "emptyDir": {}}]),
            id="directives in what is new are dropped",
        ),
        pytest.param(
            pod(),
            pod(containers=[{"name": "a"}, {"name": "b", "$patch": "delete"}]),
            pod(containers=named("a")),
            id="deletion from a list that is new",
        ),
        pytest.param({"a": {"b": 1}}, {"$patch": "replace", "c": 1}, {"c": 1}, id="replace all"),
        pytest.param(
            pod(hostAliases=[{"ip": "1"}]), pod(hostAliases="x"), pod(hostAliases="x"), id="another type replaces"
        ),
    ],
)
def test_strategic_merge(live: Any, patch: Any, expected: Any) -> None:
    before, patch_before = copy.deepcopy(live), copy.deepcopy(patch)
    assert strategic_merge_patch(live, patch, POD) == expected
    assert (live, patch) == (before, patch_before)


def test_deployment_strategy_retains_keys() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge_patch(live, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_ports_that_share_a_number() -> None:
    live = {"spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}, {"port": 80}]}}
    patch = {"spec": {"ports": [{"port": 53, "$patch": "delete"}]}}
    assert strategic_merge_patch(live, patch, SERVICE) == {"spec": {"ports": [{"port": 80}]}}
    patch = {"spec": {"ports": [{"port": 53, "name": "dns"}]}}
    assert strategic_merge_patch(live, patch, SERVICE)["spec"]["ports"] == [
        {"port": 53, "protocol": "UDP", "name": "dns"},
        {"port": 53, "protocol": "TCP"},
        {"port": 80},
    ]


@pytest.mark.parametrize(
    ("patch", "error", "message"),
    [
        (pod(containers=[{"image": "x"}]), BadRequest, "does not contain declared merge key: name"),
        (pod(containers=[["x"]]), Invalid, "lists of lists are not supported"),
        (pod(containers=["x"]), BadRequest, "list element types are not identical"),
        (pod(nodeSelector={"$patch": "nonsense"}), BadRequest, "unknown patch type: nonsense"),
        (pod(containers=[{"name": "a", "$patch": "nonsense"}]), BadRequest, "unknown patch type: nonsense"),
        (pod(containers=[{"name": "a", "$patch": "merge"}]), BadRequest, "merging lists cannot yet be specified"),
        (pod(containers=[{"$patch": "delete"}]), BadRequest, "does not contain declared merge key: name"),
        ({"metadata": {f"{GONE}finalizers": "a"}}, BadRequest, "invalid patch format of primitive list"),
        ({"metadata": {"$deleteFromPrimitiveList": ["a"]}}, BadRequest, "invalid patch format of primitive list"),
        (pod(**{f"{ORDER}containers": "a"}), BadRequest, "invalid patch format of setElementOrder list"),
        (pod(**{f"{ORDER}containers": named("a", "b"), "containers": named("b", "a")}), BadRequest, "doesn't match"),
        (pod(**{f"{ORDER}containers": [{}]}), BadRequest, "does not contain declared merge key: name"),
        (pod(nodeSelector={"$retainKeys": "a"}), BadRequest, "invalid patch format of retainKeys"),
        (pod(nodeSelector={"$retainKeys": ["a"], "b": "1"}), BadRequest, "invalid patch format of retainKeys"),
        ([], BadRequest, "error decoding patch"),
    ],
)
def test_bad_patches(patch: Any, error: type[ApiError], message: str) -> None:
    live = pod(containers=named("a"), nodeSelector={"a": "1"})
    live["metadata"] = {"finalizers": ["a"]}
    with pytest.raises(error, match=message):
        strategic_merge_patch(live, patch, POD)


names = st.lists(st.sampled_from("abcde"), unique=True, max_size=5)


@given(names, names, st.booleans())
def test_merged_lists_hold_both_sides_once(live: list[str], new: list[str], ordered: bool) -> None:
    patch: dict[str, Any] = {"containers": named(*new, image="2")}
    if ordered:
        patch[f"{ORDER}containers"] = named(*new)
    merged = strategic_merge_patch(pod(containers=named(*live)), pod(**patch), POD)["spec"]["containers"]
    found = [item["name"] for item in merged]
    assert sorted(found) == sorted({*live, *new})
    assert [name for name in found if name in new] == new
    assert [name for name in found if name not in new] == [name for name in live if name not in new]
    assert all(("image" in item) == (item["name"] in new) for item in merged)


texts = st.dictionaries(st.sampled_from("abc"), st.none() | st.sampled_from("xyz"), max_size=3)


@given(texts, texts)
def test_without_lists_it_is_a_merge_patch(live: dict[str, Any], patch: dict[str, Any]) -> None:
    tree = {"metadata": {"labels": {key: value for key, value in live.items() if value}}}
    change = {"metadata": {"labels": patch}}
    assert strategic_merge_patch(tree, change, POD) == merge_patch(tree, change)


def test_long_lists_take_linear_time() -> None:
    many = [{"name": str(number)} for number in range(20_000)]
    patch = pod(**{"containers": many[::2], f"{ORDER}containers": many[::2]})
    assert len(strategic_merge_patch(pod(containers=many), patch, POD)["spec"]["containers"]) == len(many)


def merged_plainly(live: Any, patch: Any, key: str) -> Any:
    """The rules in their plainest form, for specs whose only lists are those of `KEYS`; order aside."""
    if isinstance(patch, dict):
        if patch.get("$patch") == "replace":
            return {name: value for name, value in patch.items() if name != "$patch"}
        made = dict(live) if isinstance(live, dict) else {}
        for name, value in patch.items():
            if value is None:
                made.pop(name, None)
            else:
                made[name] = merged_plainly(made.get(name), value, KEYS.get(name, ""))
        return made
    if not isinstance(patch, list):
        return patch
    said = [item for item in patch if item != {"$patch": "replace"}]
    old = {} if len(said) < len(patch) else {item[key]: item for item in live or ()}
    for item in said:
        if item.get("$patch") == "delete":
            old.pop(item[key], None)
    new = {item[key]: item for item in said if "$patch" not in item}
    return [merged_plainly(old.get(name), new.get(name, {}), key) for name in {**old, **new}]


KEYS = {"containers": "name", "env": "name", "ports": "containerPort", "volumes": "name"}
letters = st.sampled_from("abc")
variables = st.fixed_dictionaries({"name": letters}, optional={"value": letters})
live_containers = st.fixed_dictionaries(
    {"name": letters},
    optional={
        "image": letters,
        "env": st.lists(variables, max_size=3, unique_by=lambda one: one["name"]),
        "ports": st.lists(
            st.fixed_dictionaries({"containerPort": st.sampled_from([1, 2, 3])}, optional={"name": letters}),
            max_size=3,
            unique_by=lambda one: one["containerPort"],
        ),
    },
)
live_specs = st.fixed_dictionaries(
    {},
    optional={
        "nodeName": letters,
        "nodeSelector": st.dictionaries(letters, letters, max_size=3),
        "containers": st.lists(live_containers, max_size=3, unique_by=lambda one: one["name"]),
    },
)


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """A spec with deletions, replacements and nulls in it."""
    spec = draw(live_specs)
    for name in sorted(spec):
        if name != "containers" and draw(st.booleans()):
            spec[name] = None
    if isinstance(spec.get("nodeSelector"), dict) and draw(st.booleans()):
        spec["nodeSelector"]["$patch"] = "replace"
    for container in spec.get("containers") or ():
        if draw(st.booleans()) and draw(st.booleans()):
            for name in [name for name in container if name != "name"]:
                del container[name]
            container["$patch"] = "delete"
        elif "env" in container and draw(st.booleans()):
            container["env"].append({"$patch": "replace"})
    return spec


def unordered(tree: Any) -> Any:
    """A tree whose lists are told apart by what they hold; an empty list or map is as good as none."""
    if isinstance(tree, dict):
        return {name: found for name, value in tree.items() if (found := unordered(value)) not in ({}, [])}
    return sorted(map(unordered, tree), key=repr) if isinstance(tree, list) else tree


@given(live_specs, changes())
def test_as_the_plainest_rules_have_it(live: dict[str, Any], change: dict[str, Any]) -> None:
    expected = merged_plainly({"spec": live}, {"spec": change}, "")
    assert unordered(strategic_merge_patch({"spec": live}, {"spec": change}, POD)) == unordered(expected)


@given(live_specs, live_specs)
def test_what_is_plain_is_merged_as_everything_is(live: dict[str, Any], patch: dict[str, Any]) -> None:
    node = builtin().node(POD)
    merged = [
        StrategicMerge(plain=plain).maps(copy.deepcopy({"spec": live}), copy.deepcopy({"spec": patch}), node)
        for plain in (True, False)
    ]
    assert merged[0] == merged[1]


words = ["name", "containers", "env", "value", "$patch", "$retainKeys", f"{ORDER}containers", f"{ORDER}env"]
odd = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "delete", "replace", "merge"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(words), inner, max_size=4),
    max_leaves=12,
)
specs = st.fixed_dictionaries({}, optional={"containers": odd, "volumes": odd, f"{ORDER}containers": odd})


@given(specs, specs)
def test_odd_patches_are_merged_or_refused(live: dict[str, Any], patch: dict[str, Any]) -> None:
    with contextlib.suppress(ApiError):
        strategic_merge_patch({"spec": live}, {"spec": patch}, POD)
