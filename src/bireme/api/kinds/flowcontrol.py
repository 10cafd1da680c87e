"""The kinds of flowcontrol, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class ExemptPriorityLevelConfiguration(Model):
    lendable_percent: int | None = None
    nominal_concurrency_shares: int | None = None


class FlowDistinguisherMethod(Model):
    type: str = ""


class FlowSchema(Object):
    __gvk__ = ("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema")
    spec: FlowSchemaSpec = field(default_factory=lambda: FlowSchemaSpec())
    status: FlowSchemaStatus = field(default_factory=lambda: FlowSchemaStatus())


class FlowSchemaCondition(Model):
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class FlowSchemaSpec(Model):
    distinguisher_method: FlowDistinguisherMethod | None = None
    matching_precedence: int | None = None
    priority_level_configuration: PriorityLevelConfigurationReference = field(
        default_factory=lambda: PriorityLevelConfigurationReference()
    )
    rules: list[PolicyRulesWithSubjects] = []


class FlowSchemaStatus(Model):
    conditions: list[FlowSchemaCondition] = []


class GroupSubject(Model):
    name: str = ""


class LimitResponse(Model):
    queuing: QueuingConfiguration | None = None
    type: str = ""


class LimitedPriorityLevelConfiguration(Model):
    borrowing_limit_percent: int | None = None
    lendable_percent: int | None = None
    limit_response: LimitResponse = field(default_factory=lambda: LimitResponse())
    nominal_concurrency_shares: int | None = None


class NonResourcePolicyRule(Model):
    non_resource_urls: list[str] = field(default_factory=list, name="nonResourceURLs")
    verbs: list[str] = []


class PolicyRulesWithSubjects(Model):
    non_resource_rules: list[NonResourcePolicyRule] = []
    resource_rules: list[ResourcePolicyRule] = []
    subjects: list[Subject] = []


class PriorityLevelConfiguration(Object):
    __gvk__ = ("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration")
    spec: PriorityLevelConfigurationSpec = field(default_factory=lambda: PriorityLevelConfigurationSpec())
    status: PriorityLevelConfigurationStatus = field(default_factory=lambda: PriorityLevelConfigurationStatus())


class PriorityLevelConfigurationCondition(Model):
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class PriorityLevelConfigurationReference(Model):
    name: str = ""


class PriorityLevelConfigurationSpec(Model):
    exempt: ExemptPriorityLevelConfiguration | None = None
    limited: LimitedPriorityLevelConfiguration | None = None
    type: str = ""


class PriorityLevelConfigurationStatus(Model):
    conditions: list[PriorityLevelConfigurationCondition] = []


class QueuingConfiguration(Model):
    hand_size: int | None = None
    queue_length_limit: int | None = None
    queues: int | None = None


class ResourcePolicyRule(Model):
    api_groups: list[str] = []
    cluster_scope: bool | None = None
    namespaces: list[str] = []
    resources: list[str] = []
    verbs: list[str] = []


class ServiceAccountSubject(Model):
    name: str = ""
    namespace: str = ""


class Subject(Model):
    group: GroupSubject | None = None
    kind: str = ""
    service_account: ServiceAccountSubject | None = None
    user: UserSubject | None = None


class UserSubject(Model):
    name: str = ""
