"""What a Job's policies say: of a pod that failed, and of the indexes that succeeded. Plain functions."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from bireme.api.kinds import batch, core
from bireme.controllers import indexes

FAIL_JOB, FAIL_INDEX, IGNORE = "FailJob", "FailIndex", "Ignore"


@dataclass(frozen=True, slots=True)
class Match:
    """The rule of the failure policy that a failed pod meets first, and why."""

    action: str
    message: str


def failure_match(policy: batch.PodFailurePolicy | None, pod: core.Pod) -> Match | None:
    """What the policy says of the pod; None where no rule is met, or it has not failed by itself."""
    if policy is None or pod.status.phase != "Failed":
        return None
    place = f"{pod.metadata.namespace}/{pod.metadata.name}"
    for number, rule in enumerate(policy.rules):
        said = f"matching {rule.action} rule at index {number}"
        for name, code in _codes(rule.on_exit_codes, pod):
            return Match(rule.action, f"Container {name} for pod {place} failed with exit code {code} {said}")
        for kind in _conditions(rule.on_pod_conditions, pod):
            return Match(rule.action, f"Pod {place} has condition {kind} {said}")
    return None


def _codes(wanted: batch.PodFailurePolicyOnExitCodesRequirement | None, pod: core.Pod) -> Iterator[tuple[str, int]]:
    """Containers whose exit codes are meant. What ended well is never meant."""
    if wanted is None:
        return
    for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
        ended = status.state.terminated if status.state is not None else None
        if ended is None or not ended.exit_code or wanted.container_name not in ("", status.name):
            continue
        if (ended.exit_code in wanted.values) == (wanted.operator == "In"):
            yield status.name, ended.exit_code


def _conditions(patterns: Iterable[batch.PodFailurePolicyOnPodConditionsPattern], pod: core.Pod) -> Iterator[str]:
    for pattern in patterns:
        for condition in pod.status.conditions:
            if condition.type == pattern.type and condition.status == (pattern.status or "True"):
                yield condition.type


def success_match(policy: batch.SuccessPolicy | None, succeeded: Collection[int]) -> str:
    """The message of the first rule that these indexes meet; empty where none is."""
    for number, rule in enumerate(policy.rules if policy is not None else ()):
        meant = indexes.parse(rule.succeeded_indexes) if rule.succeeded_indexes else set(succeeded)
        needed = len(meant) if rule.succeeded_count is None else rule.succeeded_count
        if len(meant & set(succeeded)) >= needed:
            return f"Matched rules at index {number}"
    return ""
