"""Having the default roles and bindings at the start, with all that they must hold.

A role that is there gets the rules that it lacks, a binding its subjects, and nothing is taken from either; one
whose `autoupdate` annotation says "false" is left alone. Source: the Kubernetes documentation on RBAC,
"Auto-reconciliation".
"""

import asyncio
from typing import Any

from bireme.api.errors import AlreadyExists, Conflict
from bireme.api.selectors import LabelSelector
from bireme.registry.default_roles import AUTOUPDATE, GROUP, default_objects
from bireme.registry.options import Call
from bireme.registry.rbac_rules import compiled, uncovered
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
MANAGER = "kube-apiserver"


async def reconcile_roles(registry: Registry) -> None:
    """Make what is missing and complete what is there."""
    wanted = list(default_objects())
    _gather(wanted)
    async with asyncio.TaskGroup() as tasks:
        for plural, tree in wanted:
            tasks.create_task(_reconcile(registry, plural, tree))


def _gather(wanted: list[tuple[str, Tree]]) -> None:
    """Fill the aggregated roles at once, so that they hold something before a controller runs."""
    roles = [tree for plural, tree in wanted if plural == "clusterroles"]
    for tree in (*roles, *roles):  # twice: admin gathers edit, which gathers view
        selectors = (tree.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
        for selector in (LabelSelector.of(each["matchLabels"]) for each in selectors):
            chosen = [other for other in roles if other is not tree and selector.matches(other["metadata"]["labels"])]
            rules = [rule for other in chosen for rule in other["rules"]]
            tree["rules"] = [rule for at, rule in enumerate(rules) if rule not in rules[:at]]


async def _reconcile(registry: Registry, plural: str, tree: Tree) -> None:
    metadata = tree["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    kind = registry.kind(GROUP, "v1", plural)
    found = registry.find(GROUP, "v1", plural, namespace, name)
    call = Call(field_manager=MANAGER)
    try:
        if found is None:
            await registry.create(kind, namespace, tree, call)
        elif (changed := completed(found, tree)) is not None:
            await registry.update(kind, namespace, name, changed, call)
    except (AlreadyExists, Conflict):
        return  # somebody else was faster, with the same or with his own


def completed(found: Tree, wanted: Tree) -> Tree | None:
    """`found` with what it lacks of `wanted`; None where it lacks nothing, or wants to be left alone."""
    if (found["metadata"].get("annotations") or {}).get(AUTOUPDATE, "true") == "false":
        return None
    made = {key: value for key, value in found.items() if key != "metadata"}
    made["metadata"] = {**found["metadata"]}
    if "subjects" in wanted:
        held = found.get("subjects") or []
        lacking = [subject for subject in wanted["subjects"] if subject not in held]
        made["subjects"] = [*held, *lacking]
    elif "aggregationRule" in wanted:
        lacking = [] if found.get("aggregationRule") == wanted["aggregationRule"] else [wanted["aggregationRule"]]
        made["aggregationRule"] = wanted["aggregationRule"]
    else:
        lacking = [rule.tree() for rule in uncovered(compiled(found.get("rules")), compiled(wanted["rules"]))]
        made["rules"] = [*(found.get("rules") or []), *lacking]
    return made if lacking else None
