from datetime import UTC, datetime
from typing import Any

import pytest

from bireme.api.scheme import builtin
from bireme.registry.deletion import plan_delete
from bireme.registry.options import DeleteOptions
from bireme.registry.strategy import strategy_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON = {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}


def pod(*, node: str = "", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    spec = {"terminationGracePeriodSeconds": 30, **({"nodeName": node} if node else {})}
    return {"metadata": {"name": "a", **metadata}, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("tree", "options", "removed", "grace"),
    [
        pytest.param(pod(), DeleteOptions(), True, 0, id="a pod without a node goes at once"),
        pytest.param(pod(node="n"), DeleteOptions(), False, 30, id="a pod on a node gets its own time"),
        pytest.param(pod(node="n"), DeleteOptions(5), False, 5, id="or the time that is asked for"),
        pytest.param(pod(node="n"), DeleteOptions(0), True, 0, id="or none"),
        pytest.param(pod(node="n"), DeleteOptions(-3), False, 1, id="less than none means a second"),
        pytest.param(pod(node="n", phase="Failed"), DeleteOptions(), True, 0, id="an ended pod goes at once"),
        pytest.param(pod(node="n", finalizers=["x/y"]), DeleteOptions(0), False, 0, id="finalizers hold it"),
        pytest.param(pod(node="n", **SOON), DeleteOptions(60), False, None, id="the time may not grow"),
        pytest.param(pod(node="n", **SOON), DeleteOptions(10), False, 10, id="but it may shrink"),
        pytest.param(pod(node="n", **SOON), DeleteOptions(0), True, 0, id="to nothing too"),
    ],
)
def test_grace(tree, options, removed, grace):
    resource = builtin().of_kind("", "v1", "Pod")
    plan = plan_delete(resource, strategy_of(resource), tree, options, now=NOW)
    assert plan.remove is removed
    if grace is None:
        assert plan.tree is None
    else:
        assert plan.tree["metadata"]["deletionGracePeriodSeconds"] == grace


def test_a_shorter_grace_counts_from_the_first_delete():
    resource = builtin().of_kind("", "v1", "Pod")
    plan = plan_delete(resource, strategy_of(resource), pod(node="n", **SOON), DeleteOptions(10), now=NOW)
    assert plan.tree["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:10Z"


@pytest.mark.parametrize(
    ("group", "version", "kind", "present", "policy", "expected"),
    [
        ("apps", "v1", "Deployment", [], "", []),
        ("batch", "v1", "Job", [], "", ["orphan"]),
        ("batch", "v1", "Job", [], "Background", []),
        ("apps", "v1", "Deployment", ["orphan"], "", ["orphan"]),
        ("apps", "v1", "Deployment", ["orphan", "x/y"], "Foreground", ["x/y", "foregroundDeletion"]),
        ("apps", "v1", "Deployment", ["foregroundDeletion"], "Background", []),
        ("apps", "v1", "Deployment", [], "Orphan", ["orphan"]),
    ],
)
def test_propagation(group, version, kind, present, policy, expected):
    resource = builtin().of_kind(group, version, kind)
    tree = {"metadata": {"name": "a", "finalizers": present}}
    plan = plan_delete(resource, strategy_of(resource), tree, DeleteOptions(propagation=policy), now=NOW)
    assert plan.remove is not bool(expected)
    assert plan.tree["metadata"].get("finalizers", []) == expected


def test_a_namespace_stays_until_it_is_finalized():
    resource = builtin().of_kind("", "v1", "Namespace")
    tree = {"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}}
    plan = plan_delete(resource, strategy_of(resource), tree, DeleteOptions(), now=NOW)
    assert not plan.remove
    assert plan.tree["status"]["phase"] == "Terminating"
