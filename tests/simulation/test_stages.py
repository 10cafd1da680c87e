"""The life of a hollow pod, as data."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bireme.api.kinds import core, meta
from bireme.kubelet.status import Surroundings, pod_status
from bireme.simulation.claims import claimed, taken_up
from bireme.simulation.distributions import constant
from bireme.simulation.reading import ScenarioError
from bireme.simulation.scripts import Match, Rule, Rules, Script, script_of
from bireme.simulation.stages import STAGES, Life, Stage, advance, stopped

START = datetime(2026, 1, 1, tzinfo=UTC)
CREATING = Life(Stage.CREATING, START, address="10.128.0.1")


def pod(**annotations: str) -> core.Pod:
    named = {f"hollow.bireme.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}
    owner = meta.OwnerReference(kind="Job", name="j", controller=True)
    return core.Pod(
        metadata=meta.ObjectMeta(name="p", namespace="n", uid="u", annotations=named, owner_references=[owner]),
        spec=core.PodSpec(
            containers=[core.Container(name="c", image="i")],
            init_containers=[core.Container(name="first", image="i")],
            restart_policy="Never",
        ),
    )


def always(script: Script) -> Callable[[Life], Script]:
    return lambda life: script


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "stage", "left"),
    [
        pytest.param(0, Stage.CREATING, 1.0, id="it is created for a second"),
        pytest.param(1, Stage.RUNNING, 2.0, id="then it runs"),
        pytest.param(3, Stage.READY, 8.0, id="it is ready two seconds later"),
        pytest.param(11, Stage.ENDED, None, id="it ends ten seconds after its start"),
        pytest.param(500, Stage.ENDED, None, id="and stays so"),
    ],
)
def test_stages_follow_the_script(seconds: float, stage: Stage, left: float | None) -> None:
    life, wait = advance(CREATING, always(Script(start_s=1, ready_s=2, end_s=10)), at(seconds), policy="Never")
    assert (life.stage, wait) == (stage, left)


def test_one_that_is_never_ready_ends_all_the_same() -> None:
    life, _ = advance(CREATING, always(Script(start_s=0, ready_s=None, end_s=5)), at(5), policy="Never")
    assert life.stage is Stage.ENDED


def test_what_ends_is_started_again_after_longer_and_longer_waits() -> None:
    script = always(Script(start_s=0, end_s=1))
    assert advance(CREATING, script, at(10.9), policy="Always")[0].attempt == 0
    assert advance(CREATING, script, at(11), policy="Always")[0].attempt == 1
    assert advance(CREATING, script, at(31.9), policy="Always")[0].attempt == 1
    assert advance(CREATING, script, at(32), policy="Always")[0].attempt == 2


def test_annotations_go_before_rules_and_bad_ones_count_not() -> None:
    rules = Rules((Rule(match=Match(owner="Job"), end=constant(7.0)), Rule()))
    assert script_of(pod(), rules).end_s == 7
    assert script_of(pod(end_seconds="never", exit_code="3", ready_seconds="x"), rules) == Script(exit_code=3)


@pytest.mark.parametrize(
    ("stage", "phase", "ready"),
    [
        pytest.param(Stage.CREATING, "Pending", "False", id="creating"),
        pytest.param(Stage.RUNNING, "Running", "False", id="running"),
        pytest.param(Stage.READY, "Running", "True", id="ready"),
        pytest.param(Stage.ENDED, "Failed", "False", id="ended"),
    ],
)
def test_a_stage_looks_as_the_kubelet_would_show_it(stage: Stage, phase: str, ready: str) -> None:
    status = shown(pod(), replace(CREATING, stage=stage, begun_at=START, ended_at=at(1), exit_code=2))
    assert status.phase == phase
    assert {c.type: c.status for c in status.conditions}["Ready"] == ready
    if stage is not Stage.CREATING:
        assert status.pod_ip == "10.128.0.1"
        assert status.init_container_statuses[0].state is not None
        assert status.init_container_statuses[0].state.terminated is not None


def test_one_that_was_stopped_has_ended_well() -> None:
    life = stopped(replace(CREATING, stage=Stage.READY, begun_at=START), at(1))
    claim = claimed(pod(), life, leaving=True)
    assert pod_status(pod(), claim.actual, claim.observed, at(1), Surroundings("h")).phase == "Succeeded"


def shown(of: core.Pod, life: Life) -> core.PodStatus:
    claim = claimed(of, life)
    return pod_status(of, claim.actual, claim.observed, at(1), Surroundings("198.18.0.1", claim.waiting))


def test_readiness_comes_and_goes_and_liveness_ends_it() -> None:
    script = always(Script(start_s=0, ready_s=1, unready_every_s=5, unready_for_s=2, unhealthy_s=20))
    stages = [advance(CREATING, script, at(seconds), policy="Always")[0].stage for seconds in (0, 1, 6, 8, 13, 20)]
    expected = [Stage.RUNNING, Stage.READY, Stage.UNREADY, Stage.READY, Stage.UNREADY, Stage.KILLED]
    assert stages == expected
    life, wait = advance(CREATING, script, at(20), policy="Always")
    assert (life.exit_code, wait) == (137, 10.0)
    assert advance(CREATING, script, at(30), policy="Always")[0].attempt == 1
    assert advance(CREATING, script, at(30), policy="Never")[0].stage is Stage.KILLED


def test_a_pull_that_fails_is_tried_again_after_longer_and_longer_waits() -> None:
    def script(life: Life) -> Script:
        return Script(start_s=1, pull_s=2, pull_fails=life.pulls < 2)

    life, wait = advance(CREATING, script, at(2), policy="Never")
    assert (life.stage, life.pulls, wait) == (Stage.UNPULLED, 1, 10.0)
    state = shown(pod(), life).container_statuses[0].state
    assert state is not None
    assert state.waiting is not None
    assert state.waiting.reason == "ErrImagePull"
    life, wait = advance(CREATING, script, at(14), policy="Never")
    assert (life.stage, life.pulls, wait) == (Stage.UNPULLED, 2, 20.0)
    assert shown(pod(), life).phase == "Pending"
    assert advance(CREATING, script, at(34), policy="Never")[0].stage is Stage.CREATING
    assert advance(CREATING, script, at(37), policy="Never")[0].stage is Stage.READY


@pytest.mark.parametrize(
    ("code", "policy", "again"),
    [(0, "Always", True), (0, "OnFailure", False), (1, "OnFailure", True), (1, "Never", False)],
)
def test_restart_policies_hold(code: int, policy: str, again: bool) -> None:
    script = always(Script(start_s=0, end_s=1, exit_code=code))
    assert (advance(CREATING, script, at(11), policy=policy)[0].attempt == 1) is again


@pytest.mark.parametrize(
    "bad",
    [
        {name: text}
        for name in ("start_seconds", "ready_seconds", "end_seconds", "stop_seconds", "pull_seconds")
        for text in ("-1", "nan", "inf", "1e300")
    ]
    + [{"exit_code": "256"}, {"exit_code": "-1"}, {"unready_for_seconds": "-1"}, {"unhealthy_seconds": "inf"}],
    ids=str,
)
def test_what_makes_no_sense_counts_not(bad: dict[str, str]) -> None:
    assert script_of(pod(**bad)) == script_of(pod())


@pytest.mark.timeout(20)
def test_a_readiness_that_comes_and_goes_in_no_time_is_gone_through() -> None:
    life, wait = advance(CREATING, always(Script(unready_every_s=0, unready_for_s=0)), at(60), policy="Always")
    assert life.stage in (Stage.READY, Stage.UNREADY)
    assert wait is not None


def test_every_stage_that_goes_on_stands_in_the_table() -> None:
    assert set(Stage) - set(STAGES) == {Stage.UNPULLED, Stage.ENDED, Stage.KILLED}


FILE = """
seed: 3
rules:
  - match: {labels: {app: web}, image: "i*"}
    start: {uniform: [1s, 3s]}
    ready: never
    jitter: 10%
  - match: {namespace: n}
    fail: 50%
    pull_fails: 50%
    end: {exponential: 1m}
