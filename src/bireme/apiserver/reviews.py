"""Questions about access and identity, answered by those who decide: the review kinds.

They are created and never stored; the answer is in their status. Source: the Kubernetes documentation on
authentication and authorization.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bireme.api.errors import BadRequest, Cause, Invalid
from bireme.apiserver.authentication import Authenticator, authenticated
from bireme.http.interface import Identity
from bireme.registry.access import MASTERS, Attempt, Authorizer, Decision, Verdict
from bireme.registry.kinds import Kind
from bireme.registry.rbac import RbacAuthorizer
from bireme.registry.rbac_rules import EVERYTHING, Rule

Tree = dict[str, Any]
Review = Callable[[Tree, Identity, str], Tree | Awaitable[Tree]]


class Reviews:
    """The answers, by kind. `roles` tell what somebody may do altogether."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer, roles: RbacAuthorizer | None) -> None:
        self._authenticator, self._authorizer, self._roles = authenticator, authorizer, roles
        self._reviews: Mapping[str, Review] = {
            "SelfSubjectAccessReview": self._own_access,
            "SubjectAccessReview": self._access,
            "LocalSubjectAccessReview": self._local_access,
            "SelfSubjectRulesReview": self._own_rules,
            "SelfSubjectReview": _own_identity,
            "TokenReview": self._token,
        }

    def knows(self, kind: Kind) -> bool:
        """Whether objects of `kind` are questions."""
        return kind.resource.kind in self._reviews and kind.resource.group.endswith(".k8s.io")

    async def review(self, kind: Kind, tree: Tree, user: Identity, *, namespace: str) -> Tree:
        """The question with its answer in the status. Raises Invalid and BadRequest for one that makes no sense."""
        spec = tree.get("spec") or {}
        if kind.resource.kind.endswith("AccessReview"):
            _check_access(kind, spec, namespace)
        answer = self._reviews[kind.resource.kind](spec, user, namespace)
        status = await answer if inspect.isawaitable(answer) else answer
        return {
            "kind": kind.resource.kind,
            "apiVersion": kind.resource.api_version,
            "metadata": {"creationTimestamp": None},
            **({"spec": tree["spec"]} if "spec" in tree else {}),
            "status": status,
        }

    async def _token(self, spec: Tree, user: Identity, namespace: str) -> Tree:
        if not spec.get("token"):
            raise BadRequest("token is required for TokenReview in authentication")
        proven = await self._authenticator.prove(str(spec["token"]), tuple(spec.get("audiences") or ()))
        if proven is None:
            return {"authenticated": False, "user": {}, "error": "invalid bearer token"}
        return {
            "authenticated": True,
            "user": user_info(authenticated(proven.identity)),
            "audiences": list(proven.audiences),
        }

    def _own_access(self, spec: Tree, user: Identity, namespace: str) -> Tree:
        return _status(self._authorizer.decide(user, _attempt(spec, namespace)))

    def _access(self, spec: Tree, user: Identity, namespace: str) -> Tree:
        asked = Identity(
            str(spec.get("user") or ""),
            tuple(spec.get("groups") or ()),
            str(spec.get("uid") or ""),
            {key: tuple(values) for key, values in (spec.get("extra") or {}).items()},
        )
        return _status(self._authorizer.decide(asked, _attempt(spec, namespace)))

    def _local_access(self, spec: Tree, user: Identity, namespace: str) -> Tree:
        return self._access(spec, user, namespace)

    def _own_rules(self, spec: Tree, user: Identity, _: str) -> Tree:
        namespace = str(spec.get("namespace") or "")
        if not namespace:
            raise BadRequest("no namespace on request")
        rules: list[Rule] = [*EVERYTHING] if MASTERS in user.groups else []
        missing: list[str] = []
        if self._roles is not None:
            bound, missing = self._roles.rules_for(user, namespace)
            rules += bound
        status: Tree = {
            "resourceRules": [rule.tree() for rule in rules if not rule.paths],
            "nonResourceRules": [rule.tree() for rule in rules if rule.paths],
            "incomplete": bool(missing),
        }
        if missing:
            status["evaluationError"] = ", ".join(missing)
        return status


def user_info(user: Identity) -> Tree:
    """An identity as reviews, webhooks and the audit log tell it."""
    info: Tree = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _own_identity(spec: Tree, user: Identity, namespace: str) -> Tree:
    return {"userInfo": user_info(user)}


def _check_access(kind: Kind, spec: Tree, namespace: str) -> None:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise _invalid(kind, "spec.resourceAttributes", f"Invalid value: {text}")
    if kind.resource.kind != "SelfSubjectAccessReview" and not (spec.get("user") or spec.get("groups")):
        raise _invalid(kind, "spec.user", 'Invalid value: "": at least one of user or group must be specified')
    if kind.resource.kind == "LocalSubjectAccessReview" and (resource or {}).get("namespace", "") != namespace:
        raise _invalid(kind, "spec.resourceAttributes.namespace", "Invalid value: must match metadata.namespace")


def _invalid(kind: Kind, field: str, text: str) -> Invalid:
    title = f"{kind.resource.kind}.{kind.resource.group}"
    return Invalid(
        f'{title} "" is invalid: {field}: {text}',
        details={"group": kind.resource.group, "kind": kind.resource.kind},
        causes=(Cause("FieldValueInvalid", text, field),),
    )


def _attempt(spec: Tree, namespace: str) -> Attempt:
    path = spec.get("nonResourceAttributes")
    if path:
        return Attempt(str(path.get("verb") or ""), path=str(path.get("path") or "/"))
    asked = spec.get("resourceAttributes") or {}
    names = ("verb", "group", "version", "resource", "subresource", "name", "namespace")
    said = {name: str(asked.get(name) or "") for name in names}
    requirements = (asked.get("fieldSelector") or {}).get("requirements") or ()
    fields = tuple(
        (str(each.get("key")), str(each["values"][0]))
        for each in requirements
        if each.get("operator") == "In" and len(each.get("values") or ()) == 1
    )
    return Attempt(**{**said, "namespace": said["namespace"] or namespace}, fields=fields)


def _status(decision: Decision) -> Tree:
    status: Tree = {"allowed": decision.allowed}
    if decision.verdict is Verdict.DENIED:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    return status
