"""`bireme sim` as it is typed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bireme.cli.errors import CliError
from bireme.cli.sim import sim

SCENARIO = """
duration: 10m
nodes: [{pool: n, count: 2, cpu: 2, memory: 4Gi}]
workloads: [{name: j, arrivals: {at: [1s, 2s]}, template: {cpu: 1, memory: 1Gi, duration: 1m}}]
expect: {all_placed: true, max_wait: MOST}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO.replace("MOST", "1s"))
    return path


def typed(*words: object) -> Result:
    return CliRunner().invoke(sim, [str(word) for word in words])


def test_a_play_is_one_line_and_what_was_expected(scenario: Path, tmp_path: Path) -> None:
    result = typed("run", scenario, "--out", tmp_path / "out")
    assert result.exit_code == 0
    first, *rest = result.output.splitlines()
    assert first.startswith(" simulated 0h10m in ")
    assert first.endswith(" · 2 placements · p99 wait 0.0s · utilisation cpu 5.2 %, memory 2.6 %")
    assert rest == [" ✓ all_placed 0: 0", " ✓ max_wait 1: 0"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["placements"] == 2


def test_what_does_not_hold_is_an_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO.replace("MOST", "10s").replace("count: 2", "count: 0"))
    result = typed("run", path)
    assert result.exit_code == 1
    assert " ✗ all_placed 0: 2" in result.output


def test_flags_go_before_the_file(scenario: Path) -> None:
    said = json.loads(typed("run", scenario, "--json", "--seed", 9, "--nodes", 3).output)
    assert (said["seed"], said["nodes"]) == (9, 3)


@pytest.mark.parametrize("speed", ["fast", "0", "-1"])
def test_a_speed_is_a_number_or_max(speed: str, scenario: Path) -> None:
    result = typed("run", scenario, "--speed", speed)
    assert result.exit_code == 2
    assert "max, or how many seconds pass in one" in result.output


def test_errors_are_told_as_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("nodes: 1\n")
    for verb in ("run", "check"):
        error = typed(verb, path).exception
        assert isinstance(error, CliError)
        assert error.message == "s.yaml:1: nodes: a list is needed"


def test_a_trace_that_is_made_can_be_played(tmp_path: Path) -> None:
    made = typed("trace", "--jobs", 50, "--hours", 24, "--seed", 1)
    assert made.output == typed("trace", "--jobs", 50, "--hours", 24, "--seed", 1).output
    assert made.output != typed("trace", "--jobs", 50, "--hours", 24, "--seed", 2).output
    (tmp_path / "t.csv").write_text(made.output)
    (tmp_path / "s.yaml").write_text(
        "nodes: [{pool: n, count: 5}]\nworkloads: [{name: t, arrivals: {trace: t.csv}}]\nexpect: {all_placed: true}\n"
    )
    result = typed("run", tmp_path / "s.yaml")
    assert result.exit_code == 0
    assert " 0 placements" not in result.output
    assert "1 workloads" in typed("check", tmp_path / "s.yaml").output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param("workloads: [{name: t, arrivals: {trace: no.csv}}]", "no.csv: No such file", id="a trace"),
        pytest.param("scheduler: {plugins: no.py}", "no.py: FileNotFoundError", id="a plug-in"),
        pytest.param("events: [{at: 1m, fail: {nodes: x}}]", "events[0]: no node is meant by nodes x", id="a node"),
    ],
)
def test_what_a_scenario_names_is_checked_too(more: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"nodes: [{{pool: n, count: 1}}]\n{more}\n")
    error = typed("check", path).exception
    assert isinstance(error, CliError)
    assert said in error.message


def test_a_folder_that_cannot_be_made_is_known_before_the_play(scenario: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    scenario.write_text("nodes: 1\n")
    assert isinstance(typed("run", scenario, "--out", tmp_path / "file" / "out").exception, OSError)


@pytest.mark.parametrize("words", [("--cpu", "many"), ("--memory", "0")])
def test_hollow_nodes_have_amounts(words: tuple[str, str]) -> None:
    error = typed("nodes", *words).exception
    assert isinstance(error, CliError)
    assert error.message.startswith(" ".join(words))
