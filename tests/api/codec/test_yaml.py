import contextlib
import json as plain
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.codec import yaml
from bireme.api.errors import ApiError, BadRequest, TooLarge


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# only words\n", None),
        ("a: 1\nb: [x, 'y', \"z\"]\n", {"a": 1, "b": ["x", "y", "z"]}),
        ("---\na: b\n...\n", {"a": "b"}),
        ('{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        (
            "[yes, No, on, OFF, y, n, ~, '', null, 'null']",
            [True, False, True, False, "y", "n", None, "", None, "null"],
        ),
        ("[0x1F, 0b11, 010, 0o10, 1_000, -7, +7, 0]", [31, 3, 8, 8, 1000, -7, 7, 0]),
        ("[1.5, .5, 1e3, -1.e+2, 1.]", [1.5, 0.5, 1000.0, -100.0, 1.0]),
        (
            "[1:30, 2026-01-01, 08, 1.2.3, 100m, -, 0x, .]",
            ["1:30", "2026-01-01", 8.0, "1.2.3", "100m", "-", "0x", "."],
        ),
        ("[18446744073709551615, 18446744073709551616]", [2**64 - 1, 1.8446744073709552e19]),
        ("1: a\ntrue: b\n1.5: c\n", {"1": "a", "true": "b", "1.5": "c"}),
        ("a: &x {k: 1}\nb: *x\nc: [*x]\n", {"a": {"k": 1}, "b": {"k": 1}, "c": [{"k": 1}]}),
        ("d: &d {a: 1, b: 2}\ne:\n  <<: *d\n  b: 3\n", {"d": {"a": 1, "b": 2}, "e": {"a": 1, "b": 3}}),
        ("e:\n  <<: [{a: 1}, {a: 2, b: 2}]\n", {"e": {"a": 1, "b": 2}}),
        ("a: !!str 1\nb: !!int '2'\nc: !!float 3\nd: !!map {}\n", {"a": "1", "b": 2, "c": 3.0, "d": {}}),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", {"a": "x\ny\n", "b": "x y"}),
    ],
)
def test_parse(text: str, expected: Any) -> None:
    found = yaml.parse(text.encode())
    assert found == expected
    assert repr(found) == repr(expected)


def test_aliases_are_not_shared() -> None:
    tree = yaml.parse(b"a: &x {k: [1]}\nb: *x\n")
    tree["a"]["k"].append(2)
    assert tree["b"] == {"k": [1]}


@pytest.mark.parametrize(
    "text",
    [
        b"a: [",
        b"a: b: c",
        b"\xff",
        b"a: \x00",
        b"a: *x",
        b"a: &x [*x]",
        b"a: .nan",
        b"a: -.inf",
        b"a: 1e999",
        b"a: " + b"9" * 5000,
        b"a: !!python/object:os.system x",
        b"a: !!binary eA==",
        b"a: !thing x",
        b"a: !!int x",
        b"? [a]\n: b",
        b"~: a",
        b"a: {<<: 1}",
        b"a: 1\n---\nb: 2\n",
        b"%TAG !a! tag:x\n---\na: 1\n",
        b"[" * 101 + b"]" * 101,
        b"a:\n\tb: 1",
        b'"\\ud800"',
    ],
)
def test_parse_refuses(text: bytes) -> None:
    with pytest.raises(BadRequest):
        yaml.parse(text)


BOMB = "".join(f"l{n}: &l{n} [{','.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 10))
MIB = 1 << 20


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("l0: &l0 [a,a,a,a,a,a,a,a,a]\n" + BOMB, id="aliases of aliases"),
        pytest.param("a: &a " + "x" * MIB + "\nb: [" + "*a," * 9 + "]", id="aliases of a long text"),
        pytest.param("a: &a {<<: {k: v}}\n" + "b: *a\n" * 50_000, id="many aliases"),
        pytest.param("- a\n" * (3 * MIB // 4), id="flat list"),
        pytest.param("".join(f"k{n}: v\n" for n in range(200_000)), id="flat map"),
        pytest.param("[[{" * 300_000, id="nested flow"),
        pytest.param("- " * MIB, id="nested blocks"),
        pytest.param("? " * MIB, id="nested keys"),
        pytest.param("".join(" " * n + "a:\n" for n in range(2_000)), id="deep indent"),
        pytest.param("".join(f"%TAG !a{n}! tag:x\n" for n in range(50_000)) + "---\na\n", id="directives"),
        pytest.param("a: " + "x " * (2 * MIB), id="too long"),
        pytest.param("---\na\n" * 500_000, id="documents"),
        pytest.param("a: '" + "''" * MIB, id="open quote"),
    ],
)
def test_bombs_are_refused_soon_and_cheaply(text: str) -> None:
    data = text.encode()
    started = time.process_time()
    with pytest.raises(ApiError):
        yaml.parse(data)
    assert time.process_time() - started < 2  # 100 ms on a machine with nothing else to do
    tracemalloc.start()
    with pytest.raises(ApiError):
        yaml.parse(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


@pytest.mark.parametrize("extra", [0, 1])
def test_the_edges_of_the_limits(extra: int) -> None:
    limits = yaml.Limits(size=1000, depth=10, nodes=50)
    texts = [
        "[" * (10 + extra) + "]" * (10 + extra),
        "[" + "a," * (49 + extra) + "]",
        "a: &a " + "x" * 240 + "\nb: [*a,*a,*a" + ", " * extra + "y" * 40 * extra + "]",
    ]
    for text in texts:
        if extra:
            with pytest.raises((BadRequest, TooLarge)):
                yaml.parse(text.encode(), limits)
        else:
            yaml.parse(text.encode(), limits)


def test_duplicate_keys_are_told() -> None:
    found: list[str] = []
    text = b"a:\n- b: 1\n  b: 2\n- c:\n    d: 1\n    d: 2\na: 1\n"
    assert yaml.parse(text, duplicates=found) == {"a": 1}
    assert found == ["a[0].b", "a[1].c.d", "a"]


trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]))
    | st.sampled_from(
        ["yes", "null", "1", "1e3", "0x1", "1:30", "2026-01-01", "<<", "~", "a: b", "- x", "# x", " x "]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "1", "true", "<"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(trees)
def test_round_trip(tree: Any) -> None:
    assert yaml.parse(yaml.dump(tree)) == tree
    assert yaml.parse(plain.dumps(tree, ensure_ascii=False).encode()) == tree


def test_dump_has_no_aliases() -> None:
    shared = {"k": [1]}
    assert yaml.dump({"a": shared, "b": shared}) == b"a:\n  k:\n  - 1\nb:\n  k:\n  - 1\n"


@given(st.text(st.sampled_from("&*<>!|-:?{}[],'\"% \n\tabc01.#@`~_"), max_size=40))
def test_odd_texts_are_read_or_refused(text: str) -> None:
    with contextlib.suppress(ApiError):
        yaml.parse(text.encode(), duplicates=[])
