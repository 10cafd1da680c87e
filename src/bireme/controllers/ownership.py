"""Who controls an object: the owner reference with `controller: true`, and how objects come to it and leave it.

An orphan that matches the owner's selector is adopted, an object that it controls but that matches no more is
released; nothing is adopted by an owner that is going. What happens to the objects of an owner that is gone is
the garbage collector's business.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bireme.api.kinds import meta
from bireme.api.kinds.meta import Object, OwnerReference
from bireme.api.selectors import LabelSelector
from bireme.controllers.changes import Merge

K = TypeVar("K", bound=Object)


def controller_of(obj: Object) -> OwnerReference | None:
    """The reference to the object's controller."""
    for reference in obj.metadata.owner_references:
        if reference.controller:
            return reference
    return None


def is_controlled_by(obj: Object, owner: Object) -> bool:
    """`owner` is the controller of the object."""
    reference = controller_of(obj)
    return reference is not None and reference.uid == owner.metadata.uid


def is_anothers(old: Object | None, new: Object | None, *, kind: str) -> bool:
    """At a glance: the object's controller is, and was, of another kind. Who follows many objects asks this first."""
    obj = new if new is not None else old
    if obj is None or (old is not None and old.metadata.owner_references is not obj.metadata.owner_references):
        return False
    for reference in obj.metadata.owner_references:
        if reference.controller:
            return reference.kind != kind
    return False


def reference_to(owner: Object) -> OwnerReference:
    """A controller's reference to `owner`, which waits for its dependents when deleted in the foreground."""
    group, version, kind = owner.__gvk__  # type: ignore[attr-defined]
    return OwnerReference(
        api_version=f"{group}/{version}" if group else version,
        kind=kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


@dataclass(frozen=True, slots=True)
class Claims(Generic[K]):
    """Objects that an owner controls now, those it should take, those it should let go."""

    owned: list[K]
    adopt: list[K]
    release: list[K]


def claim(owner: Object, selector: LabelSelector, candidates: Iterable[K]) -> Claims[K]:
    """Sort `candidates` of the owner's namespace by what they are to `owner`."""
    claims: Claims[K] = Claims([], [], [])
    going = bool(owner.metadata.deletion_timestamp)
    uid = owner.metadata.uid
    # Most have the labels of one template: each set of labels is looked at once.
    known: dict[tuple[tuple[str, str], ...], bool] = {}
    for obj in candidates:
        reference = controller_of(obj)
        labels = tuple(obj.metadata.labels.items())
        matches = known.get(labels)
        if matches is None:
            matches = known[labels] = selector.matches(obj.metadata.labels)
        if reference is None:
            if matches and not going and not obj.metadata.deletion_timestamp:
                claims.adopt.append(obj)
        elif reference.uid == uid:
            (claims.owned if matches or going else claims.release).append(obj)
    return claims


def adoption(obj: Object, owner: Object) -> Merge:
    """Make `owner` the controller of `obj`, if nobody changed it meanwhile."""
    return _references(obj, [*obj.metadata.owner_references, reference_to(owner)])


def release(obj: Object, owner: Object) -> Merge:
    """Take the reference to `owner` off `obj`, if nobody changed it meanwhile."""
    return _references(obj, [item for item in obj.metadata.owner_references if item.uid != owner.metadata.uid])


def _references(obj: Object, references: list[OwnerReference]) -> Merge:
    trees = [reference_tree(item) for item in references]
    return Merge(obj, {"metadata": {"ownerReferences": trees or None}}, exact=True)


def reference_tree(reference: meta.OwnerReference) -> dict[str, Any]:
    """The reference as it stands on the wire."""
    tree: dict[str, Any] = {
        "apiVersion": reference.api_version,
        "kind": reference.kind,
        "name": reference.name,
        "uid": reference.uid,
    }
    if reference.controller is not None:
        tree["controller"] = reference.controller
    if reference.block_owner_deletion is not None:
        tree["blockOwnerDeletion"] = reference.block_owner_deletion
    return tree
