from datetime import datetime, timedelta

import pytest
from controller_objects import NOW, ago

from bireme.api.kinds import core
from bireme.controllers import taints

CAME = NOW - timedelta(seconds=1000)
UNREACHABLE = core.Taint(key=taints.UNREACHABLE, effect="NoExecute", time_added=ago(100))


def toleration(**fields: object) -> core.Toleration:
    return core.Toleration(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"operator": "Exists"}, True, id="everything"),
        pytest.param({"key": taints.UNREACHABLE, "operator": "Exists"}, True, id="the key"),
        pytest.param({"key": taints.UNREACHABLE, "effect": "NoExecute"}, True, id="equal, with no value"),
        pytest.param({"key": taints.UNREACHABLE, "value": "x"}, False, id="another value"),
        pytest.param({"key": taints.NOT_READY, "operator": "Exists"}, False, id="another key"),
        pytest.param({"key": taints.UNREACHABLE, "operator": "Exists", "effect": "NoSchedule"}, False, id="effect"),
        pytest.param({}, False, id="an empty one that is not Exists"),
    ],
)
def test_tolerates(given: dict[str, str], expected: bool) -> None:
    assert taints.tolerates(toleration(**given), UNREACHABLE) is expected


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        pytest.param([], CAME, id="not tolerated: at once"),
        pytest.param([toleration(operator="Exists")], None, id="tolerated for good"),
        pytest.param(
            [toleration(operator="Exists", toleration_seconds=300)],
            NOW + timedelta(seconds=200),
            id="tolerated from when the taint came",
        ),
        pytest.param(
            [toleration(operator="Exists", toleration_seconds=-5)], NOW - timedelta(seconds=100), id="below 0"
        ),
        pytest.param(
            [
                toleration(operator="Exists", toleration_seconds=300),
                toleration(operator="Exists", toleration_seconds=30),
            ],
            NOW - timedelta(seconds=70),
            id="the shortest counts",
        ),
    ],
)
def test_stays_until(tolerations: list[core.Toleration], expected: datetime | None) -> None:
    assert taints.stays_until([UNREACHABLE], tolerations, since=CAME) == expected


def test_a_pod_that_came_later_has_its_full_time() -> None:
    allowed = [toleration(operator="Exists", toleration_seconds=300)]
    assert taints.stays_until([UNREACHABLE], allowed, since=NOW) == NOW + timedelta(seconds=300)


def test_other_effects_drive_nobody_off() -> None:
    assert taints.stays_until([core.Taint(key="a", effect="NoSchedule")], [], since=CAME) is None
