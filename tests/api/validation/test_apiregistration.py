"""What an APIService may not say."""

from typing import Any

import pytest

from bireme.api.validation.apiregistration import check_api_service
from bireme.api.validation.field import Problems

SERVICE = {"namespace": "a", "name": "b"}
GOOD = {
    "group": "metrics.k8s.io",
    "version": "v1",
    "groupPriorityMinimum": 100,
    "versionPriority": 100,
    "service": SERVICE,
}


def faults(name: str = "v1.metrics.k8s.io", **spec: Any) -> list[str]:
    problems = Problems()
    kept = {field: value for field, value in {**GOOD, **spec}.items() if value is not None}
    check_api_service(problems, {"metadata": {"name": name}, "spec": kept})
    return [cause.field for cause in problems]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"group": None}, "metadata.name", id="another name"),
        pytest.param({"version": "V_1"}, "spec.version", id="a version that is no label"),
        pytest.param({"groupPriorityMinimum": 20001}, "spec.groupPriorityMinimum", id="too high for a group"),
        pytest.param({"versionPriority": 0}, "spec.versionPriority", id="too low for a version"),
        pytest.param({"service": {"namespace": "a"}}, "spec.service.name", id="a service without a name"),
        pytest.param({"service": {**SERVICE, "port": 70000}}, "spec.service.port", id="no port"),
        pytest.param({"service": None, "caBundle": "eA=="}, "spec.caBundle", id="trust in ourselves"),
        pytest.param(
            {"insecureSkipTLSVerify": True, "caBundle": "eA=="}, "spec.insecureSkipTLSVerify", id="trust in all"
        ),
    ],
)
def test_refused(spec: dict[str, Any], field: str) -> None:
    assert field in faults(**spec)


def test_a_good_one_passes() -> None:
    assert faults() == []
    assert faults("v1.", group=None, service=None) == []
