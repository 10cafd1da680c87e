"""The pods of a StatefulSet and their claims: names, labels, volumes, who owns which claim. Plain functions."""

from collections.abc import Iterator

import msgspec

from bireme.api.kinds import apps, core, meta
from bireme.controllers.histories import HASH
from bireme.controllers.ownership import reference_to

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


def ordinal_of(set_: apps.StatefulSet, pod: core.Pod) -> int | None:
    """The pod's number in the set; None where its name is not one of the set's."""
    parent, _, number = pod.metadata.name.rpartition("-")
    return int(number) if parent == set_.metadata.name and number.isdecimal() else None


def pod(set_: apps.StatefulSet, template: core.PodTemplateSpec, ordinal: int, *, revision: str) -> core.Pod:
    """The pod of that number, of a template of the set's history."""
    name = f"{set_.metadata.name}-{ordinal}"
    labels = {POD_NAME: name, POD_INDEX: str(ordinal), HASH: revision}
    claimed = {claim.metadata.name for claim in set_.spec.volume_claim_templates}
    volumes = [volume for volume in template.spec.volumes if volume.name not in claimed]
    for claim in sorted(claimed):
        source = core.PersistentVolumeClaimVolumeSource(claim_name=f"{claim}-{name}")
        volumes.append(core.Volume(name=claim, persistent_volume_claim=source))
    return core.Pod(
        metadata=meta.ObjectMeta(
            name=name,
            generate_name=f"{set_.metadata.name}-",
            namespace=set_.metadata.namespace,
            labels=template.metadata.labels | labels,
            annotations=template.metadata.annotations,
            finalizers=template.metadata.finalizers,
            owner_references=[reference_to(set_)],
        ),
        spec=msgspec.structs.replace(template.spec, hostname=name, subdomain=set_.spec.service_name, volumes=volumes),
    )


def claims(set_: apps.StatefulSet, ordinal: int) -> Iterator[core.PersistentVolumeClaim]:
    """The claims of the pod of that number."""
    for wanted in set_.spec.volume_claim_templates:
        metadata = wanted.metadata
        yield core.PersistentVolumeClaim(
            metadata=meta.ObjectMeta(
                name=f"{metadata.name}-{set_.metadata.name}-{ordinal}",
                namespace=set_.metadata.namespace,
                labels=metadata.labels | set_.spec.selector.match_labels,
                annotations=metadata.annotations,
                owner_references=claim_owners(set_, None),
            ),
            spec=wanted.spec,
        )


def claim_owners(set_: apps.StatefulSet, condemned: core.Pod | None) -> list[meta.OwnerReference]:
    """Who a claim goes with: the set, the pod that is scaled away, or nobody."""
    policy = set_.spec.persistent_volume_claim_retention_policy
    if policy is None:
        return []
    if condemned is not None and policy.when_scaled == "Delete":
        return [reference_to(condemned)]
    return [reference_to(set_)] if policy.when_deleted == "Delete" else []
