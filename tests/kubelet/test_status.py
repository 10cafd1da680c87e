"""A pod's status from its containers."""

import pytest
from kubelet_pods import NOW, actual, at, container, pod, sandbox, view

from bireme.kubelet.actual import Ending, Observed, PodActual, Stage, Trouble, with_lost
from bireme.kubelet.status import Surroundings, pod_status

EXITED = Stage.EXITED
HERE = Surroundings(host_ip="192.0.2.1")
UP = Observed(started=frozenset({"c-0"}), ready=frozenset({"c-0"}))


def conditions(status):
    return {c.type: c.status for c in status.conditions}


def state_of(status, name="c"):
    state = next(s for s in [*status.init_container_statuses, *status.container_statuses] if s.name == name).state
    if state.running:
        return "running"
    return state.waiting.reason if state.waiting else f"{state.terminated.reason} {state.terminated.exit_code}"


@pytest.mark.parametrize(
    ("wanted", "state", "observed", "phase", "shown"),
    [
        pytest.param(pod(), PodActual(), Observed(), "Pending", "ContainerCreating", id="nothing yet"),
        pytest.param(pod(), actual(view()), UP, "Running", "running", id="running"),
        pytest.param(pod(), actual(view(stage=EXITED)), Observed(), "Running", "Completed 0", id="about to restart"),
        pytest.param(
            pod(restartPolicy="Never"), actual(view(stage=EXITED)), Observed(), "Succeeded", "Completed 0", id="done"
        ),
        pytest.param(
            pod(restartPolicy="Never"),
            actual(view(stage=EXITED, code=3)),
            Observed(),
            "Failed",
            "Error 3",
            id="failed",
        ),
        pytest.param(
            pod(init=[container("i")], restartPolicy="Never"),
            actual(view("i", EXITED, code=1)),
            Observed(),
            "Failed",
            "PodInitializing",
            id="an init that fails for good",
        ),
        pytest.param(
            pod(init=[container("i")]), actual(view("i")), Observed(), "Pending", "PodInitializing", id="initializing"
        ),
        pytest.param(
            pod(),
            actual(view(stage=EXITED)),
            Observed(ending=Ending()),
            "Succeeded",
            "Completed 0",
            id="deleted, well",
        ),
        pytest.param(
            pod(),
            actual(view(stage=EXITED, code=137)),
            Observed(ending=Ending()),
            "Failed",
            "Error 137",
            id="deleted, killed",
        ),
        pytest.param(
            pod(status={"phase": "Failed"}), actual(view()), UP, "Failed", "running", id="a terminal phase stays"
        ),
    ],
)
def test_phase_and_state(wanted, state, observed, phase, shown):
    status = pod_status(wanted, state, observed, NOW, HERE)
    assert (status.phase, state_of(status)) == (phase, shown)


def test_crash_loop_shows_why_it_waits_and_how_it_ended():
    waiting = {"c": Trouble("CrashLoopBackOff", "back-off 10s", at(10))}
    status = pod_status(
        pod(), actual(view(stage=EXITED, code=1, attempt=2)), Observed(), NOW, Surroundings("192.0.2.1", waiting)
    )
    (shown,) = status.container_statuses
    assert shown.state.waiting.reason == "CrashLoopBackOff"
    assert shown.last_state.terminated.exit_code == 1
    assert (shown.restart_count, shown.ready, shown.container_id) == (2, False, "containerd://c-2")


def test_readiness_gates_hold_back_ready_only():
    wanted = pod(readinessGates=[{"conditionType": "example.com/up"}])
    shown = conditions(pod_status(wanted, actual(view()), UP, NOW, HERE))
    assert (shown["ContainersReady"], shown["Ready"]) == ("True", "False")


def test_conditions_keep_their_time_until_they_change_and_others_are_passed_on():
    old = {
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"},
            {"type": "ContainersReady", "status": "False", "lastTransitionTime": "2025-01-01T00:00:00Z"},
            {"type": "DisruptionTarget", "status": "True"},
        ]
    }
    status = pod_status(pod(status=old), actual(view()), UP, NOW, HERE)
    times = {c.type: c.last_transition_time for c in status.conditions}
    assert times["Ready"] == "2025-01-01T00:00:00Z"
    assert times["ContainersReady"] == "2026-01-01T12:00:00Z"
    assert conditions(status)["DisruptionTarget"] == "True"


def test_the_same_state_gives_the_same_status():
    first = pod_status(pod(), actual(view()), UP, NOW, HERE)
    again = pod()
    again.status = first
    assert pod_status(again, actual(view()), UP, at(100), HERE) == first


def test_a_pod_on_the_nodes_network_has_the_nodes_address():
    status = pod_status(pod(hostNetwork=True), actual(view(), box=sandbox(addresses=())), UP, NOW, HERE)
    assert (status.pod_ip, status.host_ip) == ("192.0.2.1", "192.0.2.1")


def test_what_a_wiped_engine_has_forgotten_is_not_run_twice():
    status = {
        "containerStatuses": [
            {
                "name": "c",
                "containerID": "containerd://gone",
                "restartCount": 3,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            }
        ]
    }
    wanted = pod(restartPolicy="Never", status=status)
    shown = pod_status(wanted, with_lost(PodActual(), wanted), Observed(), NOW, HERE)
    assert shown.phase == "Failed"
    assert state_of(shown) == "ContainerStatusUnknown 137"
    assert shown.container_statuses[0].restart_count == 3
