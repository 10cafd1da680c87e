"""POST serviceaccounts/NAME/token: a token for an account, bound to an object if the caller says so.

Source: the Kubernetes documentation on TokenRequest.
"""

from datetime import timedelta
from typing import Any

from bireme.api.errors import BadRequest, Cause, Conflict, ServiceUnavailable, not_found
from bireme.api.times import rfc3339
from bireme.registry.kinds import Kind
from bireme.registry.options import Call
from bireme.registry.strategy import invalid
from bireme.registry.tokens import Bound, ServiceAccountTokens
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
SHORTEST_S = 600
LONGEST_S = 1 << 32
USUAL_S = 3600
WARNED_S = 3607
"""What the admission of pods asks for: such tokens are given a year, lest clients that never read them anew fail."""
EXTENDED_S = 365 * 24 * 3600
_KINDS = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


async def request_token(
    registry: Registry,
    tokens: ServiceAccountTokens | None,
    kind: Kind,
    namespace: str,
    name: str,
    request: Tree,
    call: Call,
) -> Tree:
    """The TokenRequest with its status filled in. Raises Invalid, NotFound and Conflict."""
    if tokens is None:
        raise ServiceUnavailable("this server has no key to sign tokens with")
    _, account = registry.read(kind, namespace, name)
    _check_name(request, namespace, name)
    spec = dict(request.get("spec") or {})
    seconds = spec.get("expirationSeconds")
    seconds = USUAL_S if seconds is None else seconds
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise BadRequest("spec.expirationSeconds must be an integer")
    _check_seconds(registry, name, seconds)
    bound = _bound(registry, namespace, name, spec.get("boundObjectRef"))
    audiences = spec.get("audiences") or [tokens.issuer]
    longer = _is_extended(tokens, seconds, audiences, bound)
    token = ""
    if not call.dry_run:
        token = tokens.issue(
            account,
            audiences=audiences,
            seconds=EXTENDED_S if longer else seconds,
            bound=bound,
            warn_after_s=seconds if longer else None,
        )
    now = registry.clock.now()
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": rfc3339(now)},
        "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
        "status": {"token": token, "expirationTimestamp": rfc3339(now + timedelta(seconds=seconds))},
    }


def _is_extended(tokens: ServiceAccountTokens, seconds: int, audiences: list[str], bound: Bound | None) -> bool:
    """Whether this is the token of a pod's own volume, whose reader may be too old to look at it twice."""
    return seconds == WARNED_S and audiences == [tokens.issuer] and bound is not None and bound.claim == "pod"


def _check_name(request: Tree, namespace: str, name: str) -> None:
    metadata = request.get("metadata") or {}
    if (metadata.get("name") or name) != name:
        raise BadRequest(f"name on URL ({name}) does not match name in the object ({metadata['name']})")
    if (metadata.get("namespace") or namespace) != namespace:
        raise BadRequest(
            f"namespace on URL ({namespace}) does not match namespace in the object ({metadata['namespace']})"
        )


def _check_seconds(registry: Registry, name: str, seconds: int) -> None:
    why = ""
    if seconds < SHORTEST_S:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > LONGEST_S:
        why = "may not specify a duration larger than 2^32 seconds"
    if why:
        resource = registry.kind("authentication.k8s.io", "v1", "tokenreviews").resource
        error = invalid(
            resource, name, [Cause("FieldValueInvalid", f"Invalid value: {seconds}: {why}", "spec.expirationSeconds")]
        )
        error.message = error.message.replace("TokenReview", "TokenRequest", 1)
        error.details["kind"] = "TokenRequest"
        raise error


def _bound(registry: Registry, namespace: str, account: str, reference: Any) -> Bound | None:
    if not reference:
        return None
    kind = reference.get("kind") if isinstance(reference, dict) else None
    version = reference.get("apiVersion") or "v1" if isinstance(reference, dict) else ""
    if kind not in _KINDS or version != "v1":
        group = f"{version.rpartition('/')[0]}/" if "/" in version else ""
        raise BadRequest(f"cannot bind token for object of type {group}{version.rpartition('/')[2]}, Kind={kind}")
    plural, name = _KINDS[kind], reference.get("name") or ""
    tree = registry.find("", "v1", plural, "" if kind == "Node" else namespace, name)
    if tree is None:
        raise not_found(plural, name)
    if kind == "Pod" and (tree.get("spec") or {}).get("serviceAccountName") != account:
        raise BadRequest(
            f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
        )
    uid = reference.get("uid")
    if uid and uid != tree["metadata"]["uid"]:
        raise Conflict(
            f'Operation cannot be fulfilled on {plural} "{name}": the UID in the bound object reference ({uid}) '
            "does not match the UID in record. The object might have been deleted and then recreated",
            details={"name": name, "kind": plural},
        )
    return Bound(kind.lower(), tree)
