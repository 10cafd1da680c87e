"""The kinds of authorization, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds import meta
from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class FieldSelectorAttributes(Model):
    raw_selector: str = ""
    requirements: list[meta.FieldSelectorRequirement] = []


class LabelSelectorAttributes(Model):
    raw_selector: str = ""
    requirements: list[meta.LabelSelectorRequirement] = []


class LocalSubjectAccessReview(Object):
    __gvk__ = ("authorization.k8s.io", "v1", "LocalSubjectAccessReview")
    spec: SubjectAccessReviewSpec = field(default_factory=lambda: SubjectAccessReviewSpec())
    status: SubjectAccessReviewStatus = field(default_factory=lambda: SubjectAccessReviewStatus())


class NonResourceAttributes(Model):
    path: str = ""
    verb: str = ""


class NonResourceRule(Model):
    non_resource_urls: list[str] = field(default_factory=list, name="nonResourceURLs")
    verbs: list[str] = []


class ResourceAttributes(Model):
    field_selector: FieldSelectorAttributes | None = None
    group: str = ""
    label_selector: LabelSelectorAttributes | None = None
    name: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    verb: str = ""
    version: str = ""


class ResourceRule(Model):
    api_groups: list[str] = []
    resource_names: list[str] = []
    resources: list[str] = []
    verbs: list[str] = []


class SelfSubjectAccessReview(Object):
    __gvk__ = ("authorization.k8s.io", "v1", "SelfSubjectAccessReview")
    spec: SelfSubjectAccessReviewSpec = field(default_factory=lambda: SelfSubjectAccessReviewSpec())
    status: SubjectAccessReviewStatus = field(default_factory=lambda: SubjectAccessReviewStatus())


class SelfSubjectAccessReviewSpec(Model):
    non_resource_attributes: NonResourceAttributes | None = None
    resource_attributes: ResourceAttributes | None = None


class SelfSubjectRulesReview(Object):
    __gvk__ = ("authorization.k8s.io", "v1", "SelfSubjectRulesReview")
    spec: SelfSubjectRulesReviewSpec = field(default_factory=lambda: SelfSubjectRulesReviewSpec())
    status: SubjectRulesReviewStatus = field(default_factory=lambda: SubjectRulesReviewStatus())


class SelfSubjectRulesReviewSpec(Model):
    namespace: str = ""


class SubjectAccessReview(Object):
    __gvk__ = ("authorization.k8s.io", "v1", "SubjectAccessReview")
    spec: SubjectAccessReviewSpec = field(default_factory=lambda: SubjectAccessReviewSpec())
    status: SubjectAccessReviewStatus = field(default_factory=lambda: SubjectAccessReviewStatus())


class SubjectAccessReviewSpec(Model):
    extra: dict[str, list[str]] = {}
    groups: list[str] = []
    non_resource_attributes: NonResourceAttributes | None = None
    resource_attributes: ResourceAttributes | None = None
    uid: str = ""
    user: str = ""


class SubjectAccessReviewStatus(Model):
    allowed: bool | None = None
    denied: bool | None = None
    evaluation_error: str = ""
    reason: str = ""


class SubjectRulesReviewStatus(Model):
    evaluation_error: str = ""
    incomplete: bool | None = None
    non_resource_rules: list[NonResourceRule] = []
    resource_rules: list[ResourceRule] = []
