"""What is sent when a status changes."""

import msgspec

from bireme.api.kinds import core
from bireme.kubelet.publisher import status_patch


def status(**fields):
    return msgspec.convert(fields, core.PodStatus)


def test_only_what_changed_is_sent():
    assert status_patch(status(phase="Running", hostIP="a"), status(phase="Failed", hostIP="a")) == {
        "phase": "Failed"
    }
    assert status_patch(status(phase="Running"), status(phase="Running")) == {}


def test_what_is_no_more_is_taken_back():
    assert status_patch(status(reason="x"), status()) == {"reason": None}
    patch = status_patch(status(podIPs=[{"ip": "a"}]), status(podIPs=[{"ip": "b"}]))
    assert patch == {"podIPs": [{"ip": "b"}, {"$patch": "replace"}]}


def test_a_condition_says_all_it_has_to_say():
    ready = {"type": "Ready", "status": "True"}
    assert status_patch(status(), status(conditions=[ready]))["conditions"] == [ready]
    patch = status_patch(status(conditions=[{**ready, "status": "False", "reason": "x"}]), status(conditions=[ready]))
    assert patch["conditions"] == [{**ready, "reason": None}]
