"""What people write is read strictly: errors name the place and what is allowed."""

from pathlib import Path
from random import Random

import pytest

from bireme.simulation.reading import ScenarioError, seconds_of, table_of
from bireme.simulation.scenario import Scenario

SMALL = """
nodes:
  - {pool: a, count: 2, cpu: 4, memory: 8Gi}
workloads:
  - name: web
    kind: deployment
    replicas: 3
"""


def test_a_small_one_is_read_with_its_defaults() -> None:
    scenario = Scenario.parse(SMALL)
    assert (scenario.nodes[0].count, scenario.workloads[0].replicas, scenario.duration) == (2, 3, 86400.0)
    assert scenario.lifecycle.detect == 40.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "scenario: is empty", id="nothing"),
        pytest.param("nodes: [", "scenario:1: no YAML", id="cut"),
        pytest.param(
            "a: 1\n" + SMALL, "scenario:1: a: there is no such field; allowed: nodes, workloads", id="field"
        ),
        pytest.param("name: x", "the file: nodes is missing: the machines", id="missing"),
        pytest.param(
            SMALL + "    replica: 2\n",
            "scenario:8: workloads[0].replica: there is no such field; allowed: name, kind, namespace",
            id="field within",
        ),
        pytest.param(SMALL + "    name: b\n", "scenario:8: workloads[0].name: stands here twice", id="twice"),
        pytest.param("duration: soon\n" + SMALL, "scenario:1: duration: 'soon' is no time", id="time"),
        pytest.param("nodes: [{pool: a, count: many}]", "nodes[0].count: 'many' is no whole number", id="number"),
        pytest.param("nodes: [{pool: a, count: -1}]", "nodes[0].count: -1 is not between 0 and", id="range"),
        pytest.param("nodes: [{pool: a, count: 1, cpu: x}]", "nodes[0].cpu: 'x' is no quantity", id="quantity"),
        pytest.param("nodes: {a: 1}", "scenario:1: nodes: a list is needed", id="list"),
        pytest.param("nodes: [a]", "nodes[0]: fields are needed", id="map"),
        pytest.param("nodes: [{pool: a, count: 1}, {pool: a, count: 1}]", "two of the pool a", id="names"),
        pytest.param(
            "nodes: []\nworkloads:\n- name: j\n  kind: cronjob\n",
            "scenario:4: workloads[0].kind: 'cronjob' is not one of deployment, jobs",
            id="word",
        ),
        pytest.param("nodes: []\nworkloads: [{name: j}]", "jobs need arrivals", id="no arrivals"),
        pytest.param(
            "nodes: []\nworkloads: [{name: j, arrivals: {poisson: {rate: 1}, at: [1s]}}]",
            "workloads[0].arrivals: one of poisson, burst, trace, at is needed",
            id="two arrivals",
        ),
        pytest.param(
            "nodes: []\nworkloads: [{name: j, arrivals: {at: [1s]}, template: {duration: {normal: 1}}}]",
            "template.duration.normal: there is no such form; allowed: uniform, exponential",
            id="form",
        ),
        pytest.param(
            "nodes: []\nworkloads: [{name: j, arrivals: {at: [1s]}, template: {cpu: {lognormal: {median: 1}}}}]",
            "cpu.lognormal: sigma is missing",
            id="parameter",
        ),
        pytest.param(
            "nodes: []\nevents: [{at: 1h, update: web, template: {}}]", "there is no deployment web", id="target"
        ),
        pytest.param(
            "nodes: []\nexpect: {min_available: {web: 1}}",
            "there is no deployment web; there are: none",
            id="expected",
        ),
        pytest.param(
            "nodes: [{pool: a, count: 1, failures: {mtbf: 0}}]",
            "nodes[0].failures.mtbf: more than 0 is needed",
            id="no time between",
        ),
        pytest.param(
            SMALL + "    max_surge: many\n", "scenario:8: workloads[0].max_surge: 'many' is neither", id="part"
        ),
        pytest.param(SMALL + "    template: {cpu: 1e30}\n", "workloads[0].template.cpu: too much", id="too much"),
        pytest.param(
            SMALL + "    template: {spec: {nodeSelecter: {a: b}}}\n",
            "scenario:8: workloads[0].template.spec.nodeSelecter: a PodSpec has no such field",
            id="no field of a PodSpec",
        ),
        pytest.param(
            SMALL + "    template: {spec: {nodeSelector: 3}}\n",
            "scenario:8: workloads[0].template.spec: cannot be read as Pod: Expected `object`, got `int`",
            id="wrong PodSpec",
        ),
        pytest.param(
            SMALL + "    template: {spec: {nodeSelector: {a: !b c}}}\n",
            "template.spec.nodeSelector.a: !b is no plain value",
            id="tag",
        ),
        pytest.param(
            SMALL + "    template: {duration: {lognormal: {median: 1, sigma: nan}}}\n",
            "sigma: nan is not between",
            id="no number",
        ),
        pytest.param("nodes: []\nevents: [{at: 1h}]", "one of fail, drain, cordon, update, scale", id="no deed"),
        pytest.param(
            "nodes: []\nscheduler: {weights: {Best: 1}}",
            "scenario:2: scheduler: there is no score Best; allowed: TaintToleration",
            id="score",
        ),
    ],
)
def test_errors_say_where_and_what_is_allowed(text: str, expected: str) -> None:
    with pytest.raises(ScenarioError) as error:
        Scenario.parse(text)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("word", "seconds"), [("90", 90.0), ("1.5h", 5400.0), ("1h30m", 5400.0), ("250ms", 0.25), ("2d", 172800.0)]
)
def test_times(word: str, seconds: float) -> None:
    assert seconds_of(word) == seconds


@pytest.mark.parametrize("word", ["", "h", "1y", "1 h", "-1s", "1h-2m"])
def test_what_is_no_time(word: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        seconds_of(word)


def test_pools_are_scaled_by_their_parts() -> None:
    scenario = Scenario.parse("nodes: [{pool: a, count: 10}, {pool: b, count: 30}, {pool: c, count: 0}]")
    assert [pool.count for pool in scenario.scaled_to(13).nodes] == [3, 10, 0]


def test_every_field_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text()
    from bireme.simulation import scenario, scripts

    sections = [
        scenario.Scenario,
        scenario.NodePool,
        scenario.Taint,
        scenario.Failures,
        scenario.Workload,
        scenario.Template,
        scenario.Arrivals,
        scenario.Poisson,
        scenario.Burst,
        scenario.Event,
        scenario.Target,
        scenario.Scheduling,
        scenario.Lifecycle,
        scenario.Expectations,
        scripts.Rules,
        scripts.Rule,
        scripts.Match,
    ]
    for kind in sections:
        for name, without, doc in table_of(kind):
            assert f"| `{name}` | {doc} | {without} |" in text, f"{kind.__name__}.{name}"


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match=r"s\.yaml: no text in UTF-8"):
        Scenario.load(path)


def test_a_tail_is_never_more_than_a_float_holds() -> None:
    drawn = "{pareto: {min: 1s, alpha: 0.000001}}"
    (workload,) = Scenario.parse(SMALL + f"    template: {{duration: {drawn}}}\n").workloads
    assert workload.template.duration is not None
    assert workload.template.duration.of(Random(1)) == 1e15
