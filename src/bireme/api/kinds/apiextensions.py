"""The kinds of apiextensions, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from typing import Any

from msgspec import field

from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class CustomResourceColumnDefinition(Model):
    description: str = ""
    format: str = ""
    json_path: str = ""
    name: str = ""
    priority: int | None = None
    type: str = ""


class CustomResourceConversion(Model):
    strategy: str = ""
    webhook: WebhookConversion | None = None


class CustomResourceDefinition(Object):
    __gvk__ = ("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    spec: CustomResourceDefinitionSpec = field(default_factory=lambda: CustomResourceDefinitionSpec())
    status: CustomResourceDefinitionStatus = field(default_factory=lambda: CustomResourceDefinitionStatus())


class CustomResourceDefinitionCondition(Model):
    last_transition_time: str = ""
    message: str = ""
    observed_generation: int | None = None
    reason: str = ""
    status: str = ""
    type: str = ""


class CustomResourceDefinitionNames(Model):
    categories: list[str] = []
    kind: str = ""
    list_kind: str = ""
    plural: str = ""
    short_names: list[str] = []
    singular: str = ""


class CustomResourceDefinitionSpec(Model):
    conversion: CustomResourceConversion | None = None
    group: str = ""
    names: CustomResourceDefinitionNames = field(default_factory=lambda: CustomResourceDefinitionNames())
    preserve_unknown_fields: bool | None = None
    scope: str = ""
    versions: list[CustomResourceDefinitionVersion] = []


class CustomResourceDefinitionStatus(Model):
    accepted_names: CustomResourceDefinitionNames | None = None
    conditions: list[CustomResourceDefinitionCondition] = []
    observed_generation: int | None = None
    stored_versions: list[str] = []


class CustomResourceDefinitionVersion(Model):
    additional_printer_columns: list[CustomResourceColumnDefinition] = []
    deprecated: bool | None = None
    deprecation_warning: str = ""
    name: str = ""
    schema: CustomResourceValidation | None = None
    selectable_fields: list[SelectableField] = []
    served: bool | None = None
    storage: bool | None = None
    subresources: CustomResourceSubresources | None = None


class CustomResourceSubresourceScale(Model):
    label_selector_path: str = ""
    spec_replicas_path: str = ""
    status_replicas_path: str = ""


class CustomResourceSubresources(Model):
    scale: CustomResourceSubresourceScale | None = None
    status: Any = None


class CustomResourceValidation(Model):
    open_apiv3_schema: JSONSchemaProps | None = field(default=None, name="openAPIV3Schema")


class ExternalDocumentation(Model):
    description: str = ""
    url: str = ""


class JSONSchemaProps(Model):
    ref: str = field(default="", name="$ref")
    schema: str = field(default="", name="$schema")
    additional_items: Any = None
    additional_properties: Any = None
    all_of: list[JSONSchemaProps] = []
    any_of: list[JSONSchemaProps] = []
    default: Any = None
    definitions: dict[str, JSONSchemaProps] = {}
    dependencies: dict[str, Any] = {}
    description: str = ""
    enum: list[Any] = []
    example: Any = None
    exclusive_maximum: bool | None = None
    exclusive_minimum: bool | None = None
    external_docs: ExternalDocumentation | None = None
    format: str = ""
    id: str = ""
    items: Any = None
    max_items: int | None = None
    max_length: int | None = None
    max_properties: int | None = None
    maximum: float | None = None
    min_items: int | None = None
    min_length: int | None = None
    min_properties: int | None = None
    minimum: float | None = None
    multiple_of: float | None = None
    not_: JSONSchemaProps | None = None
    nullable: bool | None = None
    one_of: list[JSONSchemaProps] = []
    pattern: str = ""
    pattern_properties: dict[str, JSONSchemaProps] = {}
    properties: dict[str, JSONSchemaProps] = {}
    required: list[str] = []
    title: str = ""
    type: str = ""
    unique_items: bool | None = None
    x_kubernetes_embedded_resource: bool | None = field(default=None, name="x-kubernetes-embedded-resource")
    x_kubernetes_int_or_string: bool | None = field(default=None, name="x-kubernetes-int-or-string")
    x_kubernetes_list_map_keys: list[str] = field(default_factory=list, name="x-kubernetes-list-map-keys")
    x_kubernetes_list_type: str = field(default="", name="x-kubernetes-list-type")
    x_kubernetes_map_type: str = field(default="", name="x-kubernetes-map-type")
    x_kubernetes_preserve_unknown_fields: bool | None = field(
        default=None, name="x-kubernetes-preserve-unknown-fields"
    )
    x_kubernetes_validations: list[ValidationRule] = field(default_factory=list, name="x-kubernetes-validations")


class SelectableField(Model):
    json_path: str = ""


class ServiceReference(Model):
    name: str = ""
    namespace: str = ""
    path: str = ""
    port: int | None = None


class ValidationRule(Model):
    field_path: str = ""
    message: str = ""
    message_expression: str = ""
    optional_old_self: bool | None = None
    reason: str = ""
    rule: str = ""


class WebhookClientConfig(Model):
    ca_bundle: str = ""
    service: ServiceReference | None = None
    url: str = ""


class WebhookConversion(Model):
    client_config: WebhookClientConfig | None = None
    conversion_review_versions: list[str] = []
