import importlib
import json as plain
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api import kinds
from bireme.api import schema as schemas
from bireme.api.codec import json
from bireme.api.errors import BadRequest, TooLarge
from bireme.api.kinds import core, meta
from bireme.api.scheme import builtin

POD = b"""{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","creationTimestamp":null,"labels":{"x":"1"}},
"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":1,"memory":"1Gi"}},"ports":null}]}}"""

trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def test_decode_reads_nulls_as_unset() -> None:
    pod = json.decode(core.Pod, POD)
    assert pod.metadata.creation_timestamp == ""
    assert pod.spec.containers[0].ports == []
    assert pod.spec.containers[0].resources == core.ResourceRequirements(limits={"cpu": 1, "memory": "1Gi"})


def test_structs_pass_over_who_owns_which_fields() -> None:
    owned = POD.replace(b'"labels"', b'"managedFields":[{"manager":"m","fieldsV1":{"f:spec":{}}}],"labels"')
    assert owned != POD
    assert json.decode(core.Pod, owned) == json.decode(core.Pod, POD)


def test_encode_fills_in_the_type() -> None:
    pod = core.Pod(metadata=meta.ObjectMeta(name="a"))
    tree = plain.loads(json.encode(pod))
    assert (tree["apiVersion"], tree["kind"]) == ("v1", "Pod")
    assert pod.kind == ""
    assert json.decode(core.Pod, json.encode(pod)) == json.typed(pod)
    assert json.from_tree(core.Pod, json.to_tree(pod)) == json.typed(pod)


def test_copy_is_deep() -> None:
    pod = json.decode(core.Pod, POD)
    other = json.copy(pod)
    assert other == pod
    other.metadata.labels["x"] = "2"
    other.spec.containers[0].name = "d"
    assert pod.metadata.labels == {"x": "1"}
    assert pod.spec.containers[0].name == "c"


@pytest.mark.parametrize("data", [b"", b"{", b'{"metadata":[]}', b'{"metadata":{"labels":{"a":1}}}', b"\xff"])
def test_decode_refuses_what_does_not_fit(data: bytes) -> None:
    with pytest.raises(BadRequest):
        json.decode(core.Pod, data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"[1,]",
        b'{"a":NaN}',
        b"Infinity",
        b'"\\ud800"',
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"1e999",
        b"{'a':1}",
        b"[" * 300 + b"]" * 300,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b"[" * 100000,
    ],
)
def test_parse_refuses(data: bytes) -> None:
    with pytest.raises(BadRequest):
        json.parse(data)


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_the_edge_of_the_depth_limit(extra: int, fits: bool) -> None:
    depth = json.DEPTH + extra
    data = b"[" * depth + b"]" * depth
    if fits:
        json.parse(data)
    else:
        with pytest.raises(BadRequest, match="max depth"):
            json.parse(data)


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_the_edge_of_the_size_limit(extra: int, fits: bool) -> None:
    data = b'"' + b"a" * (json.LIMITS.size - 2 + extra) + b'"'
    if fits:
        json.parse(data)
    else:
        with pytest.raises(TooLarge):
            json.parse(data)


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        pytest.param(b'{"a":1,"b":2}', [], id="none"),
        pytest.param(b'{"a":1,"a":2}', ["a"], id="at the top"),
        pytest.param(b'{"a":{"b":[{"c":1,"c":2,"c":3}]}}', ["a.b[0].c"], id="deep, told once"),
        pytest.param(b'{"a" :1,"a" :2}', ["a"], id="colons apart"),
        pytest.param(b'{"\\u0061":1,"a":2}', ["a"], id="escaped key"),
        pytest.param(b'{"a":"\\u0022:","a":2,"b":1}', ["a"], id="escaped quote"),
        pytest.param(b'{"a":"x\\":y","b":" :"}', [], id="colons in texts"),
        pytest.param(b'{"x":{"a":1},"x":{"b":{"d":1,"d":1}}}', ["x", "x.b.d"], id="in a repeated object"),
    ],
)
def test_duplicate_keys_are_told(data: bytes, paths: list[str]) -> None:
    found: list[str] = []
    json.parse(data, duplicates=found)
    assert found == paths


@given(trees, st.sampled_from([None, 1]), st.booleans())
def test_round_trip(tree: object, indent: int | None, ascii_only: bool) -> None:
    duplicates: list[str] = []
    text = plain.dumps(tree, indent=indent, ensure_ascii=ascii_only)
    assert json.parse(text.encode(), duplicates=duplicates) == tree
    assert duplicates == []


@given(st.lists(st.sampled_from('ab:"\\ '), max_size=4).map("".join), st.integers(0, 3))
def test_no_duplicate_is_missed(key: str, gap: int) -> None:
    name = plain.dumps(key)
    text = f'{{{name}{" " * gap}:{name},"other":1,{name}:2}}'
    duplicates: list[str] = []
    json.parse(text.encode(), duplicates=duplicates)
    assert duplicates == [key]


def every_kind() -> list[type[meta.Object]]:
    names = [found.name for found in pkgutil.iter_modules(kinds.__path__, f"{kinds.__name__}.")]
    modules = [importlib.import_module(name) for name in names]
    items = {item: None for module in modules for item in vars(module).values() if isinstance(item, type)}
    return [item for item in items if issubclass(item, meta.Object) and hasattr(item, "__gvk__")]


@pytest.mark.parametrize("kind", every_kind(), ids=lambda kind: "/".join(kind.__gvk__))
def test_every_struct_keeps_its_shape(kind: type[meta.Object]) -> None:
    obj = json.typed(kind(metadata=meta.ObjectMeta(name="a", labels={"x": "1"}, generation=0)))
    assert json.decode(kind, json.encode(obj)) == obj
    assert json.copy(obj) == obj
    resource = builtin().of_kind(*kind.__gvk__)  # type: ignore[attr-defined]
    if resource is not None:
        assert schemas.builtin().settle(json.to_tree(obj), resource.definition) == schemas.FINE


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"a":[' + b"{}," * 100_000 + b"{}]}", id="objects"),
        pytest.param(b"[" + b"1," * 100_000 + b"1]", id="numbers"),
        pytest.param(b'{"a":' * 2 + b"[" + b"[]," * 100_000 + b"[]]" + b"}" * 2, id="lists"),
    ],
)
def test_values_are_counted(text: bytes) -> None:
    with pytest.raises(TooLarge, match="limit is 100000 values"):
        json.parse(text)


def test_commas_in_texts_are_no_values() -> None:
    assert len(json.parse(b'{"a":"' + b"," * 200_000 + b'"}')["a"]) == 200_000


def test_keys_that_come_twice_are_told_in_part() -> None:
    twice: list[str] = []
    json.parse(b"[" + b'{"a":1,"a":1},' * 5_000 + b"{}]", duplicates=twice)
    assert len(twice) == json.MOST_REPEATED
    assert twice[:2] == ["[0].a", "[1].a"]
    with pytest.raises(TooLarge):
        json.parse(b"{" + b'"a":1,' * 200_000 + b'"a":2}', duplicates=[])
