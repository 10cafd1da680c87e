"""The kinds of apiregistration, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class APIService(Object):
    __gvk__ = ("apiregistration.k8s.io", "v1", "APIService")
    spec: APIServiceSpec = field(default_factory=lambda: APIServiceSpec())
    status: APIServiceStatus = field(default_factory=lambda: APIServiceStatus())


class APIServiceCondition(Model):
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class APIServiceSpec(Model):
    ca_bundle: str = ""
    group: str = ""
    group_priority_minimum: int | None = None
    insecure_skip_tls_verify: bool | None = field(default=None, name="insecureSkipTLSVerify")
    service: ServiceReference | None = None
    version: str = ""
    version_priority: int | None = None


class APIServiceStatus(Model):
    conditions: list[APIServiceCondition] = []


class ServiceReference(Model):
    name: str = ""
    namespace: str = ""
    port: int | None = None
