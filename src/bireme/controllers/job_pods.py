"""The pods of a Job: names, labels, indexes, the finalizer that holds them until counted. Plain functions."""

import dataclasses
from collections.abc import Iterable

import msgspec

from bireme.api.kinds import batch, core
from bireme.api.selectors import LabelSelector
from bireme.controllers import changes, job_tally, ownership, replicas


def pod(job: batch.Job, index: int | None = None, before: Iterable[core.Pod] = ()) -> core.Pod:
    """A new pod of the Job; `before` are those that worked at its index."""
    metadata = job.metadata
    name = metadata.name if index is None else f"{metadata.name}-{index}"
    pod = replicas.pod_from(job.spec.template, owner_name=name, namespace=metadata.namespace)
    pod.metadata.finalizers = [*pod.metadata.finalizers, job_tally.TRACKING]
    pod.metadata.owner_references = [ownership.reference_to(job)]
    if index is not None:
        _number(pod, index, name)
        if job.spec.backoff_limit_per_index is not None:
            failures = max((job_tally.index_failures(item) + 1 for item in before), default=0)
            pod.metadata.annotations[job_tally.INDEX_FAILURES] = str(failures)
    return pod


def _number(pod: core.Pod, index: int, hostname: str) -> None:
    """Tell the pod and its containers which completion they work at."""
    mark = {job_tally.INDEX: str(index)}
    pod.metadata.annotations = pod.metadata.annotations | mark
    pod.metadata.labels = pod.metadata.labels | mark
    source = core.ObjectFieldSelector(field_path=f"metadata.labels['{job_tally.INDEX}']")
    variable = core.EnvVar(name="JOB_COMPLETION_INDEX", value_from=core.EnvVarSource(field_ref=source))

    def numbered(containers: list[core.Container]) -> list[core.Container]:
        return [
            container
            if any(item.name == variable.name for item in container.env)
            else msgspec.structs.replace(container, env=[*container.env, variable])
            for container in containers
        ]

    pod.spec = msgspec.structs.replace(
        pod.spec,
        hostname=hostname,
        containers=numbered(pod.spec.containers),
        init_containers=numbered(pod.spec.init_containers),
    )


def is_lost(pod: core.Pod, job: batch.Job | None) -> bool:
    """The pod is not, and will not be, of the Job that now has the name of the one that it was made by."""
    if job is None:
        return True
    reference = ownership.controller_of(pod)
    if reference is not None:
        return reference.uid != job.metadata.uid
    return not LabelSelector.from_struct(job.spec.selector).matches(pod.metadata.labels)


def untracked(pod: core.Pod) -> list[str]:
    """The pod's finalizers without that of Jobs."""
    return [item for item in pod.metadata.finalizers if item != job_tally.TRACKING]


def adoption(pod: core.Pod, job: batch.Job) -> changes.Merge:
    """Make the Job the controller of the pod, which waits to be counted from then on."""
    return _with_finalizers(ownership.adoption(pod, job), [*untracked(pod), job_tally.TRACKING])


def release(pod: core.Pod, job: batch.Job) -> changes.Merge:
    """Let go of the pod, which nobody will count."""
    return _with_finalizers(ownership.release(pod, job), untracked(pod))


def _with_finalizers(change: changes.Merge, finalizers: list[str]) -> changes.Merge:
    metadata = {**change.patch["metadata"], "finalizers": finalizers or None}
    return dataclasses.replace(change, patch={**change.patch, "metadata": metadata})
