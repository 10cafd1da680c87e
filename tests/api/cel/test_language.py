"""The language itself: what expressions give, and what is refused with which words."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.cel.conftest import ENVIRONMENT, OBJECT

from bireme.api.cel.errors import CelError
from bireme.api.cel.program import compile

GIVES: list[tuple[str, Any]] = [
    ("1 + 2 * 3", 7),
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("-7 % 3", -1),
    ("7 % -3", 1),
    ("1.5 + 1.0", 2.5),
    ("1u + 2u", 3),
    ("1 < 1.5", True),
    ("2u > 1", True),
    ("dyn(1) == 1.0", True),
    ("dyn(1) == true", False),
    ("dyn('a') == 1", False),
    ("1 in [1, 2]", True),
    ("'k' in {'k': 1}", True),
    ("[1, 2] + [3]", [1, 2, 3]),
    ("'a' + 'b'", "ab"),
    ("true ? 1 : 1 / 0", 1),
    ("false && 1 / 0 == 1", False),
    ("1 / 0 == 1 && false", False),
    ("true || 1 / 0 == 1", True),
    ("1 / 0 == 1 || true", True),
    ("{'a': 1}.a", 1),
    ("{'a': 1}['a']", 1),
    ("[1, 2][1]", 2),
    ("size('añb')", 3),
    ("has(self.spec.name) && !has(self.spec.on)", True),
    ("self.spec.a__dash__b", "dashed"),
    ("self.spec.price / 2.0", 1.5),
    ("self.spec.when.getHours()", 7),
    ("self.spec.when < timestamp('2025-01-01T00:00:00Z')", True),
    ("self.spec.wait == duration('90m')", True),
    ("self.spec.secret == b'hi'", True),
    ("self.spec.names.all(n, n.size() == 1)", True),
    ("self.spec.names.exists(n, n == 'b')", True),
    ("self.spec.names.exists_one(n, n == 'b')", True),
    ("self.spec.names.map(n, n + '!')", ["a!", "b!"]),
    ("self.spec.names.map(n, n == 'b', n + '!')", ["b!"]),
    ("self.spec.names.filter(n, n != 'a')", ["b"]),
    ("self.spec.labels.all(k, self.spec.labels[k] == 'x')", True),
    ("[1, 0].exists(x, 1 / x == 1)", True),
    ("[0, 1].all(x, 1 / x == 2)", False),
    ("cel.bind(a, 'x' + 'y', a + a)", "xyxy"),
    ("[1, 2].all(i, v, v == i + 1)", True),
    ("['a', 'b'].transformList(i, v, v + string(i))", ["a0", "b1"]),
    ("{'a': 1}.transformMap(k, v, v + 1)", {"a": 2}),
    ("{'a': 1}.transformMapEntry(k, v, {string(v): k})", {"1": "a"}),
    ("self.?spec.?nothing.orValue('z') == 'z'", None),
    ("any.?a.?b.orValue(5)", 5),
    ("any.?m['k'].orValue('z') + any.?l[7].orValue('none')", "vnone"),
    ("{?'a': optional.none(), ?'b': optional.of(1)}", {"b": 1}),
    ("[?optional.none(), 1]", [1]),
    ("optional.of(3).optMap(x, x + 1).value()", 4),
    ("optional.ofNonZeroValue('').hasValue()", False),
    ("type(1) == int && type('a') == string", True),
    ("int('12') + int(1.9)", 13),
    ("string(1.0) + string(true) + string(12)", "1true12"),
    ("double('1.5')", 1.5),
    ("bool('true')", True),
    ("string(timestamp('2024-01-01T00:00:00+01:00'))", "2023-12-31T23:00:00Z"),
    ("string(duration('90s'))", "90s"),
    ("timestamp('2024-02-29T00:00:00Z').getDayOfYear()", 59),
    ("timestamp('2024-02-29T23:00:00Z').getDate('+02:00')", 1),
    ("duration('1h') + duration('30m') == duration('90m')", True),
    ("null == null", True),
    ("(any.l[0] + any.l[0]).size()", 2),
    ("any.l[0] + string(any.l.size())", "x2"),
    ("any.l.map(x, x + x)[1] + any.l[1]", "yyy"),
    ("'abc'.matches('^a.c$') && !matches('abc', 'd')", True),
]


@pytest.mark.parametrize(("expression", "value"), [each for each in GIVES if each[1] is not None])
def test_gives(evaluate, expression, value):
    found = evaluate(expression, {"l": ["x", "y"], "m": {"k": "v"}})
    assert found == value
    assert type(found) is type(value) or isinstance(found, int)


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("self.nothing", "<input>:1:5: undefined field 'nothing'\n | self.nothing\n | ....^"),
        ("self.spec.replicas + 'a'", "<input>:1:20: found no matching overload for '_+_' applied to '(int, string)'"),
        ("other", "<input>:1:1: undeclared reference to 'other' (in container '')"),
        ("1 == 1.0", "found no matching overload for '_==_' applied to '(int, double)'"),
        ("[1, 'a']", "expected type 'int' but found 'string'"),
        ("self.spec.name.foo", "type 'string' does not support field selection"),
        ("self.spec.name.nothing()", "undeclared reference to 'nothing' (in container '')"),
        ("self.spec.name.startsWith(1)", "found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("self.spec.all(x, true)", "cannot be range of a comprehension (must be list, map, or dynamic)"),
        ("1 ? 2 : 3", "found no matching overload for '_?_:_' applied to '(int, int, int)'"),
        ("self.spec.name == null", "found no matching overload for '_==_' applied to '(string, null_type)'"),
        ("1 +", "Syntax error: mismatched input '<EOF>'"),
        ("(" * 500 + "1" + ")" * 500, "nested too deeply"),
        ("'" + "x" * 200_000 + "'", "limit"),
    ],
)
def test_does_not_compile(expression, fault):
    with pytest.raises(CelError) as refusal:
        compile(expression, ENVIRONMENT)
    assert fault in str(refusal.value)


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("1 / 0", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("-9223372036854775808 - 1", "integer overflow"),
        ("9223372036854775807 * 2", "integer overflow"),
        ("1u - 2u", "unsigned integer overflow"),
        ("int(1e30)", "integer overflow"),
        ("[1][1]", "index out of bounds: 1"),
        ("{'a': 1}['b']", "no such key: b"),
        ("any.b", "no such key: b"),
        ("any.a + 'x'", "no such overload"),
        ("any.a.b", "no such overload"),
        ("{'a': 1, 'a': 2}", "repeated key"),
        ("optional.none().value()", "optional.none() dereference"),
        ("'a'.matches('(')", "error parsing regexp"),
        ("int('x')", "invalid syntax"),
        ("duration('x')", 'invalid duration: "x"'),
        ("timestamp('x')", 'invalid timestamp: "x"'),
        ("[].max()", "max called on empty list"),
    ],
)
def test_fails(expression, fault):
    with pytest.raises(CelError, match=fault.replace("(", r"\(").replace(")", r"\)")):
        compile(expression, ENVIRONMENT).evaluate({"self": OBJECT, "any": {"a": 1}})


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1).filter(bool))
def test_division_goes_toward_zero(left, right):
    program = compile("any.a / any.b * any.b + any.a % any.b == any.a", ENVIRONMENT)
    if left == -(2**63) and right == -1:
        return
    assert program.evaluate({"any": {"a": left, "b": right}}) is True
    assert compile("any.a / any.b", ENVIRONMENT).evaluate({"any": {"a": left, "b": right}}) == int(
        math.trunc(left / right)
        if abs(left) < 2**52 and abs(right) < 2**52
        else (abs(left) // abs(right)) * (1 if (left < 0) == (right < 0) else -1)
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_equality_is_that_of_values(left, right):
    same = compile("any.a == any.b", ENVIRONMENT)
    both = {"any": {"a": left, "b": right}}
    assert same.evaluate(both) == same.evaluate({"any": {"a": right, "b": left}})
    assert same.evaluate({"any": {"a": left, "b": left}}) is True
    if left != right:
        assert same.evaluate(both) is False
