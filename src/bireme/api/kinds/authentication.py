"""The kinds of authentication, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class BoundObjectReference(Model):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""


class SelfSubjectReview(Object):
    __gvk__ = ("authentication.k8s.io", "v1", "SelfSubjectReview")
    status: SelfSubjectReviewStatus = field(default_factory=lambda: SelfSubjectReviewStatus())


class SelfSubjectReviewStatus(Model):
    user_info: UserInfo | None = None


class TokenRequest(Object):
    __gvk__ = ("authentication.k8s.io", "v1", "TokenRequest")
    spec: TokenRequestSpec = field(default_factory=lambda: TokenRequestSpec())
    status: TokenRequestStatus = field(default_factory=lambda: TokenRequestStatus())


class TokenRequestSpec(Model):
    attestations: dict[str, list[str]] = {}
    audiences: list[str] = []
    bound_object_ref: BoundObjectReference | None = None
    expiration_seconds: int | None = None


class TokenRequestStatus(Model):
    expiration_timestamp: str = ""
    token: str = ""


class TokenReview(Object):
    __gvk__ = ("authentication.k8s.io", "v1", "TokenReview")
    spec: TokenReviewSpec = field(default_factory=lambda: TokenReviewSpec())
    status: TokenReviewStatus = field(default_factory=lambda: TokenReviewStatus())


class TokenReviewSpec(Model):
    audiences: list[str] = []
    token: str = ""


class TokenReviewStatus(Model):
    audiences: list[str] = []
    authenticated: bool | None = None
    error: str = ""
    user: UserInfo | None = None


class UserInfo(Model):
    extra: dict[str, list[str]] = {}
    groups: list[str] = []
    uid: str = ""
    username: str = ""
