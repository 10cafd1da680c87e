"""Quotas and limit ranges: what they may name, and what they may not contradict."""

from typing import Any

import pytest

from bireme.api.scheme import Resource
from bireme.api.validation.validate import validate

QUOTA = Resource("", "v1", "ResourceQuota", "resourcequotas", "resourcequota", namespaced=True)
LIMITS = Resource("", "v1", "LimitRange", "limitranges", "limitrange", namespaced=True)
SELECTED = "spec.scopeSelector.matchExpressions"


def faults(resource: Resource, spec: dict[str, Any]) -> list[str]:
    tree = {"metadata": {"name": "a", "namespace": "default"}, "spec": spec}
    return [f"{cause.field}: {cause.message}" for cause in validate(resource, tree)]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            {"hard": {"foo": 1}},
            [
                'spec.hard[foo]: Invalid value: "foo": must be a standard resource type or fully qualified',
                'spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota',
            ],
            id="a resource that is none",
        ),
        pytest.param(
            {"hard": {"pods": "1500m"}},
            ['spec.hard[pods]: Invalid value: "1500m": must be an integer'],
            id="one pod and a half",
        ),
        pytest.param(
            {"hard": {"count/deployments.apps": 2, "requests.nvidia.com/gpu": 1, "hugepages-2Mi": "4Mi"}},
            [],
            id="objects, devices, huge pages",
        ),
        pytest.param(
            {"hard": {"cpu": 1, "pods": 3}, "scopes": ["BestEffort"]},
            ['spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'],
            id="what asks for nothing has no share of cores",
        ),
        pytest.param(
            {"hard": {"pods": 3}, "scopes": ["Terminating", "NotTerminating"]},
            ['spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes'],
            id="scopes that exclude each other",
        ),
        pytest.param(
            {
                "hard": {"pods": 3, "secrets": 1},
                "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]},
            },
            [
                f'{SELECTED}: Invalid value: {{"scopeName":"PriorityClass","operator":"In"}}: '
                "unsupported scope applied to resource",
                f"{SELECTED}.values: Required value: "
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ],
            id="a selector of classes without any",
        ),
    ],
)
def test_quota(spec: dict[str, Any], expected: list[str]) -> None:
    assert faults(QUOTA, spec) == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(
            {"defaultRequest": {"cpu": "4"}, "max": {"cpu": "1"}},
            'spec.limits[0].defaultRequest[cpu]: Invalid value: "4": '
            "default request value 4 is greater than max value 1",
            id="asks for more than allowed",
        ),
        pytest.param(
            {"defaultRequest": {"cpu": "4"}, "default": {"cpu": "3"}},
            'spec.limits[0].defaultRequest[cpu]: Invalid value: "4": '
            "default request value 4 is greater than default limit value 3",
            id="asks for more than its limit",
        ),
        pytest.param(
            {"min": {"cpu": "4"}, "default": {"cpu": "3"}},
            'spec.limits[0].default[cpu]: Invalid value: "3": min value 4 is greater than default value 3',
            id="the default is too small",
        ),
    ],
)
def test_limits(limit: dict[str, Any], expected: str) -> None:
    assert faults(LIMITS, {"limits": [{"type": "Container", **limit}]}) == [expected]


def test_each_type_has_one_entry() -> None:
    assert faults(LIMITS, {"limits": [{"type": "Pod"}, {"type": "Container"}, {"type": "Pod"}]}) == [
        'spec.limits[2].type: Duplicate value: "Pod"'
    ]
