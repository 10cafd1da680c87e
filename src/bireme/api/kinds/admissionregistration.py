"""The kinds of admissionregistration, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds import meta
from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class ApplyConfiguration(Model):
    expression: str = ""


class AuditAnnotation(Model):
    key: str = ""
    value_expression: str = ""


class ExpressionWarning(Model):
    field_ref: str = ""
    warning: str = ""


class JSONPatch(Model):
    expression: str = ""


class MatchCondition(Model):
    expression: str = ""
    name: str = ""


class MatchResources(Model):
    exclude_resource_rules: list[NamedRuleWithOperations] = []
    match_policy: str = ""
    namespace_selector: meta.LabelSelector | None = None
    object_selector: meta.LabelSelector | None = None
    resource_rules: list[NamedRuleWithOperations] = []


class MutatingAdmissionPolicy(Object):
    __gvk__ = ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy")
    spec: MutatingAdmissionPolicySpec = field(default_factory=lambda: MutatingAdmissionPolicySpec())


class MutatingAdmissionPolicyBinding(Object):
    __gvk__ = ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding")
    spec: MutatingAdmissionPolicyBindingSpec = field(default_factory=lambda: MutatingAdmissionPolicyBindingSpec())


class MutatingAdmissionPolicyBindingSpec(Model):
    match_resources: MatchResources | None = None
    param_ref: ParamRef | None = None
    policy_name: str = ""


class MutatingAdmissionPolicySpec(Model):
    failure_policy: str = ""
    match_conditions: list[MatchCondition] = []
    match_constraints: MatchResources | None = None
    mutations: list[Mutation] = []
    param_kind: ParamKind | None = None
    reinvocation_policy: str = ""
    variables: list[Variable] = []


class MutatingWebhook(Model):
    admission_review_versions: list[str] = []
    client_config: WebhookClientConfig = field(default_factory=lambda: WebhookClientConfig())
    failure_policy: str = ""
    match_conditions: list[MatchCondition] = []
    match_policy: str = ""
    name: str = ""
    namespace_selector: meta.LabelSelector | None = None
    object_selector: meta.LabelSelector | None = None
    reinvocation_policy: str = ""
    rules: list[RuleWithOperations] = []
    side_effects: str = ""
    timeout_seconds: int | None = None


class MutatingWebhookConfiguration(Object):
    __gvk__ = ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration")
    webhooks: list[MutatingWebhook] = []


class Mutation(Model):
    apply_configuration: ApplyConfiguration | None = None
    json_patch: JSONPatch | None = None
    patch_type: str = ""


class NamedRuleWithOperations(Model):
    api_groups: list[str] = []
    api_versions: list[str] = []
    operations: list[str] = []
    resource_names: list[str] = []
    resources: list[str] = []
    scope: str = ""


class ParamKind(Model):
    api_version: str = ""
    kind: str = ""


class ParamRef(Model):
    name: str = ""
    namespace: str = ""
    parameter_not_found_action: str = ""
    selector: meta.LabelSelector | None = None


class RuleWithOperations(Model):
    api_groups: list[str] = []
    api_versions: list[str] = []
    operations: list[str] = []
    resources: list[str] = []
    scope: str = ""


class ServiceReference(Model):
    name: str = ""
    namespace: str = ""
    path: str = ""
    port: int | None = None


class TypeChecking(Model):
    expression_warnings: list[ExpressionWarning] = []


class ValidatingAdmissionPolicy(Object):
    __gvk__ = ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy")
    spec: ValidatingAdmissionPolicySpec = field(default_factory=lambda: ValidatingAdmissionPolicySpec())
    status: ValidatingAdmissionPolicyStatus = field(default_factory=lambda: ValidatingAdmissionPolicyStatus())


class ValidatingAdmissionPolicyBinding(Object):
    __gvk__ = ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding")
    spec: ValidatingAdmissionPolicyBindingSpec = field(default_factory=lambda: ValidatingAdmissionPolicyBindingSpec())


class ValidatingAdmissionPolicyBindingSpec(Model):
    match_resources: MatchResources | None = None
    param_ref: ParamRef | None = None
    policy_name: str = ""
    validation_actions: list[str] = []


class ValidatingAdmissionPolicySpec(Model):
    audit_annotations: list[AuditAnnotation] = []
    failure_policy: str = ""
    match_conditions: list[MatchCondition] = []
    match_constraints: MatchResources | None = None
    param_kind: ParamKind | None = None
    validations: list[Validation] = []
    variables: list[Variable] = []


class ValidatingAdmissionPolicyStatus(Model):
    conditions: list[meta.Condition] = []
    observed_generation: int | None = None
    type_checking: TypeChecking | None = None


class ValidatingWebhook(Model):
    admission_review_versions: list[str] = []
    client_config: WebhookClientConfig = field(default_factory=lambda: WebhookClientConfig())
    failure_policy: str = ""
    match_conditions: list[MatchCondition] = []
    match_policy: str = ""
    name: str = ""
    namespace_selector: meta.LabelSelector | None = None
    object_selector: meta.LabelSelector | None = None
    rules: list[RuleWithOperations] = []
    side_effects: str = ""
    timeout_seconds: int | None = None


class ValidatingWebhookConfiguration(Object):
    __gvk__ = ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration")
    webhooks: list[ValidatingWebhook] = []


class Validation(Model):
    expression: str = ""
    message: str = ""
    message_expression: str = ""
    reason: str = ""


class Variable(Model):
    expression: str = ""
    name: str = ""


class WebhookClientConfig(Model):
    ca_bundle: str = ""
    service: ServiceReference | None = None
    url: str = ""
