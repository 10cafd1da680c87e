"""Run the conformance tests and tell, by area, how many behaviours passed, failed and have no test yet.

    conformance.py            run, print the table, write docs/conformance.md
    conformance.py --write    only write docs/conformance.md, from the marks on the tests

A behaviour is tested where a test bears its number: `@pytest.mark.conformance("AM-036")`. One that has several
tests passed if all of them did. Source of the list: the CNCF conformance document for Kubernetes 1.37.
"""

import ast
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "conformance.md"
HEAD = """# Conformance

The behaviours that the conformance suite of Kubernetes 1.37 asks for, with the tests of ours that hold them
against a running cluster, by real clients. `make conformance` runs those that need no container; those under
`tests/e2e` run with real ones in `make e2e`. This page is written by `tools/conformance.py`.

| area | behaviours | tested | not yet |
| --- | --- | --- | --- |
"""


def behaviours() -> dict[str, dict[str, str]]:
    """Number to title, by area, in the order of the document."""
    areas: dict[str, dict[str, str]] = {}
    for line in (TESTS / "conformance" / "behaviours.txt").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if first == "#":
            area = areas.setdefault(rest, {})
        else:
            area[first] = rest
    return areas


def marked() -> dict[str, list[str]]:
    """Number to the tests that bear it, as `file::name`."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for number, name in marks_of(path):
            found.setdefault(number, []).append(f"{path.relative_to(ROOT)}::{name}")
    return found


def marks_of(path: Path) -> Iterator[tuple[str, str]]:
    """The numbers in the decorators of a file's tests, with each test's name."""
    text = path.read_text()
    if "mark.conformance" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
            continue
        for call in (each for decorator in node.decorator_list for each in ast.walk(decorator)):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "conformance":
                yield from ((str(arg.value), node.name) for arg in call.args if isinstance(arg, ast.Constant))


def page() -> str:
    """The text of docs/conformance.md."""
    tests, areas = marked(), behaviours()
    rows, details = [], []
    for area, titles in areas.items():
        done = sum(number in tests for number in titles)
        rows.append(f"| {area} | {len(titles)} | {done} | {len(titles) - done} |\n")
        details.append(f"\n## {area}\n\n")
        for number, title in titles.items():
            where = ", ".join(f"`{each.removeprefix('tests/')}`" for each in dict.fromkeys(tests.get(number, ())))
            details.append(f"- {number} {title}: {where or 'not yet'}\n")
    return HEAD + "".join(rows) + "".join(details)


def results(report: Path) -> dict[str, bool]:
    """Whether each number that was run passed."""
    outcome: dict[str, bool] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        passed = all(case.find(kind) is None for kind in ("failure", "error", "skipped"))
        for said in case.iter("property"):
            if said.get("name") == "conformance":
                number = said.get("value", "")
                outcome[number] = passed and outcome.get(number, True)
    return outcome


def table(outcome: dict[str, bool]) -> str:
    """The outcome of a run by area."""
    lines = [f"{'area':<16}{'behaviours':>12}{'passed':>8}{'failed':>8}{'not yet':>9}"]
    for area, titles in behaviours().items():
        ran = [outcome[number] for number in titles if number in outcome]
        counts = (len(titles), sum(ran), len(ran) - sum(ran), len(titles) - len(ran))
        lines.append(f"{area:<16}{counts[0]:>12}{counts[1]:>8}{counts[2]:>8}{counts[3]:>9}")
    failed = [number for number, passed in outcome.items() if not passed]
    return "\n".join([*lines, *([f"failed: {', '.join(failed)}"] if failed else [])]) + "\n"


def main() -> None:
    PAGE.write_text(page())
    if "--write" in sys.argv:
        return
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "tests/conformance", "-n", "2", f"--junitxml={report}"]
        code = subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, check=False).returncode
        sys.stdout.write("\n" + table(results(report)))
    sys.exit(code)


if __name__ == "__main__":
    main()
