"""The kinds of meta, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from typing import Any

from msgspec import field

from bireme.api.model import Model


class Object(Model):
    """What every kind has. `api_version` and `kind` are filled in when it is encoded."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())


class APIGroup(Model):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    preferred_version: GroupVersionForDiscovery | None = None
    server_address_by_client_cidrs: list[ServerAddressByClientCIDR] = field(
        default_factory=list, name="serverAddressByClientCIDRs"
    )
    versions: list[GroupVersionForDiscovery] = []


class APIGroupList(Model):
    api_version: str = ""
    groups: list[APIGroup] = []
    kind: str = ""


class APIResource(Model):
    categories: list[str] = []
    group: str = ""
    kind: str = ""
    name: str = ""
    namespaced: bool | None = None
    short_names: list[str] = []
    singular_name: str = ""
    storage_version_hash: str = ""
    verbs: list[str] = []
    version: str = ""


class APIResourceList(Model):
    api_version: str = ""
    group_version: str = ""
    kind: str = ""
    resources: list[APIResource] = []


class APIVersions(Model):
    api_version: str = ""
    kind: str = ""
    server_address_by_client_cidrs: list[ServerAddressByClientCIDR] = field(
        default_factory=list, name="serverAddressByClientCIDRs"
    )
    versions: list[str] = []


class Condition(Model):
    last_transition_time: str = ""
    message: str = ""
    observed_generation: int | None = None
    reason: str = ""
    status: str = ""
    type: str = ""


class DeleteOptions(Model):
    api_version: str = ""
    dry_run: list[str] = []
    grace_period_seconds: int | None = None
    ignore_store_read_error_with_cluster_breaking_potential: bool | None = None
    kind: str = ""
    orphan_dependents: bool | None = None
    preconditions: Preconditions | None = None
    propagation_policy: str = ""


class FieldSelectorRequirement(Model):
    key: str = ""
    operator: str = ""
    values: list[str] = []


class GroupResource(Model):
    group: str = ""
    resource: str = ""


class GroupVersionForDiscovery(Model):
    group_version: str = ""
    version: str = ""


class LabelSelector(Model):
    match_expressions: list[LabelSelectorRequirement] = []
    match_labels: dict[str, str] = {}


class LabelSelectorRequirement(Model):
    key: str = ""
    operator: str = ""
    values: list[str] = []


class ListMeta(Model):
    continue_: str = ""
    remaining_item_count: int | None = None
    resource_version: str = ""
    self_link: str = ""
    shard_info: ShardInfo | None = None


class ManagedFieldsEntry(Model):
    api_version: str = ""
    fields_type: str = ""
    fields_v1: Any = None
    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: str = ""


class ObjectMeta(Model):
    annotations: dict[str, str] = {}
    creation_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None
    deletion_timestamp: str = ""
    finalizers: list[str] = []
    generate_name: str = ""
    generation: int | None = None
    labels: dict[str, str] = {}
    name: str = ""
    namespace: str = ""
    owner_references: list[OwnerReference] = []
    resource_version: str = ""
    self_link: str = ""
    uid: str = ""


class OwnerReference(Model):
    api_version: str = ""
    block_owner_deletion: bool | None = None
    controller: bool | None = None
    kind: str = ""
    name: str = ""
    uid: str = ""


class Preconditions(Model):
    resource_version: str = ""
    uid: str = ""


class ServerAddressByClientCIDR(Model):
    client_cidr: str = field(default="", name="clientCIDR")
    server_address: str = ""


class ShardInfo(Model):
    selector: str = ""


class Status(Object):
    __gvk__ = ("", "v1", "Status")
    code: int | None = None
    details: StatusDetails | None = None
    message: str = ""
    reason: str = ""
    status: str = ""


class StatusCause(Model):
    field: str = ""
    message: str = ""
    reason: str = ""


class StatusDetails(Model):
    causes: list[StatusCause] = []
    group: str = ""
    kind: str = ""
    name: str = ""
    retry_after_seconds: int | None = None
    uid: str = ""


class WatchEvent(Model):
    object: Any = None
    type: str = ""


class Info(Model):
    build_date: str = ""
    compiler: str = ""
    emulation_major: str = ""
    emulation_minor: str = ""
    git_commit: str = ""
    git_tree_state: str = ""
    git_version: str = ""
    go_version: str = ""
    major: str = ""
    min_compatibility_major: str = ""
    min_compatibility_minor: str = ""
    minor: str = ""
    platform: str = ""
