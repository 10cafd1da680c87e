"""Plays of small scenarios: determinism, waits, failures, updates, plug-ins."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bireme.simulation.lean import Player
from bireme.simulation.plugins import NodeTable, scorer
from bireme.simulation.pod import State
from bireme.simulation.reading import ScenarioError
from bireme.simulation.report import Report
from bireme.simulation.scenario import Scenario
from bireme.simulation.simulation import Simulation


def played(tree: dict[str, Any], **how: Any) -> Report:
    base: dict[str, Any] = {"duration": "1h", "nodes": [{"pool": "n", "count": 4, "cpu": 4, "memory": "8Gi"}]}
    return Simulation(**how).run({**base, **tree})


def jobs(**fields: Any) -> dict[str, Any]:
    template = {"cpu": 1, "memory": "1Gi", "duration": "10m", **fields.pop("template", {})}
    return {"name": "j", "arrivals": {"at": ["1s"]}, "template": template, **fields}


def web(**fields: Any) -> dict[str, Any]:
    template = {"cpu": 1, "memory": "1Gi", "start": "2s", **fields.pop("template", {})}
    return {"name": "web", "kind": "deployment", "replicas": 4, "template": template, **fields}


def test_a_job_is_placed_and_ends() -> None:
    report = played({"workloads": [jobs()]})
    assert report.summary["counts"] == {"completed": 1}
    assert [(each.time, each.pod, each.node, each.wait) for each in report.placements] == [(1.0, "j-0", "n-0", 0.0)]
    # 1 of 16 cores for 2s of start and 600s of work in an hour.
    assert report.summary["utilisation"]["cpu"] == pytest.approx(602 / 3600 / 16, abs=1e-6)


def test_what_does_not_fit_waits_for_room_and_no_longer() -> None:
    report = played({"workloads": [jobs(pods=17)]})
    assert report.summary["placements"] == 17
    last = report.placements[-1]
    assert last.tries == 4  # when it came, twice as the queue's net of 5 minutes has it, when there was room
    assert last.wait == pytest.approx(602, abs=0.1)


def test_the_highest_priority_goes_first() -> None:
    low, high = jobs(pods=16, name="low"), jobs(pods=16, name="high", priority=10)
    report = played({"workloads": [low, high]})
    assert {each.workload for each in report.placements[:16]} == {"high"}


def test_lesser_pods_make_room_and_are_made_anew() -> None:
    low = jobs(pods=16, name="low")
    high = jobs(name="high", priority=10, arrivals={"at": ["1m"]})
    report = played({"workloads": [low, high]})
    assert (report.summary["counts"]["preempted"], report.summary["counts"]["displaced"]) == (1, 1)
    urgent = next(each for each in report.placements if each.workload == "high")
    assert (urgent.time, urgent.wait) == (60.0, 0.0)
    assert report.summary["counts"]["completed"] == 17
    assert sum(each.workload == "low" for each in report.placements) == 17


def test_who_never_preempts_waits() -> None:
    low = jobs(pods=16, name="low")
    high = jobs(name="high", priority=10, arrivals={"at": ["1m"]}, template={"spec": {"preemptionPolicy": "Never"}})
    report = played({"workloads": [low, high]})
    assert "preempted" not in report.summary["counts"]
    assert next(each for each in report.placements if each.workload == "high").wait > 500


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    tree = {
        "nodes": [{"pool": "n", "count": 20, "racks": 4, "failures": {"mtbf": "2h", "mttr": "10m"}}],
        "duration": "6h",
        "workloads": [
            web(replicas=30),
            jobs(
                name="p",
                arrivals={"poisson": {"rate": 0.05, "daily": 0.5}},
                template={"duration": {"lognormal": {"median": "10m", "sigma": 1}}, "fail": 0.1},
            ),
        ],
        "events": [{"at": "2h", "fail": {"random": 3}, "recover_after": "30m"}],
    }
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        played(tree, seed=seed).write(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["fairness.csv", "placements.csv", "report.json", "utilisation.csv", "waits.csv"]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (tmp_path / "a" / "placements.csv").read_bytes() != (tmp_path / "c" / "placements.csv").read_bytes()


def test_one_workload_draws_nothing_from_anothers_chances() -> None:
    first, second = (
        jobs(name=name, arrivals={"poisson": {"rate": 0.01}}, template={"cpu": "100m", "memory": "1Mi"})
        for name in "ab"
    )
    alone = played({"workloads": [first]})
    beside = played({"workloads": [second, first]})
    assert [each.time for each in alone.placements] == [e.time for e in beside.placements if e.workload == "a"]


def test_jobs_that_fail_are_made_anew_until_they_are_given_up() -> None:
    report = played({"workloads": [jobs(retries=2, template={"fail": 1, "duration": "1s", "start": "0s"})]})
    assert report.summary["counts"] == {"failed": 2, "given up": 1}
    # 1s of work, 10s of back-off, 1s, 20s.
    assert [round(each.time) for each in report.placements] == [1, 12, 33]


def test_pods_of_a_lost_node_are_replaced_after_it_was_seen_and_waited_for() -> None:
    failing = {"at": "10m", "fail": {"nodes": "n-0"}}
    report = played({"workloads": [web()], "events": [failing]})
    moved = report.placements[4:]
    assert [(round(each.time), each.node != "n-0") for each in moved] == [(600 + 40 + 300, True)]
    assert report.summary["counts"] == {"node failures": 1, "displaced": 1}
    assert report.summary["least_available"] == {"web": 0.75}


def test_failures_that_overlap_are_one_until_the_last_has_ended() -> None:
    first = {"at": "10m", "fail": {"nodes": "n-0"}, "recover_after": "10m"}
    second = {"at": "14m", "fail": {"nodes": "n-0"}, "recover_after": "10m"}
    report = played({"workloads": [web()], "events": [first, second], "step": "1m"})
    assert [round(each.time) for each in report.placements[4:]] == [600 + 40 + 300]  # as of the first
    assert report.summary["counts"] == {"node failures": 1, "displaced": 1, "node recoveries": 1}
    assert [sample.have["cpu"] for sample in report.samples[23:26]] == [12000, 16000, 16000]


def test_of_pods_that_are_too_many_those_made_last_go() -> None:
    tree = {
        "nodes": [{"pool": "n", "count": 4}],
        "duration": "1h",
        "workloads": [web()],
        "events": [{"at": "10m", "scale": "web", "replicas": 6}, {"at": "20m", "scale": "web", "replicas": 3}],
    }
    simulation, scenario = Simulation(), Scenario.of(tree)
    player = Player(scenario, simulation.profile(scenario), seed=0)
    player.play()
    left = player.deployments["web"].groups[-1].pods
    assert [(pod.created, pod.state) for pod in left.values()] == [(0.0, State.READY)] * 3
    assert [pod.name for pod in left.values()] == [each.pod for each in player.recorder.placements[:3]]


def test_a_node_that_is_back_in_time_keeps_its_pods() -> None:
    failing = {"at": "10m", "fail": {"nodes": "n-0"}, "recover_after": "2m"}
    report = played({"workloads": [web(), jobs(pods=4)], "events": [failing]})
    assert report.summary["counts"] == {"completed": 4, "node failures": 1, "node recoveries": 1}
    assert len(report.placements) == 8
    assert report.samples[-1].have["cpu"] == 16000


def test_what_is_sent_to_a_node_before_it_is_seen_as_lost_never_starts_there() -> None:
    failing = {"at": "599s", "fail": {"pool": "n"}, "recover_after": "1000s"}
    report = played({"workloads": [jobs(arrivals={"at": ["10m"]})], "events": [failing]})
    assert [(round(each.time), each.pod) for each in report.placements] == [(600, "j-0"), (1599, "j-0~1")]
    assert report.summary["counts"]["completed"] == 1


def test_an_outage_of_a_rack_takes_its_nodes_alone() -> None:
    nodes = [{"pool": "n", "count": 4, "racks": 2, "zones": ["a", "b"]}]
    failing = {"at": "10m", "fail": {"rack": "n-rack-1"}, "recover_after": "10m"}
    report = played({"nodes": nodes, "workloads": [web()], "events": [failing], "step": "5m"})
    assert [sample.have["cpu"] for sample in report.samples[:5]] == [64000, 64000, 32000, 32000, 64000]
    with pytest.raises(ScenarioError, match=r"events\[0\]: no node is meant by rack none"):
        played({"events": [{"at": "1s", "fail": {"rack": "none"}}]})


def test_a_rolling_update_keeps_its_promise_and_replaces_all() -> None:
    update = {"at": "10m", "update": "web", "template": {"cpu": 1, "memory": "1Gi", "start": "10s"}}
    report = played({"workloads": [web(replicas=8)], "events": [update]})
    assert report.summary["least_available"] == {"web": 0.75}
    assert sum(each.pod.startswith("web-1-") for each in report.placements) == 8
    assert report.samples[-1].placed == 8
    assert max(sample.used.get("cpu", 0) for sample in report.samples) <= 10000


def test_a_deployment_is_scaled_up_and_down() -> None:
    scales = [{"at": "10m", "scale": "web", "replicas": 10}, {"at": "20m", "scale": "web", "replicas": 2}]
    report = played({"workloads": [web()], "events": scales, "step": "15m"})
    assert [sample.placed for sample in report.samples] == [0, 10, 2, 2, 2]


def test_a_drain_leaves_as_many_as_are_promised() -> None:
    drain = {"at": "10m", "drain": {"nodes": ["n-0", "n-1"]}, "recover_after": "30m"}
    report = played({"workloads": [web(replicas=8, max_unavailable=1)], "events": [drain]})
    assert report.summary["least_available"] == {"web": 0.875}
    assert {each.node for each in report.placements[8:]} <= {"n-2", "n-3"}
    assert report.summary["counts"]["displaced"] == 4


def test_a_decision_takes_its_time() -> None:
    report = played({"workloads": [jobs(pods=3)], "scheduler": {"decision": "2s"}})
    assert [each.time for each in report.placements] == [1.0, 3.0, 5.0]


def test_a_trace_is_played_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("time,name,cpu,memory,duration,namespace\n5,b,500m,1Gi,60,x\n2,a,2,1Gi,,y\n")
    (tmp_path / "s.yaml").write_text(
        "duration: 10m\nnodes: [{pool: n, count: 1}]\nworkloads: [{name: t, arrivals: {trace: t.csv}}]\n"
    )
    report = Simulation().run(tmp_path / "s.yaml")
    assert [(each.time, each.pod, each.namespace) for each in report.placements] == [(2.0, "a", "y"), (5.0, "b", "x")]
    assert report.summary["counts"] == {"completed": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("time,size\n", "t.csv:1: there is no column 'size'; allowed: time, name", id="column"),
        pytest.param("name\nx\n", "t.csv:1: the column 'time' is missing", id="time"),
        pytest.param("time,cpu\n1,2\n1\n", "t.csv:3: 1 fields in place of 2", id="short"),
        pytest.param("time,cpu\n1,x\n", "t.csv:2: cpu: 'x' can't be read", id="value"),
    ],
)
def test_a_bad_trace_is_named(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / "s.yaml").write_text("nodes: []\nworkloads: [{name: t, arrivals: {trace: t.csv}}]\n")
    with pytest.raises(ScenarioError, match=r"t\.csv") as error:
        Simulation().run(tmp_path / "s.yaml")
    assert expected in str(error.value)


def test_expectations_are_judged() -> None:
    tree = {"workloads": [jobs(pods=17)], "expect": {"all_placed": True, "max_wait": "1m", "min_placements": 17}}
    report = played(tree)
    assert [(each["name"], each["holds"]) for each in report.summary["expect"]] == [
        ("all_placed", True),
        ("max_wait", False),
        ("min_placements", True),
    ]
    assert not report.ok
    assert played({**tree, "expect": {"all_placed": True}}).ok


def test_pods_without_a_node_are_named_with_the_reason() -> None:
    report = played({"workloads": [jobs(template={"cpu": 8})]})
    (unplaced,) = report.summary["longest_unplaced"]
    assert unplaced["pod"] == "j-0"
    assert unplaced["waited_s"] == 3599.0
    assert unplaced["why"] == "0/4 nodes are available: 4 Insufficient cpu."


def test_fairness_is_reckoned_by_namespace() -> None:
    """Half and half is 1; with one of two namespaces holding all, Jain's index is 1/2."""
    halves = [jobs(name=name, namespace=name, pods=8, template={"duration": "2h"}) for name in "ab"]
    assert played({"workloads": halves}).summary["fairness"]["jain_mean"] == pytest.approx(1.0)
    first, second = halves[0] | {"pods": 16}, halves[1]
    report = played({"workloads": [first, second]})
    assert report.samples[-1].jain == 0.5
    assert report.summary["fairness"]["namespaces"]["a"]["dominant_share_max"] == 1.0


