import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.errors import BadRequest
from bireme.api.kinds import meta
from bireme.api.selectors import NOTHING, FieldSelector, LabelSelector

LABELS = {"app": "web", "tier": "front", "n": "5", "example.com/x": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app = web , tier = front", True),
        ("app!=web", False),
        ("missing!=web", True),
        ("app in (web, api)", True),
        ("app in (api)", False),
        ("app notin (api,db)", True),
        ("missing notin (a)", True),
        ("app", True),
        ("missing", False),
        ("!app", False),
        ("! missing", True),
        ("n>4", True),
        ("n > 5", False),
        ("n<6", True),
        ("app>1", False),
        ("example.com/x", True),
        ("example.com/x=", True),
        ("example.com/x=,app", True),
        ("example.com/x in (,a)", True),
        ("app in ()", False),
        ("in=a", False),
    ],
)
def test_label_selector(text: str, expected: bool) -> None:
    assert LabelSelector.parse(text).matches(LABELS) is expected


@pytest.mark.parametrize(
    "text",
    [
        "=a",
        "a=b,",
        ",",
        "a b",
        "a=b=c",
        "a in",
        "a in b",
        "a in (b",
        "a in (b c)",
        "a>b",
        "!",
        "a=!",
        "/a=b",
        "UP/a",
        "a=b c",
        "a;b",
        "a='b'",
        "a=" + "x" * 64,
        "x" * 64,
        "a in (b)c",
        "a%00",
        "a=b\n--",
    ],
)
def test_bad_label_selectors_are_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        LabelSelector.parse(text)


def test_label_selector_reads_back() -> None:
    text = "!d,a=1,b in (x,y),c,e!=f,g notin (h),n>4"
    selector = LabelSelector.parse(text)
    assert LabelSelector.parse(str(selector)) == selector


def test_label_selector_from_its_structure() -> None:
    expressions = [
        meta.LabelSelectorRequirement(key="tier", operator="In", values=["front", "back"]),
        meta.LabelSelectorRequirement(key="gone", operator="DoesNotExist"),
    ]
    selector = LabelSelector.from_struct(
        meta.LabelSelector(match_labels={"app": "web"}, match_expressions=expressions)
    )
    assert selector.matches(LABELS)
    assert not selector.matches({**LABELS, "gone": ""})
    assert LabelSelector.from_struct(None) is NOTHING
    assert not NOTHING.matches({})
    assert LabelSelector.from_struct(meta.LabelSelector()).everything
    with pytest.raises(BadRequest):
        LabelSelector.from_struct(
            meta.LabelSelector(match_expressions=[meta.LabelSelectorRequirement(key="a", operator="=")])
        )
    with pytest.raises(BadRequest):
        LabelSelector.from_struct(
            meta.LabelSelector(match_expressions=[meta.LabelSelectorRequirement(key="a", operator="In")])
        )


def test_selector_of_equal_labels() -> None:
    assert LabelSelector.of({"app": "web"}).matches(LABELS)
    assert not LabelSelector.of({"app": "api"}).matches(LABELS)


FIELDS = {"metadata.name": "a", "spec.nodeName": "", "status.phase": "Running", "type": "x,y=z"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==a,status.phase!=Failed", True),
        ("spec.nodeName=", True),
        ("spec.nodeName!=", False),
        ("metadata.name!=a", False),
        (r"type=x\,y\=z", True),
    ],
)
def test_field_selector(text: str, expected: bool) -> None:
    selector = FieldSelector.parse(text, FIELDS)
    assert selector.matches(lambda field: FIELDS.get(field, "")) is expected
    assert FieldSelector.parse(str(selector), FIELDS) == selector


@pytest.mark.parametrize(
    "text", ["nope=a", "metadata.name", "metadata.name in (a)", "metadata.name=a=b", "=a", "a>b"]
)
def test_bad_field_selectors_are_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        FieldSelector.parse(text, FIELDS)


def test_field_selector_tells_exact_values() -> None:
    selector = FieldSelector.parse("spec.nodeName=n1,status.phase!=Failed", FIELDS)
    assert selector.exact("spec.nodeName") == "n1"
    assert selector.exact("status.phase") is None
    assert not selector.everything


@given(st.text(st.sampled_from("ab=!<>(), inotx\\1"), max_size=30))
def test_odd_selectors_read_back_or_are_refused(text: str) -> None:
    with contextlib.suppress(BadRequest):
        selector = LabelSelector.parse(text)
        assert LabelSelector.parse(str(selector)) == selector
    with contextlib.suppress(BadRequest):
        fields = FieldSelector.parse(text, ["a", "b"])
        assert FieldSelector.parse(str(fields), ["a", "b"]) == fields
