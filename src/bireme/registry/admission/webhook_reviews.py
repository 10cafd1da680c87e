"""What a webhook is told of a request, and what its answer means: AdmissionReview, v1 and v1beta1.

Plain functions over trees. Source: the AdmissionReview of the Kubernetes API, and the documentation on admission
webhooks.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import orjson

from bireme.api.errors import ApiError, Cause
from bireme.registry.admission.chain import Attributes
from bireme.registry.admission.webhook_configs import Hook
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
GROUP = "admission.k8s.io"
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class BadAnswer(Exception):
    """A webhook answered something that breaks the rules."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook says of a request; `patch` is None where it changes nothing."""

    allowed: bool
    patch: list[Any] | None = None
    status: Tree = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Denied(ApiError):
    """A webhook refused the request, with a code and a reason of its own."""

    def __init__(self, name: str, status: Tree) -> None:
        by = f'admission webhook "{name}" denied the request'
        message, reason, code = status.get("message"), status.get("reason"), status.get("code")
        details = status.get("details")
        details = details if isinstance(details, dict) else {}
        super().__init__(
            f"{by}: {message or reason}" if message or reason else f"{by} without explanation",
            details={key: str(details[key]) for key in ("name", "group", "kind", "uid") if details.get(key)},
            causes=[_cause(each) for each in details.get("causes") or () if isinstance(each, dict)],
            retry_after_s=_whole(details.get("retryAfterSeconds")),
        )
        self.code = code if isinstance(code, int) and 400 <= code < 600 else 400
        self.reason = str(reason or "")


def _cause(said: Tree) -> Cause:
    return Cause(str(said.get("reason") or ""), str(said.get("message") or ""), str(said.get("field") or ""))


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def review_of(
    hook: Hook, attributes: Attributes, matched: Kind, *, uid: str, tree: Tree | None, old: Tree | None
) -> Tree:
    """The review of a request; `tree` and `old` are its objects in the version that `matched` is."""
    asked, call = attributes.kind, attributes.call
    of, asked_of = kind_of_body(tree if tree is not None else old, matched), kind_of_body(attributes.tree, asked)
    if attributes.subresource == "scale":
        asked_of = of
    request: Tree = {"uid": uid, "kind": of, "resource": _resource(matched)}
    if attributes.subresource:
        request["subResource"] = attributes.subresource
    request["requestKind"] = asked_of if attributes.subresource else _kind(asked)
    request["requestResource"] = _resource(asked)
    if attributes.subresource:
        request["requestSubResource"] = attributes.subresource
    if attributes.name and not _is_generated(attributes):
        request["name"] = attributes.name
    namespace = attributes.name if asked.is_a("Namespace") else attributes.namespace
    if namespace:
        request["namespace"] = namespace
    request |= {
        "operation": attributes.operation,
        "userInfo": _user(attributes),
        "object": tree,
        "oldObject": old,
        "dryRun": call.dry_run,
        "options": _options(attributes),
    }
    return {"kind": "AdmissionReview", "apiVersion": f"{GROUP}/{hook.review}", "request": request}


def kind_of_body(body: Tree | None, kind: Kind) -> Tree:
    """The kind of what is sent: that of the resource, but for subresources that have one of their own."""
    api_version, name = (body or {}).get("apiVersion"), (body or {}).get("kind")
    if not api_version or not name or name == kind.resource.kind:
        return _kind(kind)
    group, _, version = str(api_version).rpartition("/")
    return {"group": group, "version": version, "kind": name}


def _kind(kind: Kind) -> Tree:
    resource = kind.resource
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _resource(kind: Kind) -> Tree:
    resource = kind.resource
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def _is_generated(attributes: Attributes) -> bool:
    """Whether the name is one that the server makes up."""
    if attributes.operation != "CREATE" or attributes.tree is None:
        return False
    base = (attributes.tree.get("metadata") or {}).get("generateName")
    return bool(base) and base == attributes.name


def _user(attributes: Attributes) -> Tree:
    user = attributes.call.user
    said: Tree = {"username": user.name}
    if user.uid:
        said["uid"] = user.uid
    if user.groups:
        said["groups"] = list(user.groups)
    if user.extra:
        said["extra"] = {key: list(values) for key, values in user.extra.items()}
    return said


def _options(attributes: Attributes) -> Tree | None:
    kind = _OPTIONS.get(attributes.operation)
    if kind is None:
        return None
    call = attributes.call
    options: Tree = {"kind": kind, "apiVersion": "meta.k8s.io/v1", **(attributes.options or {})}
    if kind != "DeleteOptions":
        options |= {"fieldManager": call.field_manager} if call.field_manager else {}
        options["fieldValidation"] = call.field_validation
    if call.dry_run:
        options["dryRun"] = ["All"]
    return options


def verdict_of(hook: Hook, answer: Any, *, uid: str, mutating: bool) -> Verdict:
    """What the answer says. Raises BadAnswer."""
    if not isinstance(answer, dict):
        raise BadAnswer("the answer is not an object")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise BadAnswer("webhook response was absent")
    if hook.review == "v1":
        _check_v1(answer, response, uid=uid, mutating=mutating)
    status = response.get("status")
    return Verdict(
        response.get("allowed") is True,
        _patch(response.get("patch")) if mutating else None,
        status if isinstance(status, dict) else {},
        _texts(response.get("auditAnnotations")),
        [each for each in response.get("warnings") or () if isinstance(each, str)],
    )


def _check_v1(answer: Tree, response: Tree, *, uid: str, mutating: bool) -> None:
    if response.get("uid") != uid:
        raise BadAnswer(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    said = f"{answer.get('apiVersion') or ''}, Kind={answer.get('kind') or ''}"
    wanted = f"{GROUP}/v1, Kind=AdmissionReview"
    if said != wanted:
        raise BadAnswer(f"expected webhook response of {wanted}, got {said}")
    patch, kind = response.get("patch"), response.get("patchType")
    if not mutating:
        for name, value in (("patch", patch), ("patchType", kind)):
            if value:
                raise BadAnswer(f"validating webhook may not return response.{name}")
        return
    if patch and kind is None:
        raise BadAnswer("webhook returned response.patch but not response.patchType")
    if kind is not None and not patch:
        raise BadAnswer("webhook returned response.patchType but not response.patch")
    if kind is not None and kind != "JSONPatch":
        raise BadAnswer(f'webhook returned invalid response.patchType of "{kind}"')


def _patch(said: Any) -> list[Any] | None:
    if not said:
        return None
    try:
        patch = orjson.loads(base64.b64decode(said))
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadAnswer("the patch is not JSON in base64") from error
    if not isinstance(patch, list):
        raise BadAnswer("the patch is not a list of operations")
    return patch or None


def _texts(said: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}
