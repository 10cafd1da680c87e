"""LimitRanger: the limit ranges of a namespace fill in what containers ask for, and bound what is asked.

Source: the Kubernetes documentation on limit ranges; the texts are those that clients know.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bireme.api import amounts, quantity
from bireme.api.amounts import Amount
from bireme.registry.admission.chain import Attributes, Objects, Operation, Place, Plugin
from bireme.registry.admission.refusals import joined, refused
from bireme.registry.kinds import Kind
from bireme.registry.pod_amounts import limits_of, requests_of

Tree = dict[str, Any]
Vector = Mapping[str, Amount]
ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    """See the module."""

    name = "LimitRanger"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        if kind.is_a("Pod"):
            return (operation, subresource) in (("CREATE", ""), ("UPDATE", "resize"))
        return operation in ("CREATE", "UPDATE") and kind.is_a("PersistentVolumeClaim") and not subresource

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return (("", "v1", "limitranges"),)

    async def admit(self, attributes: Attributes) -> None:
        if attributes.tree is None or attributes.operation != "CREATE" or not attributes.kind.is_a("Pod"):
            return
        for limit_range in self._ranges(attributes):
            _fill_in(attributes.tree, limit_range)

    async def validate(self, attributes: Attributes) -> None:
        if attributes.tree is None or "deletionTimestamp" in attributes.tree["metadata"]:
            return
        problems = _pod_problems if attributes.kind.is_a("Pod") else _claim_problems
        for limit_range in self._ranges(attributes):
            found = list(problems(attributes.tree.get("spec") or {}, _items(limit_range)))
            if found:
                raise refused(attributes, joined(found))

    def _ranges(self, attributes: Attributes) -> list[Tree]:
        return self._objects.every("", "v1", "limitranges", attributes.namespace)


def _items(limit_range: Tree) -> list[Tree]:
    return (limit_range.get("spec") or {}).get("limits") or []


def _fill_in(pod: Tree, limit_range: Tree) -> None:
    """Give containers the requests and limits that they lack, in place, and say so in an annotation."""
    wanted: dict[str, Tree] = {"limits": {}, "requests": {}}
    for item in _items(limit_range):
        if item.get("type") == "Container":
            wanted["limits"].update(item.get("default") or {})
            wanted["requests"].update(item.get("defaultRequest") or {})
    if not (wanted["limits"] or wanted["requests"]):
        return
    said = []
    spec = pod.get("spec") or {}
    for field, title in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            name = container.get("name", "")
            said += [
                f"{', '.join(added)} {part[:-1]} for {title} {name}"
                for part in ("requests", "limits")
                if (added := _complete(container, part, wanted[part]))
            ]
    if said:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(said)


def _complete(container: Tree, part: str, wanted: Tree) -> list[str]:
    resources = container.get("resources") or {}
    lacking = sorted(wanted.keys() - (resources.get(part) or {}).keys())
    if lacking:
        given = {**(resources.get(part) or {}), **{name: wanted[name] for name in lacking}}
        container["resources"] = {**resources, part: given}
    return lacking


def _pod_problems(spec: Tree, items: list[Tree]) -> Iterator[str]:
    for item in items:
        if item.get("type") == "Container":
            for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
                resources = container.get("resources") or {}
                requests, limits = amounts.read(resources.get("requests")), amounts.read(resources.get("limits"))
                yield from _out_of_bounds(item, requests, limits)
        elif item.get("type") == "Pod":
            yield from _out_of_bounds(item, requests_of(spec), limits_of(spec))


def _out_of_bounds(item: Tree, requests: Vector, limits: Vector) -> Iterator[str]:
    kind = item["type"]
    for check, field in ((_too_little, "min"), (_too_much, "max"), (_too_far_apart, "maxLimitRequestRatio")):
        for name, bound in sorted((item.get(field) or {}).items()):
            if problem := check(kind, name, amounts.read_amount(bound), requests.get(name), limits.get(name)):
                yield problem


def _claim_problems(spec: Tree, items: list[Tree]) -> Iterator[str]:
    requests = amounts.read((spec.get("resources") or {}).get("requests"))
    for item in items:
        if item.get("type") != "PersistentVolumeClaim":
            continue
        for name, bound in sorted((item.get("min") or {}).items()):
            if problem := _too_little(item["type"], name, amounts.read_amount(bound), requests.get(name), None):
                yield problem
        for name, bound in sorted((item.get("max") or {}).items()):
            most, request = amounts.read_amount(bound), requests.get(name)
            head = f"maximum {name} usage per {item['type']} is {most}"
            if request is None:
                yield f"{head}.  No request is specified"
            elif request.nanos > most.nanos:
                yield f"{head}, but request is {request}"


def _too_little(kind: str, name: str, least: Amount, request: Amount | None, limit: Amount | None) -> str:
    head = f"minimum {name} usage per {kind} is {least}"
    if request is None:
        return f"{head}.  No request is specified"
    if request.nanos < least.nanos:
        return f"{head}, but request is {request}"
    return f"{head}, but limit is {limit}" if limit is not None and limit.nanos < least.nanos else ""


def _too_much(kind: str, name: str, most: Amount, request: Amount | None, limit: Amount | None) -> str:
    head = f"maximum {name} usage per {kind} is {most}"
    if limit is None:
        return f"{head}.  No limit is specified"
    if limit.nanos > most.nanos:
        return f"{head}, but limit is {limit}"
    return f"{head}, but request is {request}" if request is not None and request.nanos > most.nanos else ""


def _too_far_apart(kind: str, name: str, most: Amount, request: Amount | None, limit: Amount | None) -> str:
    head = f"{name} max limit to request ratio per {kind} is {most}"
    if request is None or not request.nanos:
        return f"{head}, but no request is specified or request is 0"
    if limit is None or not limit.nanos:
        return f"{head}, but no limit is specified or limit is 0"
    if limit.nanos * quantity.NANOS > most.nanos * request.nanos:
        return f"{head}, but provided ratio is {limit.nanos / request.nanos:f}"
    return ""
