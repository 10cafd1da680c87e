"""Questions about access and identity, answered from the same tables that decide: the review kinds.

They are created and never stored; the answer is in their status.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bireme.apiserver.authentication import Authenticator
from bireme.apiserver.authorization import Attempt, allows, is_trusted
from bireme.http.interface import Identity
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
Review = Callable[[Tree, Identity, str], Tree]


class Reviews:
    """The answers, by kind."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._reviews: Mapping[str, Review] = {
            "SelfSubjectAccessReview": _own_access,
            "SubjectAccessReview": _access,
            "LocalSubjectAccessReview": _access,
            "SelfSubjectRulesReview": _own_rules,
            "SelfSubjectReview": _own_identity,
            "TokenReview": self._token,
        }

    def knows(self, kind: Kind) -> bool:
        """Whether objects of `kind` are questions."""
        return kind.resource.kind in self._reviews and kind.resource.group.endswith(".k8s.io")

    def review(self, kind: Kind, tree: Tree, user: Identity, *, namespace: str) -> Tree:
        """The question with its answer in the status."""
        status = self._reviews[kind.resource.kind](tree.get("spec") or {}, user, namespace)
        return {
            "kind": kind.resource.kind,
            "apiVersion": kind.resource.api_version,
            "metadata": {"creationTimestamp": None},
            **({"spec": tree["spec"]} if "spec" in tree else {}),
            "status": status,
        }

    def _token(self, spec: Tree, user: Identity, namespace: str) -> Tree:
        audiences = tuple(spec.get("audiences") or ())
        proven = self._authenticator.prove(str(spec.get("token") or ""), audiences)
        if proven is None:
            return {"authenticated": False, "user": {}, "error": "invalid bearer token"}
        return {
            "authenticated": True,
            "user": {**_user_info(proven.identity), "extra": proven.extra},
            "audiences": list(proven.audiences),
        }


def _user_info(user: Identity) -> Tree:
    info: Tree = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    return info


def _own_identity(spec: Tree, user: Identity, namespace: str) -> Tree:
    return {"userInfo": _user_info(user)}


def _own_access(spec: Tree, user: Identity, namespace: str) -> Tree:
    return _decision(user, _attempt(spec, namespace))


def _access(spec: Tree, user: Identity, namespace: str) -> Tree:
    asked = Identity(str(spec.get("user") or ""), tuple(spec.get("groups") or ()), str(spec.get("uid") or ""))
    return _decision(asked, _attempt(spec, namespace))


def _attempt(spec: Tree, namespace: str) -> Attempt:
    path = spec.get("nonResourceAttributes")
    if path:
        return Attempt(str(path.get("verb") or ""), path=str(path.get("path") or "/"))
    asked = spec.get("resourceAttributes") or {}
    names = ("verb", "group", "version", "resource", "subresource", "name", "namespace")
    said = {name: str(asked.get(name) or "") for name in names}
    return Attempt(**{**said, "namespace": said["namespace"] or namespace})


def _decision(user: Identity, attempt: Attempt) -> Tree:
    if allows(user, attempt):
        return {"allowed": True, "reason": "the user is trusted" if is_trusted(user) else "everybody may"}
    return {"allowed": False}


def _own_rules(spec: Tree, user: Identity, namespace: str) -> Tree:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    own = {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io", "authentication.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"],
    }
    paths = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
    ]
    rules: Tree = {"incomplete": False, "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": paths}]}
    rules["resourceRules"] = [everything] if is_trusted(user) else [own]
    if is_trusted(user):
        rules["nonResourceRules"] = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    return rules
