"""Eviction: a pod is deleted if the disruption budget that covers it allows.

What is allowed is written by the disruption controller (`controllers/disruption.py`) and spent here.
Source: the Kubernetes documentation on API-initiated eviction and on disruption budgets.
"""

from typing import Any

from bireme.api.codec.json import from_tree
from bireme.api.errors import ApiError, BadRequest, Cause, Forbidden, TooManyRequests
from bireme.api.kinds import meta
from bireme.api.selectors import LabelSelector
from bireme.api.times import rfc3339
from bireme.registry.kinds import Kind
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.pods import set_condition
from bireme.registry.verbs import Deleted, Raced, Registry

Tree = dict[str, Any]
DISRUPTION = "DisruptionTarget"
ALLOWED = "DisruptionAllowed"
MOST_DISRUPTED = 2000
STILL_READ_S = 10


async def evict(
    registry: Registry, kind: Kind, namespace: str, name: str, eviction: Tree, options: DeleteOptions, call: Call
) -> Deleted:
    """Delete the pod if the disruption budget that covers it allows. Raises TooManyRequests where not."""
    if ((eviction.get("metadata") or {}).get("name") or name) != name:
        raise BadRequest("name in URL does not match name in Eviction object")
    await registry.admit(kind, namespace, name, "eviction", eviction, call)
    paid = False
    while True:
        item, pod = registry.read(kind, namespace, name)
        if needs_no_budget(pod):
            return await registry.delete(kind, namespace, name, options, call)
        try:
            if not paid:
                await _spend_budget(registry, namespace, pod, call)
                paid = True
            now, message = rfc3339(registry.clock.now()), "Eviction API: evicting"
            set_condition(pod, DISRUPTION, status="True", now=now, reason="EvictionByEvictionAPI", message=message)
            await registry.write(kind, item, pod, call)
        except Raced:
            continue
        return await registry.delete(kind, namespace, name, options, call)


def needs_no_budget(pod: Tree) -> bool:
    """Whether nobody relies on the pod: it has not started, has ended, or is going."""
    phase = (pod.get("status") or {}).get("phase", "")
    return phase in ("Pending", "Succeeded", "Failed") or "deletionTimestamp" in pod["metadata"]


def spares(budget: Tree, pod: Tree) -> bool:
    """Whether the pod may go at no cost: it is not ready, and the budget is not short of healthy ones."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    if any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    return bool(status.get("desiredHealthy", 0) and status.get("currentHealthy", 0) >= status["desiredHealthy"])


def spent(budget: Tree, pod: str, *, now: str) -> Tree:
    """The budget after one more pod was disrupted. Raises TooManyRequests and Forbidden."""
    name, metadata, status = budget["metadata"]["name"], budget["metadata"], budget.get("status") or {}
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        text = f"The disruption budget {name} is still being processed by the server."
        raise _refused(text, retry_after_s=STILL_READ_S)
    allowed, waiting = status.get("disruptionsAllowed", 0), status.get("disruptedPods") or {}
    if allowed < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    if len(waiting) > MOST_DISRUPTED:
        raise _forbidden(name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if not allowed:
        raise _refused(_why_none(budget))
    made = {**budget, "status": {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": {**waiting, pod: now}}}
    if allowed == 1:
        made["status"]["conditions"] = [dict(one) for one in status.get("conditions") or ()]
        seen = {"observedGeneration": status.get("observedGeneration", 0)}
        set_condition(made, ALLOWED, status="False", now=now, reason="InsufficientPods")
        made["status"]["conditions"] = [
            {**one, **seen, "message": ""} if one.get("type") == ALLOWED else one
            for one in made["status"]["conditions"]
        ]
    return made


def _why_none(budget: Tree) -> str:
    name, status = budget["metadata"]["name"], budget.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == ALLOWED and condition.get("reason") == "SyncFailed":
            return (
                f"The disruption budget {name} does not allow evicting pods currently because it failed sync: "
                f"{condition.get('message', '')}"
            )
    needed, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    return f"The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"


async def _spend_budget(registry: Registry, namespace: str, pod: Tree, call: Call) -> None:
    labels = pod["metadata"].get("labels") or {}
    budgets = [
        budget["metadata"]["name"]
        for budget in registry.every("policy", "v1", "poddisruptionbudgets", namespace)
        if _selector(budget).matches(labels)
    ]
    if len(budgets) > 1:
        raise ApiError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    if not budgets:
        return
    kind = registry.kind("policy", "v1", "poddisruptionbudgets")
    item, budget = registry.read(kind, namespace, budgets[0])
    if not spares(budget, pod):
        made = spent(budget, pod["metadata"]["name"], now=rfc3339(registry.clock.now()))
        await registry.write(kind, item, made, call)


def _selector(budget: Tree) -> LabelSelector:
    selector = (budget.get("spec") or {}).get("selector")
    return LabelSelector.from_struct(None if selector is None else from_tree(meta.LabelSelector, selector))


def _refused(message: str, *, retry_after_s: int | None = None) -> TooManyRequests:
    return TooManyRequests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        causes=(Cause("DisruptionBudget", message),),
        retry_after_s=retry_after_s,
    )


def _forbidden(name: str, why: str) -> Forbidden:
    return Forbidden(
        f'poddisruptionbudgets.policy "{name}" is forbidden: {why}',
        details={"name": name, "group": "policy", "kind": "poddisruptionbudgets"},
    )
