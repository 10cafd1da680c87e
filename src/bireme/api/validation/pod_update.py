"""What an update of a pod may change; everything else in its spec is fixed once it is made.

Source: the Kubernetes documentation. The trick is the original's: undo what is allowed, then nothing may differ.
"""

import difflib
import json
from typing import Any

from bireme.api.resources import tree_qos
from bireme.api.validation.field import Problems, Tree
from bireme.api.validation.selectors import matches

_LARGEST = 2**31 - 1
_MAX_LINES = 1000
_MAX_SHOWN = 60
_ALLOWED = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_FREE_WHILE_GATED = ("nodeSelector", "affinity")


def check_pod_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A pod's main resource. Its node is given by its binding alone, which is no update."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    _check_counts(problems, spec, before)
    _check_deadline(problems, spec, before)
    _check_gates(problems, spec, before)
    _check_tolerations(problems, spec, before)
    allowed = _undone(spec, before)
    if allowed != before:
        problems.forbidden("spec", f"{_ALLOWED}\n{_difference(before, spec)}")


def check_ephemeral_update(problems: Problems, new: Tree, old: Tree) -> None:
    """The subresource `ephemeralcontainers`: containers may be added, none changed or removed."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    now = {each.get("name"): each for each in spec.get("ephemeralContainers") or ()}
    for each in before.get("ephemeralContainers") or ():
        if each.get("name") not in now:
            fault = f"existing ephemeral containers {json.dumps([each.get('name')])} may not be removed"
            problems.forbidden("spec.ephemeralContainers", fault)
        elif now[each.get("name")] != each:
            fault = f"existing ephemeral container {json.dumps(each.get('name'))} may not be changed"
            problems.forbidden("spec.ephemeralContainers", fault)
    if {**spec, "ephemeralContainers": None} != {**before, "ephemeralContainers": None}:
        problems.forbidden("spec", "only ephemeral containers may be added")


def check_resize(problems: Problems, new: Tree, old: Tree) -> None:
    """The subresource `resize`: only the CPU and memory of containers."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    settled = dict(spec)
    for field in ("containers", "initContainers"):
        was = {each.get("name"): each for each in before.get(field) or ()}
        if spec.get(field):
            settled[field] = [_with_resources(each, was.get(each.get("name"), each)) for each in spec[field]]
    if settled != before:
        problems.forbidden("spec", "only cpu and memory resources are mutable")
    if tree_qos(spec) != tree_qos(before):
        problems.invalid("metadata", tree_qos(spec), "Pod QOS Class may not change as a result of resizing")


def _with_resources(container: Tree, before: Tree) -> Tree:
    """The container with its old CPU and memory, if nothing but those differs."""
    resources, was = container.get("resources") or {}, before.get("resources") or {}
    back: Tree = dict(resources)
    for field in ("requests", "limits"):
        amounts = {name: of for name, of in (resources.get(field) or {}).items() if name not in ("cpu", "memory")}
        amounts |= {name: of for name, of in (was.get(field) or {}).items() if name in ("cpu", "memory")}
        if amounts or field in was:
            back[field] = amounts
        else:
            back.pop(field, None)
    settled = {**container, "resources": back}
    if not back and "resources" not in before:
        del settled["resources"]
    return settled


def _check_counts(problems: Problems, spec: Tree, before: Tree) -> None:
    for field in ("containers", "initContainers"):
        if len(spec.get(field) or ()) != len(before.get(field) or ()):
            problems.forbidden(f"spec.{field}", "pod updates may not add or remove containers")


def _check_deadline(problems: Problems, spec: Tree, before: Tree) -> None:
    now, was = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if now is None:
        if was is not None:
            problems.invalid(
                "spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value"
            )
    elif was is not None and now > was:
        problems.invalid("spec.activeDeadlineSeconds", now, f"must be less than or equal to previous value {was}")
    elif not 0 <= now <= _LARGEST:
        problems.invalid("spec.activeDeadlineSeconds", now, f"must be between 0 and {_LARGEST}, inclusive")


def _check_gates(problems: Problems, spec: Tree, before: Tree) -> None:
    was = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in was:
            fault = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            problems.forbidden(f"spec.schedulingGates[{index}]", fault)
    if was and _narrowed(spec, before) is False:
        problems.invalid(
            "spec.nodeSelector", spec.get("nodeSelector"), "is immutable, only additions are allowed while gated"
        )


def _narrowed(spec: Tree, before: Tree) -> bool:
    """Whether the node selector of a gated pod only says more than before."""
    return matches({"matchLabels": before.get("nodeSelector") or {}}, spec.get("nodeSelector") or {})


def _check_tolerations(problems: Problems, spec: Tree, before: Tree) -> None:
    """Old tolerations stay; only how long they hold may change."""
    now = [_lasting(each) for each in spec.get("tolerations") or ()]
    if any(_lasting(each) not in now for each in before.get("tolerations") or ()):
        fault = "existing toleration can not be modified except its tolerationSeconds"
        problems.forbidden("spec.tolerations", fault)


def _lasting(toleration: Tree) -> Tree:
    return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}


def _undone(spec: Tree, before: Tree) -> Tree:
    """The new spec with every allowed change taken back."""
    undone = dict(spec)
    for field in ("containers", "initContainers"):
        if spec.get(field):
            undone[field] = [
                {**now, "image": was.get("image")} if now.get("image") else now
                for now, was in zip(spec[field], before.get(field) or (), strict=False)
            ]
    fields = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if before.get("schedulingGates"):
        fields += _FREE_WHILE_GATED
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        fields.append("terminationGracePeriodSeconds")
    for field in fields:
        _put_back(undone, before, field)
    return undone


def _put_back(tree: Tree, before: Tree, field: str) -> None:
    tree.pop(field, None)
    if field in before:
        tree[field] = before[field]


def _difference(before: Tree, after: Tree) -> str:
    """The changed lines, bounded, for the message."""

    def lines(tree: Any) -> list[str]:
        return json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False).splitlines()

    was, now = lines(before), lines(after)
    if max(len(was), len(now)) > _MAX_LINES:  # comparing takes quadratic time
        return "(too large to show what differs)"
    changed = difflib.unified_diff(was, now, n=1, lineterm="")
    return "\n".join([line for line in changed if not line.startswith(("---", "+++"))][:_MAX_SHOWN])
