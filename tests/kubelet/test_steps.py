"""From wanted and actual to the next steps."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some
from kubelet_pods import NOW, actual, at, container, pod, sandbox, view

from bireme.kubelet.actual import Ending, Observed, PodActual, RestartBackoff, Stage, Trouble
from bireme.kubelet.steps import (
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    Plan,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StartSandbox,
    StopContainer,
    StopSandbox,
    next_backoff,
    plan,
    remains,
    restart_due,
    verdict,
)

EXITED, CREATED = Stage.EXITED, Stage.CREATED
SIDE = container("side", restartPolicy="Always")


def said(made: Plan) -> list[str]:
    """A plan's steps as short words."""
    words = []
    for step in made.steps:
        match step:
            case StartSandbox(attempt):
                words.append(f"sandbox {attempt}")
            case StartContainer(wanted, attempt):
                words.append(f"start {wanted.name} {attempt}")
            case StopContainer(stopped):
                words.append(f"stop {stopped.name}")
            case RemoveContainer(container_id):
                words.append(f"remove {container_id}")
            case StopSandbox(sandbox_id):
                words.append(f"stop {sandbox_id}")
            case RemoveSandbox(sandbox_id):
                words.append(f"remove {sandbox_id}")
    return words


TWO = (container("a"), container("b"))


@pytest.mark.parametrize(
    ("wanted", "state", "observed", "expected"),
    [
        pytest.param(pod(), PodActual(), Observed(), ["sandbox 0"], id="a pod begins with its sandbox"),
        pytest.param(pod(*TWO), actual(), Observed(), ["start a 0", "start b 0"], id="app containers start together"),
        pytest.param(pod(), actual(view()), Observed(), [], id="what runs is left alone"),
        pytest.param(
            pod(init=[container("i"), container("j")]), actual(), Observed(), ["start i 0"], id="init comes first"
        ),
        pytest.param(
            pod(init=[container("i")], ephemeralContainers=[container("e")]),
            actual(view("i")),
            Observed(),
            ["start e 0"],
            id="an ephemeral container does not wait for init",
        ),
        pytest.param(
            pod(ephemeralContainers=[container("e"), container("f")]),
            actual(view(), view("e", EXITED, code=1), view("f", CREATED)),
            Observed(),
            ["remove f-0"],
            id="an ephemeral container that ended is left at that; one that never ran is made anew",
        ),
        pytest.param(
            pod(*TWO),
            actual(view("a", Stage.UNKNOWN), view("b", CREATED)),
            Observed(ending=Ending()),
            ["remove a-0", "remove b-0"],
            id="on the way down what never ran is taken away",
        ),
        pytest.param(
            pod(ephemeralContainers=[container("e")], restartPolicy="Never"),
            actual(view(stage=EXITED), view("e")),
            Observed(),
            ["stop e"],
            id="a pod does not wait for its ephemeral containers",
        ),
        pytest.param(
            pod(init=[container("i")]), actual(view("i")), Observed(), [], id="apps wait while an init runs"
        ),
        pytest.param(
            pod(init=[container("i"), container("j")]),
            actual(view("i", EXITED)),
            Observed(),
            ["start j 0"],
            id="the next init follows one that ended well",
        ),
        pytest.param(
            pod(init=[container("i")]), actual(view("i", EXITED)), Observed(), ["start c 0"], id="then the apps"
        ),
        pytest.param(
            pod(init=[container("i")]),
            actual(view("i", EXITED, code=1)),
            Observed(),
            ["start i 1"],
            id="a failed init is tried again",
        ),
        pytest.param(
            pod(init=[container("i")], restartPolicy="Never"),
            actual(view("i", EXITED, code=1)),
            Observed(),
            ["stop s0"],
            id="with Never a failed init ends the pod",
        ),
        pytest.param(
            pod(init=[SIDE]), actual(view("side")), Observed(), [], id="apps wait until a sidecar has started"
        ),
        pytest.param(
            pod(init=[SIDE]),
            actual(view("side")),
            Observed(started=frozenset({"side-0"})),
            ["start c 0"],
            id="a sidecar that has started lets the apps start",
        ),
        pytest.param(
            pod(init=[SIDE]),
            actual(view("side", EXITED), view()),
            Observed(),
            ["start side 1"],
            id="a sidecar that ended well is started again",
        ),
        pytest.param(
            pod(), actual(view(stage=EXITED, code=1)), Observed(), ["start c 1"], id="the first restart is at once"
        ),
        pytest.param(
            pod(),
            actual(view(stage=EXITED, code=1)),
            Observed(restarts={"c": RestartBackoff(10, at(-5))}),
            [],
            id="the second waits",
        ),
        pytest.param(
            pod(restartPolicy="OnFailure"),
            actual(view("c", EXITED), view("d")),
            Observed(),
            ["stop d"],
            id="what is left over is stopped once all apps have ended",
        ),
        pytest.param(
            pod(*TWO, restartPolicy="OnFailure"),
            actual(view("a", EXITED), view("b", EXITED, code=2)),
            Observed(),
            ["start b 1"],
            id="OnFailure restarts only what failed",
        ),
        pytest.param(
            pod(),
            actual(view()),
            Observed(doomed={"c-0": "unwell"}),
            ["stop c"],
            id="what fails its probe is stopped",
        ),
        pytest.param(pod(), actual(view(stage=CREATED)), Observed(), ["remove c-0"], id="half-made is made anew"),
        pytest.param(
            pod(),
            actual(view(), box=sandbox(ready=False)),
            Observed(),
            ["stop c"],
            id="a dead sandbox is cleared before it is replaced",
        ),
        pytest.param(
            pod(),
            actual(view(stage=EXITED, code=137), box=sandbox(ready=False)),
            Observed(),
            ["sandbox 1"],
            id="a dead sandbox is replaced",
        ),
        pytest.param(
            pod(restartPolicy="Never"),
            actual(view(stage=EXITED, code=137), box=sandbox(ready=False)),
            Observed(),
            [],
            id="but not for a pod that is over",
        ),
        pytest.param(
            pod(),
            PodActual(),
            Observed(sandbox_trouble=Trouble("FailedMount", "no", at(5))),
            [],
            id="a sandbox in trouble waits",
        ),
        pytest.param(
            pod(), actual(), Observed(troubles={"c": Trouble("ErrImagePull", "no", at(3))}), [], id="so do containers"
        ),
        pytest.param(
            pod(*TWO, init=[SIDE]),
            actual(view("a"), view("b"), view("side")),
            Observed(ending=Ending()),
            ["stop a", "stop b"],
            id="on the way down apps go first, together",
        ),
        pytest.param(
            pod(init=[SIDE, container("s2", restartPolicy="Always")]),
            actual(view(stage=EXITED), view("side"), view("s2")),
            Observed(ending=Ending()),
            ["stop s2"],
            id="then sidecars, the last first",
        ),
        pytest.param(
            pod(), actual(view(stage=EXITED)), Observed(ending=Ending()), ["stop s0"], id="the sandbox goes last"
        ),
    ],
)
def test_next_steps(wanted, state, observed, expected):
    assert said(plan(wanted, state, observed, NOW)) == expected


