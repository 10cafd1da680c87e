"""PodTolerationRestriction: what the pods of a namespace tolerate by default, and at most. Off unless asked for.

A namespace says both in annotations; the cluster's own hold where it says nothing. Pods that have requests or limits
tolerate memory pressure too. Source: the Kubernetes documentation on admission control.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bireme.api.errors import BadRequest
from bireme.api.resources import tree_qos
from bireme.registry.admission.chain import Attributes, Objects, Operation, Place, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
PREFIX = "scheduler.alpha.kubernetes.io/"
DEFAULT, ALLOWED = f"{PREFIX}defaultTolerations", f"{PREFIX}tolerationsWhitelist"
MEMORY_PRESSURE: Tree = {
    "key": "node.kubernetes.io/memory-pressure",
    "operator": "Exists",
    "effect": "NoSchedule",
}


@dataclass(frozen=True, slots=True)
class ClusterTolerations:
    """What holds where a namespace says nothing; no `allowed` ones allow all."""

    default: tuple[Tree, ...] = ()
    allowed: tuple[Tree, ...] = ()


UNRESTRICTED = ClusterTolerations()


class PodTolerationRestriction(Plugin):
    """See the module."""

    name = "PodTolerationRestriction"

    def __init__(self, objects: Objects, cluster: ClusterTolerations) -> None:
        self._objects, self._cluster = objects, cluster

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and kind.is_a("Pod") and not subresource

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return (("", "v1", "namespaces"),)

    async def admit(self, attributes: Attributes) -> None:
        if attributes.tree is None:
            return
        spec = attributes.tree.setdefault("spec", {})
        tolerations = spec.get("tolerations") or []
        if attributes.operation == "CREATE":
            default = self._said(attributes, DEFAULT)
            tolerations = merged(self._cluster.default if default is None else default, tolerations)
        if tree_qos(spec) != "BestEffort":
            tolerations = merged(tolerations, (MEMORY_PRESSURE,))
        if tolerations:
            spec["tolerations"] = tolerations

    async def validate(self, attributes: Attributes) -> None:
        tolerations = ((attributes.tree or {}).get("spec") or {}).get("tolerations") or ()
        allowed, scope = self._said(attributes, ALLOWED), "namespace"
        if allowed is None:
            allowed, scope = list(self._cluster.allowed), "cluster"
        if allowed and not all(any(covers(one, wanted) for one in allowed) for wanted in tolerations):
            raise refused(
                attributes,
                "pod tolerations (possibly merged with namespace default tolerations) conflict with its "
                f"{scope} whitelist",
            )

    def _said(self, attributes: Attributes, annotation: str) -> list[Tree] | None:
        """The tolerations in an annotation of the namespace; None where it has none."""
        namespace = self._objects.find("", "v1", "namespaces", "", attributes.namespace) or {"metadata": {}}
        text = (namespace["metadata"].get("annotations") or {}).get(annotation)
        if not text:
            return None if text is None else []
        try:
            said = orjson.loads(text)
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, list) or not all(isinstance(each, dict) for each in said):
            raise BadRequest(f"the annotation {annotation} of the namespace holds no list of tolerations")
        return said


def merged(first: Sequence[Tree], second: Sequence[Tree]) -> list[Tree]:
    """Both without those that another one covers; of equal ones the first stays."""
    every = [dict(each) for each in (*first, *second)]
    kept: list[Tree] = []
    for place, one in enumerate(every, 1):
        later = any(other != one and covers(other, one) for other in every[place:])
        if not later and not any(covers(other, one) for other in kept):
            kept.append(one)
    return kept


def covers(wide: Tree, one: Tree) -> bool:
    """Whether `wide` tolerates all that `one` does."""
    if wide == one:
        return True
    exists = wide.get("operator") == "Exists"
    if one.get("key", "") != wide.get("key", "") and (wide.get("key") or not exists):
        return False
    if wide.get("effect") and one.get("effect") != wide["effect"]:
        return False
    longest, seconds = wide.get("tolerationSeconds"), one.get("tolerationSeconds")
    if wide.get("effect") == "NoExecute" and longest is not None and (seconds is None or seconds > longest):
        return False
    equal = one.get("operator") in (None, "", "Equal") and one.get("value", "") == wide.get("value", "")
    return exists or (wide.get("operator") in (None, "", "Equal") and equal)
