"""POST serviceaccounts/NAME/token: a token for an account, bound to a pod if the caller says so."""

from datetime import timedelta
from typing import Any

from bireme.api.errors import BadRequest, Cause, Conflict, ServiceUnavailable, not_found
from bireme.api.times import rfc3339
from bireme.registry.kinds import Kind
from bireme.registry.options import Call
from bireme.registry.strategy import invalid
from bireme.registry.tokens import ServiceAccountTokens
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
SHORTEST_S = 600
LONGEST_S = 1 << 32
USUAL_S = 3600


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
    spec = dict(request.get("spec") or {})
    seconds = spec.get("expirationSeconds", USUAL_S)
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise BadRequest("spec.expirationSeconds must be an integer")
    _check_seconds(registry, name, seconds)
    pod = _bound_pod(registry, namespace, name, spec.get("boundObjectRef"))
    audiences = spec.get("audiences") or [tokens.issuer]
    token = "" if call.dry_run else tokens.issue(account, audiences=audiences, seconds=seconds, pod=pod)
    expires = rfc3339(registry.clock.now() + timedelta(seconds=seconds))
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": rfc3339(registry.clock.now())},
        "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
        "status": {"token": token, "expirationTimestamp": expires},
    }


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


def _bound_pod(registry: Registry, namespace: str, account: str, reference: Any) -> Tree | None:
    if not reference:
        return None
    if not isinstance(reference, dict) or reference.get("kind") != "Pod":
        raise BadRequest("cannot bind token to object of this kind: only Pod is known")
    name = reference.get("name") or ""
    pod = registry.find("", "v1", "pods", namespace, name)
    if pod is None:
        raise not_found("pods", name)
    if (pod.get("spec") or {}).get("serviceAccountName") != account:
        raise BadRequest(
            f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name'
        )
    uid = reference.get("uid")
    if uid and uid != pod["metadata"]["uid"]:
        raise Conflict(
            f'Operation cannot be fulfilled on pods "{name}": the UID in the bound object reference ({uid}) '
            "does not match the UID in record. The object might have been deleted and then recreated",
            details={"name": name, "kind": "pods"},
        )
    return pod
