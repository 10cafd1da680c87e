"""The page on conformance says what the tests say."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_that_of_the_marks_and_every_number_is_known() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "conformance.py"))
    assert (ROOT / "docs" / "conformance.md").read_text() == tool["page"](), "run tools/conformance.py --write"
    known = {number for titles in tool["behaviours"]().values() for number in titles}
    assert len(known) == 462
    assert set(tool["marked"]()) <= known
