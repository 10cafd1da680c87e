"""The history of a StatefulSet or DaemonSet: its templates as ControllerRevisions, numbered by when each was wanted.

A revision holds the template as a strategic patch, so that going back to it is one patch of the owner. The same
template again takes up its old revision under a new number. Plain functions.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bireme.api.kinds import apps, core, meta
from bireme.controllers import changes
from bireme.controllers.hashing import short_hash
from bireme.controllers.ownership import reference_to

HASH = "controller-revision-hash"
HASH_OF_DATA = "controller.kubernetes.io/hash"
_NAME_MOST = 223
_KEPT = 10

Owner = apps.StatefulSet | apps.DaemonSet


@dataclass(frozen=True, slots=True)
class Standing:
    """The revision that is wanted now, all there are from the oldest, and what is to be written first."""

    wanted: apps.ControllerRevision
    all: list[apps.ControllerRevision]
    write: tuple[changes.Change, ...] = ()


def number_of(revision: apps.ControllerRevision) -> int:
    """The revision's number."""
    return revision.revision or 0


def hash_of(revision: apps.ControllerRevision) -> str:
    """The hash of the revision's template."""
    return revision.metadata.labels.get(HASH_OF_DATA, "")


def _data(template: core.PodTemplateSpec) -> Any:
    tree: dict[str, Any] = msgspec.to_builtins(template)
    return {"spec": {"template": {**tree, "$patch": "replace"}}}


def template_of(revision: apps.ControllerRevision) -> core.PodTemplateSpec:
    """The template that the revision holds."""
    tree = ((revision.data or {}).get("spec") or {}).get("template") or {}
    kept = {name: value for name, value in tree.items() if name != "$patch"}
    return msgspec.convert(kept, core.PodTemplateSpec)


def standing(owner: Owner, owned: Sequence[apps.ControllerRevision]) -> Standing:
    """Where the owner stands in its history."""
    known = sorted(owned, key=lambda item: (number_of(item), item.metadata.creation_timestamp, item.metadata.name))
    template = owner.spec.template
    newest = number_of(known[-1]) if known else 0
    same = [item for item in known if template_of(item) == template]
    if not same:
        made = _revision(owner, known, newest + 1)
        return Standing(made, [*known, made], (changes.Create(made),))
    found = same[-1]
    if number_of(found) == newest:
        return Standing(found, known)
    raised = msgspec.structs.replace(found, revision=newest + 1)
    rest = [item for item in known if item is not found]
    return Standing(raised, [*rest, raised], (changes.Update(raised),))


def _revision(owner: Owner, known: Sequence[apps.ControllerRevision], number: int) -> apps.ControllerRevision:
    template = owner.spec.template
    taken = {item.metadata.name for item in known}
    collisions, name = owner.status.collision_count or 0, ""
    while not name or name in taken:
        digest = short_hash(template, collisions=collisions)
        name = f"{owner.metadata.name[:_NAME_MOST]}-{digest}"
        collisions += 1
    return apps.ControllerRevision(
        metadata=meta.ObjectMeta(
            name=name,
            namespace=owner.metadata.namespace,
            labels=template.metadata.labels | {HASH_OF_DATA: digest},
            annotations=dict(owner.metadata.annotations),  # the cause of the change among them
            owner_references=[reference_to(owner)],
        ),
        data=_data(template),
        revision=number,
    )


def beyond_limit(owner: Owner, there: Standing, live: Collection[str]) -> list[apps.ControllerRevision]:
    """Revisions that nobody uses and that the limit leaves no place for. `live` holds names or hashes in use."""
    limit = _KEPT if owner.spec.revision_history_limit is None else owner.spec.revision_history_limit
    idle = [
        item
        for item in there.all
        if item is not there.wanted and item.metadata.name not in live and hash_of(item) not in live
    ]
    return idle[: max(0, len(idle) - limit)]