"""


def test_rules_of_a_file_are_drawn_by_pod_and_run(tmp_path: Path) -> None:
    (tmp_path / "stages.yaml").write_text(FILE)
    rules = Rules.load(tmp_path / "stages.yaml")
    one = pod()
    assert script_of(one, rules) == script_of(one, rules)
    assert script_of(one, rules).end_s != script_of(one, rules, run=1).end_s
    other = pod()
    other.metadata.uid = "v"
    assert script_of(one, rules).end_s != script_of(other, rules).end_s
    assert {script_of(one, rules, run=run).exit_code for run in range(20)} == {0, 1}
    assert {script_of(one, rules, tries=tries).pull_fails for tries in range(20)} == {False, True}
    one.metadata.labels = {"app": "web"}
    assert script_of(one, rules).ready_s is None
    assert 0.9 <= script_of(one, rules).start_s <= 3.3
    other.metadata.namespace = "elsewhere"
    assert script_of(other, rules).end_s == 0.1  # the usual rule for jobs


def test_jitter_and_chances_can_be_said_by_the_pod() -> None:
    delays = {script_of(pod(start_seconds="10", jitter="0.5"), run=run).start_s for run in range(20)}
    assert len(delays) == 20
    assert all(5 <= delay <= 15 for delay in delays)
    assert {script_of(pod(fail="0.5"), run=run).exit_code for run in range(20)} == {0, 1}


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "stages.yaml").write_text("rules: [{starts: 1s}]")
    with pytest.raises(ScenarioError, match=r"stages.yaml:1: rules\[0\].starts: there is no such field"):
        Rules.load(tmp_path / "stages.yaml")


def test_a_life_is_read_back_from_what_was_shown() -> None:
    life = replace(CREATING, stage=Stage.READY, begun_at=START, attempt=2)
    one = pod()
    one.status = shown(one, life)
    assert taken_up(one, at(5)) == replace(life, since=at(5))
    ended = replace(life, stage=Stage.ENDED, since=at(1), ended_at=at(1), exit_code=4)
    one.status = shown(one, ended)
    assert taken_up(one, at(5)) == ended


@pytest.mark.parametrize(
    ("owner", "annotations", "end_s"),
    [
        pytest.param("", {}, None, id="a pod of nobody's runs on"),
        pytest.param("ReplicaSet", {}, None, id="as one of a set does"),
        pytest.param("Job", {}, 0.1, id="one of a Job ends"),
        pytest.param("", {"helm.sh/hook": "test"}, 0.1, id="as does a chart's hook, which somebody waits for"),
        pytest.param(
            "", {"helm.sh/hook": "test", "hollow.bireme.dev/end-seconds": "never"}, None, id="or as it says"
        ),
    ],
)
def test_who_ends_by_itself(owner: str, annotations: dict[str, str], end_s: float | None) -> None:
    owners = [meta.OwnerReference(kind=owner, name="o", controller=True)] if owner else []
    one = core.Pod(metadata=meta.ObjectMeta(name="p", uid="u", annotations=annotations, owner_references=owners))
    assert script_of(one).end_s == end_s
