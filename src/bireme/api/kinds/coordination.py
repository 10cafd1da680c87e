"""The kinds of coordination, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class Lease(Object):
    __gvk__ = ("coordination.k8s.io", "v1", "Lease")
    spec: LeaseSpec = field(default_factory=lambda: LeaseSpec())


class LeaseSpec(Model):
    acquire_time: str = ""
    holder_identity: str = ""
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None
    preferred_holder: str = ""
    renew_time: str = ""
    strategy: str = ""
