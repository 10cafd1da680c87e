"""What a delete does to an object: it goes at once, it is marked and stays for a while, or nothing changes.

Plain decisions over trees. An object with finalizers stays until they are gone; a pod on a node stays for its
grace period, so that the kubelet can stop it; a namespace stays until its content is gone. Dependents are the
garbage collector's business: it reads the finalizers `orphan` and `foregroundDeletion` that are set here.
Source: the Kubernetes documentation on writing, and `BeforeDelete` in Kubernetes' registry package.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bireme.api.scheme import Resource
from bireme.api.times import parse_time, rfc3339
from bireme.registry.options import DeleteOptions
from bireme.registry.strategy import FOREGROUND, ORPHAN, Strategy

Tree = dict[str, Any]
ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Deletion:
    """`remove`: take it out of the store. Else `tree` is what to store; None where nothing changes."""

    remove: bool
    tree: Tree | None = None


def plan_delete(
    resource: Resource, strategy: Strategy, tree: Tree, options: DeleteOptions, *, now: datetime
) -> Deletion:
    """What to do with `tree`, which may be changed on the way."""
    metadata = tree["metadata"]
    wanted = _finalizers(strategy, metadata, options)
    changed = wanted != list(metadata.get("finalizers") or ())
    if changed:
        _set_finalizers(metadata, wanted)
    if "deletionTimestamp" in metadata:
        changed = _shorten(resource, metadata, options) or changed
    else:
        _mark(metadata, _grace(resource, tree, options), now)
        changed = True
        if _is_namespace(resource):
            tree.setdefault("status", {})["phase"] = "Terminating"
    if is_over(resource, tree):
        return Deletion(remove=True, tree=tree)
    return Deletion(remove=False, tree=tree if changed else None)


def is_over(resource: Resource, tree: Tree) -> bool:
    """Whether nothing holds a marked object any more."""
    metadata = tree["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if metadata.get("deletionGracePeriodSeconds"):
        return False
    return not (_is_namespace(resource) and (tree.get("spec") or {}).get("finalizers"))


def _is_namespace(resource: Resource) -> bool:
    return resource.kind == "Namespace" and not resource.group


def _is_pod(resource: Resource) -> bool:
    return resource.kind == "Pod" and not resource.group


def _grace(resource: Resource, tree: Tree, options: DeleteOptions) -> int:
    """Seconds from now until the object is to be gone: pods on a node alone are given any."""
    if not _is_pod(resource):
        return 0
    spec = tree.get("spec") or {}
    if not spec.get("nodeName") or (tree.get("status") or {}).get("phase") in ENDED:
        return 0
    seconds = options.grace_period_s
    if seconds is None:
        seconds = spec.get("terminationGracePeriodSeconds", 0)
    return 1 if seconds < 0 else int(seconds)


def _mark(metadata: Tree, grace_s: int, now: datetime) -> None:
    metadata["deletionTimestamp"] = rfc3339(now + timedelta(seconds=grace_s))
    metadata["deletionGracePeriodSeconds"] = grace_s
    if metadata.get("generation"):
        metadata["generation"] += 1


def _shorten(resource: Resource, metadata: Tree, options: DeleteOptions) -> bool:
    """A repeated delete may only shorten the grace; says whether it did."""
    left = metadata.get("deletionGracePeriodSeconds") or 0
    asked = options.grace_period_s
    if not _is_pod(resource) or asked is None or not left or asked >= left:
        return False
    asked = 1 if asked < 0 else asked
    began = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=left)
    metadata["deletionTimestamp"] = rfc3339(began + timedelta(seconds=asked))
    metadata["deletionGracePeriodSeconds"] = asked
    return True


def _finalizers(strategy: Strategy, metadata: Tree, options: DeleteOptions) -> list[str]:
    present = list(metadata.get("finalizers") or ())
    propagation = options.propagation
    if not propagation:
        if ORPHAN in present or FOREGROUND in present:
            return present
        propagation = "Orphan" if strategy.orphans_by_default else "Background"
    others = [name for name in present if name not in (ORPHAN, FOREGROUND)]
    if propagation == "Orphan":
        return [*others, ORPHAN]
    return [*others, FOREGROUND] if propagation == "Foreground" else others


def _set_finalizers(metadata: Tree, finalizers: list[str]) -> None:
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
