"""What hollow pods answer."""

import pytest

from bireme.api.errors import BadRequest
from bireme.kubelet.log_stream import LogOptions
from bireme.simulation.tunnels import log_of

POD = {
    "metadata": {"name": "p", "namespace": "n", "annotations": {"hollow.bireme.dev/log": "one\ntwo\nthree\n"}},
    "status": {"containerStatuses": [{"name": "c", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]},
}


def test_the_log_is_what_the_pod_says_as_the_reader_wants_it() -> None:
    assert log_of(POD, "c", LogOptions()) == b"one\ntwo\nthree\n"
    assert log_of(POD, "c", LogOptions(tail=2)) == b"two\nthree\n"
    assert log_of(POD, "c", LogOptions(tail=0)) == b""
    assert log_of(POD, "c", LogOptions(limit=5)) == b"one\nt"
    assert log_of(POD, "c", LogOptions(timestamps=True, tail=1)) == b"2026-01-01T00:00:00.000000000Z three\n"


def test_a_container_that_waits_has_no_log() -> None:
    waiting = {"metadata": {"name": "p", "namespace": "n"}}
    with pytest.raises(BadRequest, match="is waiting to start: ContainerCreating"):
        log_of(waiting, "c", LogOptions())
