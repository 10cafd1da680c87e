"""What of an object changed, told at a glance, so that who reads a part of it is not told of the others.

A pod is written three times before it runs, and most of those who follow pods read what only the first or the second
of these changes. Pods in caches share their parts (`api/codec/shared.py`), so that what is the same object says the
same. Never the other way round: parts that are told to have changed may say what they said.
"""

from bireme.api.kinds import core
from bireme.api.kinds.meta import Object, ObjectMeta

METADATA, SPEC, STATUS, EXISTENCE = 1, 2, 4, 8
"""`METADATA` is all of it but the resource version; `EXISTENCE`: the object comes or goes."""
CONTENT = METADATA | SPEC | STATUS
EVERYTHING = CONTENT | EXISTENCE


def changed(old: Object | None, new: Object | None) -> int:
    """The parts that may differ; all, where the new object is another of the same name or has no parts in common."""
    if old is None or new is None:
        return EVERYTHING
    if type(new) is not core.Pod or type(old) is not core.Pod or old.metadata.uid != new.metadata.uid:
        return CONTENT
    parts = STATUS if old.spec is new.spec else STATUS | SPEC
    return parts if _is_same(old.metadata, new.metadata) else parts | METADATA


def _is_same(old: ObjectMeta, new: ObjectMeta) -> bool:
    return (
        old.labels is new.labels
        and old.owner_references is new.owner_references
        and old.annotations is new.annotations
        and old.finalizers is new.finalizers
        and old.deletion_timestamp == new.deletion_timestamp
        and old.deletion_grace_period_seconds == new.deletion_grace_period_seconds
        and old.generation == new.generation
    )
