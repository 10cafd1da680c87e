"""Vectors of resources, what a pod asks for, and its quality of service."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api import resources
from bireme.api.kinds import core

VECTORS = st.dictionaries(st.sampled_from(["cpu", "memory", "pods", "example.com/gpu"]), st.integers(0, 10**12))


def pod(**spec: object) -> core.PodSpec:
    return msgspec.convert(spec, core.PodSpec)


def container(cpu: str = "", *, limit: str = "", restart: str = "") -> dict[str, object]:
    return {
        "name": "c",
        "resources": {"requests": {"cpu": cpu} if cpu else {}, "limits": {"cpu": limit} if limit else {}},
        "restartPolicy": restart,
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"containers": [container("100m"), container("1")]}, 1100, id="apps add up"),
        pytest.param(
            {"containers": [container("1")], "initContainers": [container("3"), container("2")]},
            3000,
            id="the largest init step",
        ),
        pytest.param(
            {"containers": [container("1")], "initContainers": [container("1", restart="Always"), container("3")]},
            4000,
            id="an init step runs beside the sidecars before it",
        ),
        pytest.param(
            {"containers": [container("1")], "initContainers": [container("3"), container("1", restart="Always")]},
            3000,
            id="a sidecar after the step does not count in it",
        ),
        pytest.param({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1250, id="overhead comes on top"),
        pytest.param(
            {"containers": [container("1")], "resources": {"requests": {"cpu": "2"}}, "overhead": {"cpu": "1m"}},
            2001,
            id="the pod's own resources override the sum",
        ),
    ],
)
def test_pod_requests(spec: dict[str, object], expected: int) -> None:
    assert resources.pod_requests(pod(**spec)) == {"cpu": expected}


def test_units() -> None:
    spec = pod(
        containers=[
            {
                "name": "c",
                "resources": {"requests": {"cpu": 0.5, "memory": "1Ki", "example.com/gpu": 2}, "limits": {"cpu": 1}},
            }
        ]
    )
    assert resources.pod_requests(spec) == {"cpu": 500, "memory": 1024, "example.com/gpu": 2}
    assert resources.pod_limits(spec) == {"cpu": 1000}
    assert resources.write({"cpu": 1500, "memory": 1024}) == {"cpu": "1500m", "memory": "1024"}


def test_fits_and_lacking() -> None:
    assert resources.fits({"cpu": 5, "gpu": 0}, {"cpu": 5})
    assert not resources.fits({"cpu": 6}, {"cpu": 5})
    assert resources.lacking({"cpu": 6, "memory": 1, "gpu": 1}, {"cpu": 5, "memory": 1}) == ["cpu", "gpu"]


@pytest.mark.parametrize(
    ("requests", "limits", "expected"),
    [
        pytest.param({}, {}, "BestEffort", id="nothing asked"),
        pytest.param({"cpu": "0"}, {}, "BestEffort", id="zero is nothing"),
        pytest.param({"cpu": "1"}, {}, "Burstable", id="no limit"),
        pytest.param({"cpu": "1", "memory": "1Gi"}, {"cpu": "1"}, "Burstable", id="one limit missing"),
        pytest.param(
            {"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m", "memory": "1024Mi"}, "Guaranteed", id="equal amounts"
        ),
        pytest.param(
            {"cpu": "1", "memory": "1Gi"}, {"cpu": "2", "memory": "1Gi"}, "Burstable", id="limit above request"
        ),
    ],
)
def test_qos(requests: dict[str, str], limits: dict[str, str], expected: str) -> None:
    spec = pod(containers=[{"name": "c", "resources": {"requests": requests, "limits": limits}}])
    assert resources.pod_qos(spec) == expected


def test_one_unlimited_container_makes_the_pod_burstable() -> None:
    limited = {
        "name": "a",
        "resources": {"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}},
    }
    assert resources.pod_qos(pod(containers=[limited])) == "Guaranteed"
    assert resources.pod_qos(pod(containers=[limited, {"name": "b"}])) == "Burstable"


@given(VECTORS, VECTORS)
def test_subtracting_what_was_added_gives_back_the_first(left: dict[str, int], right: dict[str, int]) -> None:
    back = resources.subtract(resources.add(left, right), right)
    assert {name: of for name, of in back.items() if of} == {name: of for name, of in left.items() if of}


@given(VECTORS, VECTORS)
def test_what_fits_lacks_nothing(wanted: dict[str, int], free: dict[str, int]) -> None:
    assert resources.fits(wanted, free) == (not resources.lacking(wanted, free))
    assert resources.fits(wanted, resources.add(wanted, free))
