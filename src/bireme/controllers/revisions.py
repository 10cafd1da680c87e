"""A Deployment's ReplicaSets as its history: which one is new, their revisions, which are old enough to go.

Each ReplicaSet carries in annotations the revision of the rollout that made (or took up again) it; going back is
a copy of an old template into the Deployment, which makes the old ReplicaSet the new one.
"""

from collections.abc import Iterable, Sequence

import msgspec

from bireme.api.kinds import apps, core, meta
from bireme.controllers.hashing import short_hash
from bireme.controllers.ownership import reference_to

PREFIX = "deployment.kubernetes.io/"
REVISION = f"{PREFIX}revision"
HISTORY = f"{PREFIX}revision-history"
DESIRED = f"{PREFIX}desired-replicas"
MAXIMUM = f"{PREFIX}max-replicas"
HASH = "pod-template-hash"

# Annotations that belong to the one object and are not passed on.
_OWN = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    )
)
_HISTORY_LENGTH = 2000


def created_order(replica_set: apps.ReplicaSet) -> tuple[str, str]:
    """Sort key: the older first, by name within a second."""
    return replica_set.metadata.creation_timestamp, replica_set.metadata.name


def revision_of(obj: apps.Deployment | apps.ReplicaSet) -> int:
    """The revision in the annotation, 0 when there is none."""
    text = obj.metadata.annotations.get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def same_template(one: core.PodTemplateSpec | None, other: core.PodTemplateSpec | None) -> bool:
    """The templates are equal but for the label that holds the hash."""
    if one is None or other is None:
        return one is other
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: core.PodTemplateSpec) -> core.PodTemplateSpec:
    if HASH not in template.metadata.labels:
        return template
    labels = {key: value for key, value in template.metadata.labels.items() if key != HASH}
    return msgspec.structs.replace(template, metadata=msgspec.structs.replace(template.metadata, labels=labels))


def find_new(deployment: apps.Deployment, replica_sets: Iterable[apps.ReplicaSet]) -> apps.ReplicaSet | None:
    """The ReplicaSet of the present template; the oldest where there are two."""
    template = deployment.spec.template
    return next(
        (item for item in sorted(replica_sets, key=created_order) if same_template(item.spec.template, template)),
        None,
    )


def next_revision(old: Iterable[apps.ReplicaSet]) -> int:
    """One above every old revision."""
    return max((revision_of(item) for item in old), default=0) + 1


def make_new(deployment: apps.Deployment, *, replicas: int, revision: int, maximum: int) -> apps.ReplicaSet:
    """The ReplicaSet for the present template, named by the template's hash."""
    template = _without_hash(deployment.spec.template)
    digest = short_hash(template, collisions=deployment.status.collision_count or 0)
    labels = {**template.metadata.labels, HASH: digest}
    selector = deployment.spec.selector
    return apps.ReplicaSet(
        metadata=meta.ObjectMeta(
            name=f"{deployment.metadata.name}-{digest}",
            namespace=deployment.metadata.namespace,
            labels=labels,
            annotations={
                **passed_on(deployment),
                REVISION: str(revision),
                DESIRED: str(deployment.spec.replicas if deployment.spec.replicas is not None else 1),
                MAXIMUM: str(maximum),
            },
            owner_references=[reference_to(deployment)],
        ),
        spec=apps.ReplicaSetSpec(
            replicas=replicas,
            min_ready_seconds=deployment.spec.min_ready_seconds,
            selector=msgspec.structs.replace(selector, match_labels={**selector.match_labels, HASH: digest}),
            template=msgspec.structs.replace(
                template, metadata=msgspec.structs.replace(template.metadata, labels=labels)
            ),
        ),
    )


def passed_on(deployment: apps.Deployment) -> dict[str, str]:
    """The Deployment's annotations that its ReplicaSets get too."""
    return {key: value for key, value in deployment.metadata.annotations.items() if key not in _OWN}


def taken_up(deployment: apps.Deployment, new: apps.ReplicaSet, *, revision: int) -> apps.ReplicaSet:
    """The existing new ReplicaSet as it should be: annotations, revision (the former ones kept), minReadySeconds."""
    annotations = {**new.metadata.annotations, **passed_on(deployment)}
    before = revision_of(new)
    if before < revision:
        annotations[REVISION] = str(revision)
        if before:
            annotations[HISTORY] = _remember(annotations.get(HISTORY, ""), before)
    if annotations == new.metadata.annotations and new.spec.min_ready_seconds == deployment.spec.min_ready_seconds:
        return new
    return msgspec.structs.replace(
        new,
        metadata=msgspec.structs.replace(new.metadata, annotations=annotations),
        spec=msgspec.structs.replace(new.spec, min_ready_seconds=deployment.spec.min_ready_seconds),
    )


def _remember(history: str, revision: int) -> str:
    parts = [*filter(None, history.split(",")), str(revision)]
    while len(",".join(parts)) > _HISTORY_LENGTH:
        parts.pop(0)
    return ",".join(parts)


def beyond_history(deployment: apps.Deployment, old: Sequence[apps.ReplicaSet]) -> list[apps.ReplicaSet]:
    """Old ReplicaSets without pods that the history limit leaves no place for, the oldest first."""
    limit = deployment.spec.revision_history_limit
    if limit is None:
        return []
    kept = sorted(
        (item for item in old if not item.metadata.deletion_timestamp),
        key=lambda item: (revision_of(item), created_order(item)),
    )
    surplus = kept[: max(0, len(kept) - limit)]
    return [item for item in surplus if _is_idle(item)]


def _is_idle(item: apps.ReplicaSet) -> bool:
    settled = (item.metadata.generation or 0) <= (item.status.observed_generation or 0)
    return settled and item.spec.replicas == 0 and not item.status.replicas