# Plug-ins


def last_first(pod: Any, nodes: NodeTable) -> Any:
    return np.arange(len(nodes)) * 100.0 / len(nodes)


@scorer(filters=True)
def never_the_first(pod: Any, nodes: NodeTable) -> Any:
    return [name != "n-0" for name in nodes.names]


def test_a_score_of_ones_own_changes_placements() -> None:
    tree = {"workloads": [jobs()]}
    assert played(tree).placements[0].node == "n-0"
    assert played(tree, plugins=[last_first]).placements[0].node == "n-3"
    assert played(tree, plugins=[never_the_first]).placements[0].node == "n-1"


def test_a_plug_in_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\nWEIGHT = 2\n"
        "def score(pod, nodes):\n    return 100.0 * (nodes.free('cpu') == 8000)\n"
        "def filter(pod, nodes):\n    return np.array(nodes.label('bireme.dev/pool')) == 'big'\n"
    )
    pools = [{"pool": "n", "count": 1, "cpu": 8}, {"pool": "big", "count": 2, "cpu": 16}]
    assert played({"nodes": pools, "workloads": [jobs()]}, plugins=[file]).placements[0].node == "big-0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("x = 1", "has no function named score or filter", id="nothing in it"),
        pytest.param("1 / 0", "ZeroDivisionError", id="breaks"),
        pytest.param("def score(pod, nodes): return [1]", "not one element for each", id="shape"),
        pytest.param("def score(pod, nodes): return [101] * len(nodes)", "not between 0 and 100", id="range"),
        pytest.param("def score(pod, nodes): return nodes.x", "AttributeError", id="raises"),
    ],
)
def test_a_bad_plug_in_is_named(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ScenarioError, match="mine") as error:
        played({"workloads": [jobs()]}, plugins=[tmp_path / "mine.py"])
    assert expected in str(error.value)
