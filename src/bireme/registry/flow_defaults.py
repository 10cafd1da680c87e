"""The flow schemas and priority levels that every cluster has, and the upkeep of these and of what users add.

Two schemas with their levels are mandatory: they are put right whatever somebody made of them. The others are
suggestions, put right while their annotation says so. A schema's condition `Dangling` tells whether its level exists.
Source: the Kubernetes documentation on API priority and fairness.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

from bireme.api.errors import AlreadyExists, Conflict, NotFound
from bireme.api.times import rfc3339
from bireme.registry.options import Call
from bireme.registry.verbs import Registry

Tree = dict[str, Any]

GROUP, VERSION = "flowcontrol.apiserver.k8s.io", "v1"
SCHEMAS, LEVELS = "flowschemas", "prioritylevelconfigurations"
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
MANDATORY = frozenset({"exempt", "catch-all"})
_CALL_MANAGER = "api-priority-and-fairness-config-producer-v1"
_STATUS_MANAGER = "api-priority-and-fairness-config-consumer-v1"

# Limited levels: name, shares, percent lendable, then queues, hand and length (none: no queue).
_LIMITED = (
    ("system", 30, 33, (64, 6, 50)),
    ("node-high", 40, 25, (64, 6, 50)),
    ("leader-election", 10, 0, (16, 4, 50)),
    ("workload-high", 40, 50, (128, 6, 50)),
    ("workload-low", 100, 90, (128, 6, 50)),
    ("global-default", 20, 50, (128, 6, 50)),
    ("catch-all", 5, 0, None),
)

_NODES = "group system:nodes"
_MANAGERS = ("user system:kube-controller-manager", "user system:kube-scheduler")
_PARTS = ("user system:mesos-master", "user system:marathon", "user system:dns")
_KUBE_SYSTEM = "account kube-system *"
_EVERYBODY = ("group system:unauthenticated", "group system:authenticated")
_PROBES = {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}


def _resources(verbs: str, groups: str, resources: str, *, cluster: bool) -> Tree:
    rule: Tree = {"verbs": verbs.split(), "apiGroups": groups.split(" "), "resources": resources.split()}
    return {**rule, **({"clusterScope": True} if cluster else {}), "namespaces": ["*"]}


_ALL = (_resources("*", "*", "*", cluster=True), {"verbs": ["*"], "nonResourceURLs": ["*"]})
_NODE_RULES = (
    _resources("*", "", "nodes nodes/status", cluster=True),
    _resources("*", "coordination.k8s.io", "leases", cluster=False),
)
_ELECTION = (_resources("get create update", "coordination.k8s.io", "leases", cluster=False),)

# Schemas: name, level, precedence, distinguisher, subjects, rules.
_SCHEMAS: tuple[tuple[str, str, int, str, tuple[str, ...], tuple[Tree, ...]], ...] = (
    ("exempt", "exempt", 1, "", ("group system:masters",), _ALL),
    ("probes", "exempt", 2, "", _EVERYBODY, (_PROBES,)),
    ("system-leader-election", "leader-election", 100, "ByUser", (*_MANAGERS, _KUBE_SYSTEM), _ELECTION),
    ("system-node-high", "node-high", 400, "ByUser", (_NODES,), _NODE_RULES),
    ("system-nodes", "system", 500, "ByUser", (_NODES,), _ALL),
    ("kube-controller-manager", "workload-high", 800, "ByNamespace", _MANAGERS[:1], _ALL),
    ("kube-scheduler", "workload-high", 800, "ByNamespace", _MANAGERS[1:], _ALL),
    ("bireme-parts", "workload-high", 850, "ByUser", _PARTS, _ALL),
    ("kube-system-service-accounts", "workload-high", 900, "ByNamespace", (_KUBE_SYSTEM,), _ALL),
    ("service-accounts", "workload-low", 9000, "ByUser", ("group system:serviceaccounts",), _ALL),
    ("global-default", "global-default", 9900, "ByUser", _EVERYBODY, _ALL),
    ("catch-all", "catch-all", 10000, "ByUser", _EVERYBODY, _ALL),
)


def default_levels() -> Iterator[Tree]:
    """The priority levels that every cluster has."""
    yield _object("exempt", {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}})
    for name, shares, lendable, queuing in _LIMITED:
        response: Tree = {"type": "Reject"}
        if queuing is not None:
            numbers = dict(zip(("queues", "handSize", "queueLengthLimit"), queuing, strict=True))
            response = {"type": "Queue", "queuing": numbers}
        limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
        yield _object(name, {"type": "Limited", "limited": limited})


def default_schemas() -> Iterator[Tree]:
    """The flow schemas that every cluster has."""
    for name, level, precedence, distinguisher, subjects, rules in _SCHEMAS:
        rule: Tree = {"subjects": [_subject(text) for text in subjects]}
        resource = [each for each in rules if "resources" in each]
        other = [each for each in rules if "resources" not in each]
        rule |= {"resourceRules": resource} if resource else {}
        rule |= {"nonResourceRules": other} if other else {}
        spec: Tree = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
        if distinguisher:
            spec["distinguisherMethod"] = {"type": distinguisher}
        yield _object(name, {**spec, "rules": [rule]})


def dangling(schema: Tree, levels: set[str], now: str) -> Tree | None:
    """The condition that `schema` should have of itself; None where it has it."""
    level = schema["spec"]["priorityLevelConfiguration"]["name"]
    found = level in levels
    words = "and it exists" if found else "but there is no such object"
    said = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" {words}'
    conditions = (schema.get("status") or {}).get("conditions") or ()
    if any((each.get("type"), each.get("message")) == ("Dangling", said) for each in conditions):
        return None
    status, reason = ("False", "Found") if found else ("True", "NotFound")
    return {"type": "Dangling", "status": status, "lastTransitionTime": now, "reason": reason, "message": said}


async def keep_flow_objects(registry: Registry) -> None:
    """Make what is missing, put right what is ours, and tell of schemas whose level is missing."""
    async with asyncio.TaskGroup() as tasks:
        for plural, trees in ((LEVELS, default_levels()), (SCHEMAS, default_schemas())):
            for tree in trees:
                tasks.create_task(_keep(registry, plural, tree))
    levels = {tree["metadata"]["name"] for tree in registry.every(GROUP, VERSION, LEVELS)}
    now = rfc3339(registry.clock.now())
    async with asyncio.TaskGroup() as tasks:
        for schema in registry.every(GROUP, VERSION, SCHEMAS):
            condition = dangling(schema, levels, now)
            if condition is not None:
                tasks.create_task(_tell(registry, schema, condition))


async def _keep(registry: Registry, plural: str, tree: Tree) -> None:
    kind, name = registry.kind(GROUP, VERSION, plural), tree["metadata"]["name"]
    found = registry.find(GROUP, VERSION, plural, "", name)
    call = Call(field_manager=_CALL_MANAGER)
    try:
        if found is None:
            await registry.create(kind, "", tree, call)
        elif found["spec"] != tree["spec"] and _is_ours(found):
            await registry.update(kind, "", name, {**found, "spec": tree["spec"]}, call)
    except (AlreadyExists, Conflict, NotFound):
        return  # somebody was quicker: the next round looks again


def _is_ours(found: Tree) -> bool:
    said = (found["metadata"].get("annotations") or {}).get(AUTOUPDATE)
    return said == "true" or found["metadata"]["name"] in MANDATORY


async def _tell(registry: Registry, schema: Tree, condition: Tree) -> None:
    others = [each for each in (schema.get("status") or {}).get("conditions") or () if each["type"] != "Dangling"]
    told = {**schema, "status": {**(schema.get("status") or {}), "conditions": [*others, condition]}}
    kind, call = registry.kind(GROUP, VERSION, SCHEMAS), Call(field_manager=_STATUS_MANAGER)
    try:
        await registry.update(kind, "", schema["metadata"]["name"], told, call, subresource="status")
    except (Conflict, NotFound):
        return


def _object(name: str, spec: Tree) -> Tree:
    return {"metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}}, "spec": spec}


def _subject(text: str) -> Tree:
    kind, *names = text.split()
    if kind == "account":
        return {"kind": "ServiceAccount", "serviceAccount": {"namespace": names[0], "name": names[1]}}
    return {"kind": kind.title(), kind: {"name": names[0]}}
