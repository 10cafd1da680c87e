"""What rules allow, and that nobody can give on what he does not hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.registry.access import Attempt
from bireme.registry.rbac_rules import EVERYTHING, Rule, allows, compiled, uncovered


def rule(verbs: str, groups: str = "", resources: str = "", names: str = "", paths: str = "") -> Rule:
    return Rule(
        frozenset(verbs.split()),
        frozenset("" if group == "core" else group for group in groups.split()),
        frozenset(resources.split()),
        frozenset(names.split()),
        tuple(paths.split()),
    )


@pytest.mark.parametrize(
    ("held", "attempt", "allowed"),
    [
        pytest.param(rule("get", "core", "pods"), Attempt("get", resource="pods", name="a"), True, id="a plain rule"),
        pytest.param(rule("get", "core", "pods"), Attempt("list", resource="pods"), False, id="another verb"),
        pytest.param(rule("get", "core", "pods"), Attempt("get", "apps", resource="pods"), False, id="another group"),
        pytest.param(
            rule("get", "core", "pods"), Attempt("get", resource="pods", subresource="log"), False, id="a part"
        ),
        pytest.param(
            rule("get", "core", "pods/log"), Attempt("get", resource="pods", subresource="log"), True, id="that"
        ),
        pytest.param(
            rule("get", "*", "*/scale"), Attempt("get", "x", resource="a", subresource="scale"), True, id="*/x"
        ),
        pytest.param(rule("*", "*", "*"), Attempt("get", "x", resource="a", subresource="b"), True, id="stars"),
        pytest.param(
            rule("get", "core", "pods", "a"), Attempt("get", resource="pods", name="a"), True, id="its name"
        ),
        pytest.param(rule("get", "core", "pods", "a"), Attempt("get", resource="pods", name="b"), False, id="a name"),
        pytest.param(
            rule("create", "core", "pods", "a"), Attempt("create", resource="pods"), False, id="no name yet"
        ),
        pytest.param(rule("get", paths="/healthz/*"), Attempt("get", path="/healthz/ping"), True, id="paths below"),
        pytest.param(rule("get", paths="/healthz"), Attempt("get", path="/healthz/ping"), False, id="a path alone"),
        pytest.param(rule("*", "*", "*"), Attempt("get", path="/metrics"), False, id="resources are no paths"),
    ],
)
def test_rules(held: Rule, attempt: Attempt, allowed: bool) -> None:
    assert allows([held], attempt) is allowed


_words = {
    "verbs": st.sampled_from(["get", "list", "create", "*"]),
    "apiGroups": st.sampled_from(["", "apps", "*"]),
    "resources": st.sampled_from(["pods", "pods/log", "deployments", "*/log", "*"]),
    "resourceNames": st.sampled_from(["a", "b"]),
}


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    said: dict[str, Any] = {
        name: draw(st.lists(words, min_size=0 if name == "resourceNames" else 1, max_size=2))
        for name, words in _words.items()
    }
    return Rule.of(said)


attempts = st.builds(
    Attempt,
    st.sampled_from(["get", "list", "create", "delete"]),
    st.sampled_from(["", "apps", "batch"]),
    resource=st.sampled_from(["pods", "deployments", "jobs"]),
    subresource=st.sampled_from(["", "log", "scale"]),
    name=st.sampled_from(["", "a", "b", "c"]),
)


@given(st.lists(rules(), max_size=4), st.lists(rules(), max_size=3), st.lists(attempts, min_size=5, max_size=20))
def test_c27_what_is_covered_lets_nobody_do_more(owned: list[Rule], wanted: list[Rule], tries: list[Attempt]) -> None:
    if uncovered(owned, wanted):
        return
    for attempt in tries:
        assert allows(owned, attempt) or not allows(wanted, attempt)


@given(st.lists(rules(), max_size=4))
def test_everybody_covers_himself_and_an_administrator_everything(held: list[Rule]) -> None:
    assert not uncovered(held, held)
    assert not uncovered(EVERYTHING, held)


def test_what_is_lacking_is_told_piece_by_piece() -> None:
    held = compiled([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}])
    wanted = compiled([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "secrets"]}])
    lacking = uncovered(held, wanted)
    assert [(sorted(one.verbs), sorted(one.resources)) for one in lacking] == [
        (["get"], ["secrets"]),
        (["list"], ["pods"]),
        (["list"], ["secrets"]),
    ]
