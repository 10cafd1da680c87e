"""The kinds of storagemigration, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds import meta
from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class StorageVersionMigration(Object):
    __gvk__ = ("storagemigration.k8s.io", "v1", "StorageVersionMigration")
    spec: StorageVersionMigrationSpec = field(default_factory=lambda: StorageVersionMigrationSpec())
    status: StorageVersionMigrationStatus = field(default_factory=lambda: StorageVersionMigrationStatus())


class StorageVersionMigrationSpec(Model):
    resource: meta.GroupResource = field(default_factory=lambda: meta.GroupResource())


class StorageVersionMigrationStatus(Model):
    conditions: list[meta.Condition] = []
    resource_version: str = ""