def test_over_when_all_is_down():
    state = actual(view(stage=EXITED), box=sandbox(ready=False))
    assert plan(pod(), state, Observed(ending=Ending()), NOW).over


def test_waiting_is_told_with_its_reason():
    made = plan(pod(), actual(view(stage=EXITED, code=1)), Observed(restarts={"c": RestartBackoff(20, at(-5))}), NOW)
    assert made.waiting["c"].reason == "CrashLoopBackOff"
    assert made.waiting["c"].message == "back-off 20s restarting failed container=c pod=p_default(u-1)"
    assert made.look_again == at(19)


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        ("Never", 0, "Succeeded"),
        ("Never", 1, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 1, ""),
        ("Always", 0, ""),
    ],
)
def test_verdict(policy, code, expected):
    assert verdict(pod(restartPolicy=policy), actual(view(stage=EXITED, code=code))) == expected


def test_rules_on_exit_codes_go_over_the_policy():
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    wanted = pod(container(restartPolicyRules=[rule]), restartPolicy="Never")
    assert said(plan(wanted, actual(view(stage=EXITED, code=42)), Observed(), NOW)) == ["start c 1"]
    assert verdict(wanted, actual(view(stage=EXITED, code=41))) == "Failed"


def test_backoff_doubles_to_its_limit_and_is_forgiven():
    backoff, delays = None, []
    for round_ in range(8):
        backoff = next_backoff(backoff, at(round_), at(round_))
        delays.append(backoff.delay_s)
    assert delays == [10, 20, 40, 80, 160, 300, 300, 300]
    long_after = backoff.since + timedelta(minutes=11)
    assert restart_due(backoff, long_after) is None
    assert next_backoff(backoff, long_after, long_after).delay_s == FIRST_DELAY_S


def test_only_the_last_dead_instance_is_kept():
    old = view(stage=EXITED, attempt=0, box="s0")
    state = PodActual(
        (sandbox(attempt=1), sandbox(ready=False)),
        (view(attempt=2, box="s1"), view(stage=EXITED, attempt=1, box="s1"), old),
    )
    assert remains(state) == [RemoveContainer("c-0"), RemoveSandbox("s0")]


views = some.builds(
    view,
    some.sampled_from(["a", "b", "i", "side"]),
    some.sampled_from(list(Stage)),
    attempt=some.integers(0, 3),
    code=some.integers(0, 2),
)
states = some.builds(
    lambda found, ready: actual(*{v.id: v for v in found}.values(), box=sandbox(ready=ready)),
    some.lists(views, max_size=6),
    some.booleans(),
)
wishes = some.builds(
    lambda policy: pod(*TWO, init=[container("i"), SIDE], restartPolicy=policy),
    some.sampled_from(["Always", "OnFailure", "Never"]),
)


@given(wishes, states)
def test_a_plan_is_the_same_twice_and_never_starts_what_runs(wanted, state):
    made = plan(wanted, state, Observed(), NOW)
    assert made == plan(wanted, state, Observed(), NOW)
    for step in made.steps:
        if isinstance(step, StartContainer):
            now = state.current(step.container.name)
            assert now is None or now.stage is EXITED
            assert all(v.attempt < step.attempt for v in state.containers if v.name == step.container.name)


@given(wishes, states)
def test_an_ending_pod_starts_nothing(wanted, state):
    made = plan(wanted, state, Observed(ending=Ending()), NOW)
    assert not any(isinstance(step, StartContainer | StartSandbox) for step in made.steps)
    assert made.over == (not state.live and not any(box.ready for box in state.sandboxes))


@given(some.lists(some.integers(0, 400), max_size=20))
def test_delays_stay_within_bounds(gaps):
    backoff, moment = None, NOW
    for gap in gaps:
        moment += timedelta(seconds=gap)
        backoff = next_backoff(backoff, moment, moment)
        assert FIRST_DELAY_S <= backoff.delay_s <= LONGEST_DELAY_S
