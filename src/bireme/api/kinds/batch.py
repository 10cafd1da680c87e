"""The kinds of batch, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds import core, meta, scheduling_v1alpha3
from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class CronJob(Object):
    __gvk__ = ("batch", "v1", "CronJob")
    spec: CronJobSpec = field(default_factory=lambda: CronJobSpec())
    status: CronJobStatus = field(default_factory=lambda: CronJobStatus())


class CronJobSpec(Model):
    concurrency_policy: str = ""
    failed_jobs_history_limit: int | None = None
    job_template: JobTemplateSpec = field(default_factory=lambda: JobTemplateSpec())
    schedule: str = ""
    starting_deadline_seconds: int | None = None
    successful_jobs_history_limit: int | None = None
    suspend: bool | None = None
    time_zone: str = ""


class CronJobStatus(Model):
    active: list[core.ObjectReference] = []
    last_schedule_time: str = ""
    last_successful_time: str = ""


class Job(Object):
    __gvk__ = ("batch", "v1", "Job")
    spec: JobSpec = field(default_factory=lambda: JobSpec())
    status: JobStatus = field(default_factory=lambda: JobStatus())


class JobCondition(Model):
    last_probe_time: str = ""
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class JobSchedulingConfiguration(Model):
    disruption_mode: scheduling_v1alpha3.WorkloadPodGroupDisruptionMode | None = None
    resource_claims: list[scheduling_v1alpha3.WorkloadPodGroupResourceClaim] = []
    scheduling_constraints: scheduling_v1alpha3.WorkloadPodGroupSchedulingConstraints | None = None
    scheduling_policy: scheduling_v1alpha3.WorkloadPodGroupSchedulingPolicy | None = None


class JobSpec(Model):
    active_deadline_seconds: int | None = None
    backoff_limit: int | None = None
    backoff_limit_per_index: int | None = None
    completion_mode: str = ""
    completions: int | None = None
    managed_by: str = ""
    manual_selector: bool | None = None
    max_failed_indexes: int | None = None
    parallelism: int | None = None
    pod_failure_policy: PodFailurePolicy | None = None
    pod_replacement_policy: str = ""
    scheduling: JobSchedulingConfiguration | None = None
    selector: meta.LabelSelector | None = None
    success_policy: SuccessPolicy | None = None
    suspend: bool | None = None
    template: core.PodTemplateSpec = field(default_factory=lambda: core.PodTemplateSpec())
    ttl_seconds_after_finished: int | None = None


class JobStatus(Model):
    active: int | None = None
    completed_indexes: str = ""
    completion_time: str = ""
    conditions: list[JobCondition] = []
    failed: int | None = None
    failed_indexes: str = ""
    ready: int | None = None
    start_time: str = ""
    succeeded: int | None = None
    terminating: int | None = None
    uncounted_terminated_pods: UncountedTerminatedPods | None = None


class JobTemplateSpec(Model):
    metadata: meta.ObjectMeta = field(default_factory=lambda: meta.ObjectMeta())
    spec: JobSpec = field(default_factory=lambda: JobSpec())


class PodFailurePolicy(Model):
    rules: list[PodFailurePolicyRule] = []


class PodFailurePolicyOnExitCodesRequirement(Model):
    container_name: str = ""
    operator: str = ""
    values: list[int] = []


class PodFailurePolicyOnPodConditionsPattern(Model):
    status: str = ""
    type: str = ""


class PodFailurePolicyRule(Model):
    action: str = ""
    on_exit_codes: PodFailurePolicyOnExitCodesRequirement | None = None
    on_pod_conditions: list[PodFailurePolicyOnPodConditionsPattern] = []


class SuccessPolicy(Model):
    rules: list[SuccessPolicyRule] = []


class SuccessPolicyRule(Model):
    succeeded_count: int | None = None
    succeeded_indexes: str = ""


class UncountedTerminatedPods(Model):
    failed: list[str] = []
    succeeded: list[str] = []
