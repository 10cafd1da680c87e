"""Plays with the whole control plane: what a cluster would do, the same twice, and near what the lean model says."""

from pathlib import Path
from typing import Any

import pytest

from bireme.simulation.reading import ScenarioError
from bireme.simulation.report import Report
from bireme.simulation.simulation import Simulation

WEB = {"cpu": 1, "memory": "1Gi", "start": {"uniform": ["1s", "3s"]}, "ready": "2s"}
STORY: dict[str, Any] = {
    "duration": "15m",
    "step": "1m",
    "nodes": [{"pool": "n", "count": 4, "cpu": 4, "memory": "8Gi", "racks": 2}],
    "workloads": [
        {"name": "web", "kind": "deployment", "replicas": 4, "template": WEB},
        {
            "name": "job",
            "namespace": "x",
            "arrivals": {"at": ["30s", "1m", "2m"]},
            "template": {"cpu": 1, "memory": "1Gi", "duration": "1m"},
        },
    ],
    "events": [
        {"at": "3m", "update": "web", "template": {**WEB, "cpu": "1100m"}},
        {"at": "5m", "fail": {"nodes": "n-3"}},
        {"at": "13m", "drain": {"nodes": "n-0"}},
    ],
    "expect": {"all_placed": True},
}


def played(*, full: bool) -> Report:
    return Simulation(seed=5, full=full).run(STORY)


@pytest.mark.timeout(120)
def test_a_control_plane_is_played_and_twice_the_same(tmp_path: Path) -> None:
    report = played(full=True)
    summary = report.summary
    assert report.ok
    assert summary["counts"]["completed"] == 3
    assert summary["counts"]["nodes lost"] == 1
    assert summary["least_available"]["web"] >= 0.5
    # Four at first and four in the update; the lost node's are replaced five minutes after it was seen as lost.
    updated = [each for each in report.placements if each.workload == "web"][4:8]
    assert all(180 <= each.time < 240 for each in updated)
    lost = sum(each.node == "n-3" for each in updated)
    moved = [each.time for each in report.placements if 600 < each.time < 780]
    assert len(moved) == lost
    assert all(630 <= at <= 660 for at in moved)  # its last renewal may have been 10 s before
    assert not any(each.node == "n-0" for each in report.placements if each.time > 780)
    report.write(tmp_path / "a")
    played(full=True).write(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_what_can_not_be_played_is_told_as_it_is_in_the_lean_model() -> None:
    failing = {**STORY, "events": [{"at": "1m", "fail": {"rack": "none"}}]}
    with pytest.raises(ScenarioError, match=r"events\[0\]: no node is meant by rack none"):
        Simulation(full=True).run(failing)


@pytest.mark.timeout(120)
def test_priorities_count_there_too() -> None:
    job = {"cpu": 4, "memory": "1Gi", "duration": "5m"}
    story = {
        "duration": "12m",
        "nodes": [{"pool": "n", "count": 1, "cpu": 4, "memory": "8Gi"}],
        "workloads": [
            {"name": "low", "arrivals": {"at": ["10s"]}, "template": job},
            {"name": "high", "priority": 100, "arrivals": {"at": ["1m"]}, "template": job},
        ],
    }
    report = Simulation(full=True).run(story)
    assert [each.workload for each in report.placements] == ["low", "high", "low"]
    assert report.placements[1].wait < 60
    assert report.summary["counts"]["completed"] == 2


@pytest.mark.timeout(60)
def test_the_lean_model_is_near() -> None:
    full, lean = played(full=True), played(full=False)
    assert full.summary["placements"] == pytest.approx(lean.summary["placements"], abs=2)
    assert full.summary["utilisation"]["cpu"] == pytest.approx(lean.summary["utilisation"]["cpu"], abs=0.03)


def test_nodes_fail_by_chance_here_too_and_outages_that_overlap_are_one() -> None:
    pools = [
        {"pool": "n", "count": 1, "failures": {"mtbf": "2m", "mttr": "2m"}},
        {"pool": "m", "count": 1},
    ]
    events = [
        {"at": "2m", "fail": {"nodes": "m-0"}, "recover_after": "2m"},
        {"at": "3m", "fail": {"nodes": "m-0"}, "recover_after": "4m"},
    ]
    tree = {"duration": "30m", "step": "1m", "nodes": pools, "events": events}
    report = Simulation(seed=3, full=True).run({**tree, "events": []})
    assert report.summary["counts"]["nodes lost"] >= 2
    report = Simulation(seed=3, full=True).run({**tree, "nodes": [{"pool": "m", "count": 1}]})
    down = [sample.time / 60 for sample in report.samples if not sample.have.get("cpu")]
    assert report.summary["counts"]["nodes lost"] == 1
    assert (down[0], down[-1]) == (3, 7)


def test_what_the_api_server_refuses_is_told() -> None:
    with pytest.raises(ScenarioError, match="the API server refuses it: Deployment"):
        Simulation(full=True).run({**STORY, "workloads": [{**STORY["workloads"][0], "name": "J b"}], "events": []})
