"""What expressions may cost, what they do cost, and that nothing nasty takes long."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.cel.environment import Environment
from bireme.api.cel.errors import CelError, CostExceeded
from bireme.api.cel.program import compile
from bireme.api.cel.rule_limits import check_rules
from bireme.api.cel.types import DYN, INT, STRING, Struct, list_of, map_of
from bireme.api.validation.field import Problems

Tree = dict[str, Any]


def faults(schema: Tree) -> list[tuple[str, str]]:
    problems = Problems()
    check_rules(problems, schema, "spec")
    return [(cause.field, cause.message) for cause in problems]


def texts(length: int, items: int, rule: str) -> Tree:
    """A list of texts with a rule."""
    inside = {"type": "string", "maxLength": length}
    listed = {"type": "array", "maxItems": items, "items": inside, "x-kubernetes-validations": [{"rule": rule}]}
    return {"type": "object", "properties": {"tags": listed}}


# What a real server was measured to take at most.
@pytest.mark.parametrize(("length", "items"), [(16, 909_090), (63, 333_333), (253, 94_339), (1024, 24_154)])
def test_the_limit_is_that_of_kubernetes(length, items):
    rule = "self.all(x, x.contains('gpu'))"
    assert faults(texts(length, items, rule)) == []
    ((path, message),) = faults(texts(length, items + 1, rule))
    assert path == "spec.properties[tags].x-kubernetes-validations[0].rule"
    assert message.startswith("Forbidden: estimated rule cost exceeds budget by factor of 1.0000")


def test_without_bounds_the_worst_is_taken():
    unbounded = {"type": "array", "items": {"type": "string"}}
    rules = [{"rule": "self.all(x, self.all(y, x.contains(y)))"}]
    found = faults({"type": "object", "properties": {"tags": {**unbounded, "x-kubernetes-validations": rules}}})
    bounds = "maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared"
    advice = f"(try simplifying the rule, or adding {bounds})"
    assert [message for _, message in found] == [
        f"Forbidden: estimated rule cost exceeds budget by factor of more than 100x {advice}",
        "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
        "Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by "
        f"factor of more than 100x {advice}",
    ]


def test_a_rule_costs_as_often_as_its_place_can_occur():
    item = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.n > 0"}],
    }
    listed = {"type": "object", "properties": {"items": {"type": "array", "items": item}}}
    assert faults(listed) == [], "an element takes bytes, and a request has not so many"
    expensive = [{"rule": "[1,2,3,4,5].all(a, [1,2,3,4,5].all(b, a + b + self.n > 0))"}]
    item["x-kubernetes-validations"] = expensive
    assert faults(listed)[0][0] == "spec.properties[items].items.x-kubernetes-validations[0].rule"
    listed["properties"]["items"]["maxItems"] = 100
    assert faults(listed) == []


def test_string_of_a_number_has_no_bound_and_format_has():
    numbers = {"type": "object", "properties": {"min": {"type": "integer"}}}
    rule = {"rule": "self.min > 0", "messageExpression": "'min ' + string(self.min)"}
    found = faults({**numbers, "x-kubernetes-validations": [rule]})
    assert found[0][1].startswith(
        "Forbidden: estimated messageExpression cost exceeds budget by factor of more than 100x"
    )
    rule = {"rule": "self.min > 0", "messageExpression": "'min %d'.format([self.min])"}
    assert faults({**numbers, "x-kubernetes-validations": [rule]}) == []


ENVIRONMENT = Environment(
    {
        "self": Struct(
            "self",
            {
                "texts": list_of(STRING.sized(40), 10),
                "map": map_of(STRING.sized(20), INT, 10),
                "text": STRING.sized(80),
                "number": INT,
            },
        ),
        "any": DYN,
    }
)
DATA = st.fixed_dictionaries(
    {
        "texts": st.lists(st.text(max_size=10), max_size=10),
        "map": st.dictionaries(st.text(max_size=5), st.integers(0, 5), max_size=10),
        "text": st.text(max_size=20),
        "number": st.integers(-5, 5),
    }
)


@pytest.mark.parametrize(
    "expression",
    [
        "self.texts.all(x, x.startsWith(self.text))",
        "self.texts.map(x, x + self.text)",
        "self.texts.filter(x, self.texts.exists(y, x == y))",
        "self.map.all(k, self.map[k] > 0)",
        "self.map.transformList(k, v, k + string(v))",
        "self.text in self.texts",
        "self.texts.join(self.text)",
        "self.text.replace('a', 'bb').split('b')",
        "self.text.matches('^[a-z]+$') || self.text.contains('x')",
        "cel.bind(t, self.text + self.text, t + t)",
        "self.number > 0 ? self.texts.size() : self.map.size()",
        "self.texts == self.texts && self.map == self.map",
        "sets.contains(self.texts, self.texts)",
        "self.texts.isSorted()",
    ],
)
@given(data=DATA)
def test_nothing_costs_more_than_was_estimated(expression, data):
    program = compile(expression, ENVIRONMENT)
    assert program.run({"self": data}).cost <= program.cost.high


NUMBERS = list(range(1000))
BOMBS = [
    pytest.param("any.all(a, any.all(b, any.all(c, a + b + c >= 0)))", NUMBERS, id="loops in loops"),
    pytest.param("any.map(a, any.map(b, any.map(c, [a, b, c]))).size() > 0", NUMBERS, id="lists of lists of lists"),
    pytest.param(
        "any.all(a, any == [any] || any == any + [a])", NUMBERS, id="comparing large values again and again"
    ),
    pytest.param(
        "cel.bind(a, any + any, cel.bind(b, a + a, cel.bind(c, b + b, cel.bind(d, c + c, cel.bind(e, d + d,"
        " cel.bind(f, e + e, cel.bind(g, f + f, cel.bind(h, g + g, size(h + h) > 0))))))))",
        "x" * 100_000,
        id="a text that doubles",
    ),
    pytest.param("any.replace('x', any).size() > 0", "x" * 20_000, id="a text in a text"),
    pytest.param("any.split('').join(any).size() > 0", "x" * 20_000, id="a text between texts"),
    pytest.param("any.all(x, any.indexOf(x) >= 0 && any.lastIndexOf(-1) == -1)", NUMBERS * 10, id="searches"),
    pytest.param("sets.equivalent(any, any)", NUMBERS * 10, id="sets"),
    pytest.param("any.all(a, (any[0] + any[0]).size() > 0)", ["x" * 2_000_000] * 500, id="long texts put together"),
    pytest.param(
        "any.all(a, 'xxxxxxxxxxxx'.replace('x', any[0]).size() > 0)", ["x" * 500_000] * 2000, id="long texts put in"
    ),
    pytest.param(
        "any.all(a, '%s%s%s'.format([any[0], any[0], any[0]]) != '')", ["x" * 2_000_000] * 500, id="formats"
    ),
    pytest.param("any.all(a, any.all(b, any[0] <= b))", ["x" * 1_000_000] * 1000, id="long texts in their order"),
    pytest.param("any.all(a, ['', '', ''].join(any[0]) != '')", ["x" * 2_000_000] * 2000, id="long texts between"),
    pytest.param("any.matches('(a+)+$')", "a" * 100_000 + "!", id="a pattern that is slow elsewhere"),
    pytest.param("any.matches('((((x{1,30}){1,30}){1,30}){1,30})')", "x" * 1000, id="a pattern that grows"),
    pytest.param("('%.999999999f').format([1.0]).size() > 0", None, id="a number with many digits"),
    pytest.param("any.all(a, a.findAll('.').size() > 0)", ["x" * 1000] * 1000, id="findings"),
]


@pytest.mark.parametrize(("expression", "value"), BOMBS)
def test_bombs_are_cut_off(expression, value):
    program = compile(expression, ENVIRONMENT)
    begun = time.process_time()
    try:
        program.run({"any": value})
    except CelError:
        pass
    assert time.process_time() - begun < 20, "a budget is about a second of work, less on a quiet machine"


def test_logic_does_not_hide_that_the_budget_is_gone():
    program = compile("any.all(a, any.all(b, any.all(c, a >= 0))) || true", ENVIRONMENT)
    with pytest.raises(CostExceeded):
        program.run({"any": NUMBERS})


@pytest.mark.parametrize(
    "expression",
    [
        "[1].map(a," * 31 + "1" + ")" * 31,
        " && ".join(["true"] * 10_000),
        "'a'" + " + 'a'" * 10_000,
        "-" * 10_000 + "1",
        "[" + ",".join(["1"] * 20_000) + "]",
    ],
    ids=["loops", "claims", "sums", "signs", "elements"],
)
def test_large_expressions_compile_or_are_refused_soon(expression):
    begun = time.process_time()
    try:
        compile(expression, ENVIRONMENT)
    except CelError:
        pass
    assert time.process_time() - begun < 20  # a second or two on a quiet machine
