"""Label selectors."""

import pytest

from bireme.marathon.errors import MarathonError
from bireme.marathon.label_query import parse

LABELS = {"tier": "web", "team": "blue", "odd key": "a,b"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tier==web", True),
        ("tier == db", False),
        ("tier!=db", True),
        ("none!=db", True),
        ("tier in (web, db)", True),
        ("tier notin (web)", False),
        ("tier", True),
        ("none", False),
        ("tier==web, team==blue", True),
        ("tier==web,team==red", False),
        (r"odd\ key==a\,b", True),
    ],
)
def test_selectors(text: str, expected: bool) -> None:
    assert parse(text)(LABELS) is expected


@pytest.mark.parametrize("text", ["tier===web", "tier in web", "==x", "tier==web,", "(a)"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(MarathonError, match="label selector"):
        parse(text)
