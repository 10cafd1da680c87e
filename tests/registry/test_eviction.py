from typing import Any

import pytest

from bireme.api.errors import ApiError, BadRequest, Forbidden, TooManyRequests
from bireme.registry.eviction import evict, needs_no_budget, spares, spent
from bireme.registry.options import Call, DeleteOptions

Tree = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"


def budget(allowed: int = 1, *, spec: Tree | None = None, **status: Any) -> Tree:
    seen = {"observedGeneration": 1, "disruptionsAllowed": allowed, "desiredHealthy": 2, "currentHealthy": 3}
    return {"metadata": {"name": "b", "generation": 1}, "spec": spec or {}, "status": {**seen, **status}}


def pod(*, ready: bool = True, phase: str = "Running", **metadata: Any) -> Tree:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": {"name": "p", **metadata}, "status": {"phase": phase, "conditions": conditions}}


@pytest.mark.parametrize(
    ("tree", "free"),
    [
        (pod(), False),
        (pod(phase="Pending"), True),
        (pod(phase="Failed"), True),
        (pod(deletionTimestamp=NOW), True),
    ],
)
def test_pods_that_nobody_relies_on(tree: Tree, free: bool) -> None:
    assert needs_no_budget(tree) is free


@pytest.mark.parametrize(
    ("there", "ready", "free"),
    [
        pytest.param(budget(0), True, False, id="a ready pod always costs"),
        pytest.param(budget(0), False, True, id="enough are healthy"),
        pytest.param(budget(0, currentHealthy=1), False, False, id="too few are healthy"),
        pytest.param(
            budget(0, spec={"unhealthyPodEvictionPolicy": "AlwaysAllow"}, currentHealthy=1), False, True, id="always"
        ),
    ],
)
def test_pods_that_are_not_ready(there: Tree, ready: bool, free: bool) -> None:
    assert spares(there, pod(ready=ready)) is free


def test_the_last_of_a_budget_is_told_in_its_condition() -> None:
    condition = {"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods"}
    status = spent(budget(1, conditions=[condition]), "p", now=NOW)["status"]
    assert (status["disruptionsAllowed"], status["disruptedPods"]) == (0, {"p": NOW})
    (told,) = status["conditions"]
    assert (told["status"], told["reason"], told["observedGeneration"]) == ("False", "InsufficientPods", 1)
    assert condition["status"] == "True"


@pytest.mark.parametrize(
    ("there", "text", "retry_s"),
    [
        (budget(0), "The disruption budget b needs 2 healthy pods and has 3 currently", None),
        (budget(1, observedGeneration=0), "The disruption budget b is still being processed by the server.", 10),
        (
            budget(0, conditions=[{"type": "DisruptionAllowed", "reason": "SyncFailed", "message": "why"}]),
            "The disruption budget b does not allow evicting pods currently because it failed sync: why",
            None,
        ),
    ],
)
def test_refusals(there: Tree, text: str, retry_s: int | None) -> None:
    with pytest.raises(TooManyRequests) as refusal:
        spent(there, "p", now=NOW)
    assert refusal.value.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert [(cause.reason, cause.message) for cause in refusal.value.causes] == [("DisruptionBudget", text)]
    assert refusal.value.retry_after_s == retry_s


def test_budgets_that_are_broken() -> None:
    with pytest.raises(Forbidden, match="disruptions allowed is negative"):
        spent(budget(-1), "p", now=NOW)
    with pytest.raises(Forbidden, match="DisruptedPods map too big"):
        spent(budget(1, disruptedPods={str(number): NOW for number in range(2001)}), "p", now=NOW)


async def test_evictions_over_the_registry(opened):
    async with opened() as registry:
        pods, budgets = registry.kind("", "v1", "pods"), registry.kind("policy", "v1", "poddisruptionbudgets")
        spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}
        for name in ("a", "b"):
            tree = {"metadata": {"name": name, "labels": {"app": "x"}}, "spec": spec}
            await registry.create(pods, "default", tree, Call())
            await registry.patch(pods, "default", name, _running, Call(), subresource="status")

        async def budget_of(name: str) -> None:
            tree = {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": "x"}}}}
            await registry.create(budgets, "default", tree, Call())
            status = {"observedGeneration": 1, "disruptionsAllowed": 1}
            await registry.patch(
                budgets, "default", name, lambda tree: {**tree, "status": status}, Call(), subresource="status"
            )

        async def evicted(name: str, *, called: str = "", dry_run: bool = False) -> None:
            eviction = {"metadata": {"name": called or name}}
            await evict(registry, pods, "default", name, eviction, DeleteOptions(), Call(dry_run=dry_run))

        def allowed() -> int:
            return registry.find("policy", "v1", "poddisruptionbudgets", "default", "one")["status"][
                "disruptionsAllowed"
            ]

        await budget_of("one")
        with pytest.raises(BadRequest, match="does not match name in Eviction object"):
            await evicted("a", called="z")
        await evicted("a", dry_run=True)
        assert allowed() == 1
        await evicted("a")
        assert allowed() == 0
        gone = registry.find("", "v1", "pods", "default", "a")
        assert "deletionTimestamp" in gone["metadata"]
        (target,) = [one for one in gone["status"]["conditions"] if one["type"] == "DisruptionTarget"]
        assert target["reason"] == "EvictionByEvictionAPI"
        with pytest.raises(TooManyRequests):
            await evicted("b")
        await budget_of("two")
        with pytest.raises(ApiError, match="more than one PodDisruptionBudget"):
            await evicted("b")


def _running(tree: Tree) -> Tree:
    conditions = [{"type": "Ready", "status": "True"}]
    return {**tree, "status": {**tree["status"], "phase": "Running", "conditions": conditions}}
