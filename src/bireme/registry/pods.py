"""Verbs that only pods have: binding to a node, and eviction under a disruption budget.

Source: the Kubernetes documentation on writing and on disruption budgets.
"""

from typing import Any

from bireme.api.codec.json import from_tree
from bireme.api.errors import ApiError, BadRequest, Cause, Conflict, TooManyRequests
from bireme.api.kinds import meta
from bireme.api.selectors import LabelSelector
from bireme.api.times import rfc3339
from bireme.registry.kinds import Kind
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.verbs import Deleted, Raced, Registry

Tree = dict[str, Any]
SCHEDULED = "PodScheduled"
DISRUPTION = "DisruptionTarget"


async def bind(registry: Registry, kind: Kind, namespace: str, name: str, binding: Tree, call: Call) -> None:
    """Give the pod its node. Raises Conflict where it has one, or is going."""
    target = binding.get("target") or {}
    if not isinstance(target, dict) or not target.get("name") or target.get("kind", "Node") not in ("", "Node"):
        raise BadRequest('Binding in version "v1" cannot be handled as a Binding: target must name a Node')
    await registry.admit(kind, namespace, name, "binding", binding, call)
    said = binding.get("metadata") or {}
    while True:
        item, tree = registry.read(kind, namespace, name)
        _check_bindable(name, tree, uid=said.get("uid") or "")
        tree["spec"]["nodeName"] = target["name"]
        for field in ("annotations", "labels"):
            if said.get(field):
                tree["metadata"][field] = {**(tree["metadata"].get(field) or {}), **said[field]}
        set_condition(tree, SCHEDULED, status="True", now=rfc3339(registry.clock.now()))
        try:
            await registry.write(kind, item, tree, call)
        except Raced:
            continue
        return


def _check_bindable(name: str, tree: Tree, *, uid: str) -> None:
    spec, metadata = tree["spec"], tree["metadata"]
    why = ""
    if uid and uid != metadata["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {metadata['uid']}"
    elif "deletionTimestamp" in metadata:
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise Conflict(
            f'Operation cannot be fulfilled on pods/binding "{name}": {why}',
            details={"name": name, "kind": "pods/binding"},
        )


def set_condition(tree: Tree, kind: str, *, status: str, now: str, reason: str = "", message: str = "") -> None:
    """Set a condition of an object's status, in place; its time changes only with its status."""
    conditions = tree.setdefault("status", {}).setdefault("conditions", [])
    made: Tree = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": now}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    made = {field: value for field, value in made.items() if value is not None}
    for position, condition in enumerate(conditions):
        if condition.get("type") == kind:
            if condition.get("status") == status and "lastTransitionTime" in condition:
                made["lastTransitionTime"] = condition["lastTransitionTime"]
            conditions[position] = made
            return
    conditions.append(made)


async def evict(
    registry: Registry, kind: Kind, namespace: str, name: str, eviction: Tree, options: DeleteOptions, call: Call
) -> Deleted:
    """Delete the pod if the disruption budget that covers it allows. Raises TooManyRequests where not."""
    await registry.admit(kind, namespace, name, "eviction", eviction, call)
    while True:
        item, tree = registry.read(kind, namespace, name)
        if _needs_no_budget(tree):
            return await registry.delete(kind, namespace, name, options, call)
        try:
            await _spend_budget(registry, namespace, tree, call)
            message = "Eviction API: evicting"
            now = rfc3339(registry.clock.now())
            set_condition(tree, DISRUPTION, status="True", now=now, reason="EvictionByEvictionAPI", message=message)
            await registry.write(kind, item, tree, call)
        except Raced:
            continue
        return await registry.delete(kind, namespace, name, options, call)


def _needs_no_budget(tree: Tree) -> bool:
    phase = (tree.get("status") or {}).get("phase", "")
    return phase in ("Pending", "Succeeded", "Failed") or "deletionTimestamp" in tree["metadata"]


async def _spend_budget(registry: Registry, namespace: str, pod: Tree, call: Call) -> None:
    labels = pod["metadata"].get("labels") or {}
    budgets = [
        budget
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
    item, budget = registry.read(kind, namespace, budgets[0]["metadata"]["name"])
    status = budget.setdefault("status", {})
    ready = any(
        c.get("type") == "Ready" and c.get("status") == "True" for c in pod.get("status", {}).get("conditions") or ()
    )
    if not ready and _spares_unhealthy(budget):
        return
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise _refused(budget, "the disruption budget is still being processed by the server", retry_after_s=10)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed <= 0:
        needed, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise _refused(
            budget,
            f"The disruption budget {budget['metadata']['name']} needs {needed} healthy pods "
            f"and has {healthy} currently",
        )
    status["disruptionsAllowed"] = allowed - 1
    status.setdefault("disruptedPods", {})[pod["metadata"]["name"]] = rfc3339(registry.clock.now())
    await registry.write(kind, item, budget, call)


def _spares_unhealthy(budget: Tree) -> bool:
    status = budget["status"]
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    return bool(status.get("desiredHealthy", 0) and status.get("currentHealthy", 0) >= status["desiredHealthy"])


def _selector(budget: Tree) -> LabelSelector:
    selector = (budget.get("spec") or {}).get("selector")
    return LabelSelector.from_struct(None if selector is None else from_tree(meta.LabelSelector, selector))


def _refused(budget: Tree, message: str, *, retry_after_s: int = 1) -> TooManyRequests:
    return TooManyRequests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        causes=(Cause("DisruptionBudget", message),),
        retry_after_s=retry_after_s,
    )
