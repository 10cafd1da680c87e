import pytest
from controller_objects import NOW, ago, node
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.kinds import core
from bireme.controllers import node_health, taints
from bireme.controllers.node_health import Turnstile, Zone
from bireme.controllers.settings import Settings

SETTINGS = Settings()


def test_silence_turns_every_condition_of_the_kubelet() -> None:
    there = node(conditions={"MemoryPressure": "False", "NetworkUnavailable": "False"})
    fresh = node_health.silenced(there, now=NOW)
    states = {item.type: (item.status, item.reason) for item in fresh.status.conditions}
    assert states["Ready"] == ("Unknown", "NodeStatusUnknown")
    assert states["MemoryPressure"] == ("Unknown", "NodeStatusUnknown")
    assert states["DiskPressure"] == ("Unknown", "NodeStatusNeverUpdated")
    assert states["NetworkUnavailable"] == ("False", "")
    assert node_health.readiness(there) == "True"
    assert node_health.silenced(fresh, now=NOW).status == fresh.status


def effects(there: core.Node, *, evict: bool = True) -> set[tuple[str, str]]:
    return {(item.key, item.effect) for item in node_health.wanted_taints(there, evict=evict, now=NOW)}


@pytest.mark.parametrize(
    ("there", "evict", "expected"),
    [
        pytest.param(node(), True, set(), id="ready"),
        pytest.param(
            node(ready="False"),
            True,
            {(taints.NOT_READY, "NoSchedule"), (taints.NOT_READY, "NoExecute")},
            id="not ready",
        ),
        pytest.param(
            node(ready="Unknown"),
            True,
            {(taints.UNREACHABLE, "NoSchedule"), (taints.UNREACHABLE, "NoExecute")},
            id="unreachable",
        ),
        pytest.param(node(ready="Unknown"), False, {(taints.UNREACHABLE, "NoSchedule")}, id="held back"),
        pytest.param(node(ready=""), True, {(taints.NOT_READY, "NoSchedule")}, id="has not spoken yet"),
        pytest.param(node(unschedulable=True), True, {(taints.UNSCHEDULABLE, "NoSchedule")}, id="cordoned"),
        pytest.param(
            node(conditions={"DiskPressure": "True", "MemoryPressure": "False"}),
            True,
            {("node.kubernetes.io/disk-pressure", "NoSchedule")},
            id="under pressure",
        ),
    ],
)
def test_wanted_taints(there: core.Node, evict: bool, expected: set[tuple[str, str]]) -> None:
    assert effects(there, evict=evict) == expected


def test_others_taints_stay_and_ours_keep_their_time() -> None:
    theirs = core.Taint(key="gpu", effect="NoSchedule", value="yes")
    ours = core.Taint(key=taints.UNREACHABLE, effect="NoExecute", time_added=ago(500))
    stale = core.Taint(key=taints.NOT_READY, effect="NoSchedule", time_added=ago(500))
    there = node(ready="Unknown", taints=[theirs, ours, stale])
    made = node_health.wanted_taints(there, evict=True, now=NOW)
    assert made[:2] == [theirs, ours]
    assert [(item.key, item.effect) for item in made[2:]] == [(taints.UNREACHABLE, "NoSchedule")]
    there.spec.taints = made
    assert node_health.wanted_taints(there, evict=True, now=NOW) == made


@pytest.mark.parametrize(
    ("ready", "silent", "expected"),
    [
        pytest.param(0, 0, Zone.NORMAL, id="empty"),
        pytest.param(0, 1, Zone.FULL, id="its only node"),
        pytest.param(1, 2, Zone.NORMAL, id="two may be by chance"),
        pytest.param(2, 3, Zone.PARTIAL, id="three of five"),
        pytest.param(45, 54, Zone.NORMAL, id="just below the threshold"),
        pytest.param(45, 55, Zone.PARTIAL, id="at the threshold"),
    ],
)
def test_zone_state(ready: int, silent: int, expected: Zone) -> None:
    assert node_health.zone_state(ready, silent, SETTINGS) is expected


@pytest.mark.parametrize(
    ("zones", "zone", "expected"),
    [
        pytest.param([(9, 1)], (9, 1), 0.1, id="one of ten"),
        pytest.param([(0, 3)], (0, 3), 0.0, id="all silent: we are cut off"),
        pytest.param([(0, 3), (0, 9)], (0, 3), 0.0, id="all zones silent"),
        pytest.param([(0, 3), (5, 0)], (0, 3), 0.1, id="one zone silent"),
        pytest.param([(2, 3)], (2, 3), 0.0, id="most of a small zone"),
        pytest.param([(20, 40)], (20, 40), 0.01, id="most of a large zone"),
    ],
)
def test_eviction_rate(zones: list[tuple[int, int]], zone: tuple[int, int], expected: float) -> None:
    assert node_health.eviction_rate(zones, zone, SETTINGS) == expected


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80)), min_size=1))
def test_nobody_is_driven_off_when_no_node_is_ready(zones: list[tuple[int, int]]) -> None:
    silent = [(0, count + 1) for _, count in zones]
    assert all(node_health.eviction_rate(silent, zone, SETTINGS) == 0 for zone in silent)


def test_the_turnstile_keeps_the_rate() -> None:
    turnstile = Turnstile()
    passed = [second for second in range(100) if turnstile.wait(0.1, now=second) == 0]
    assert passed == list(range(0, 100, 10))
    assert turnstile.wait(0, now=1000) is None
    assert turnstile.wait(0.01, now=120) == 70
    assert turnstile.wait(0.1, now=120) == 0
