"""When a CertificateSigningRequest is approved, signed and cleared away.

Plain decisions; `certificate_signing.py` and its neighbours carry them out. A signer signs what its rules allow and
nothing else: who approved a request said that the asker may have it, not that it fits the signer.
Source: the Kubernetes documentation on certificate signing requests.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bireme.api.kinds.certificates import CertificateSigningRequest
from bireme.api.times import parse_time

if TYPE_CHECKING:  # it loads `cryptography`, which most processes never need
    from bireme.http.signing import Asked

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
UNKNOWN = "kubernetes.io/legacy-unknown"
NODES, NODE, MASTERS = "system:nodes", "system:node:", "system:masters"
LONGEST = timedelta(days=365)
SHORTEST = timedelta(minutes=10)
DONE_KEPT = timedelta(hours=1)
PENDING_KEPT = timedelta(hours=24)

_NODE_CLIENT = frozenset({"key encipherment", "digital signature", "client auth"})
_NODE_SERVER = frozenset({"key encipherment", "digital signature", "server auth"})
_CLIENT = frozenset({"signing", "digital signature", "content commitment", "key encipherment", "key agreement"}) | {
    "data encipherment",
    "client auth",
}
_NOT_OURS = frozenset({"cert sign", "crl sign"})


def why_not_node_client(asked: "Asked", usages: frozenset[str]) -> str:
    """Why a node may not have this as its client certificate; "" where it may."""
    if asked.groups != (NODES,):
        return f"organization {_shown(asked.groups)} is not system:nodes"
    if not asked.name.startswith(NODE) or asked.name == NODE:
        return "subject common name does not begin with system:node:"
    if asked.dns or asked.ips or asked.emails or asked.uris:
        return "alternative names are not allowed"
    return _usages(usages, _NODE_CLIENT, needed="client auth")


def why_not_node_server(asked: "Asked", usages: frozenset[str]) -> str:
    """Why a node may not have this as its serving certificate; "" where it may."""
    if asked.groups != (NODES,):
        return f"organization {_shown(asked.groups)} is not system:nodes"
    if not asked.name.startswith(NODE) or asked.name == NODE:
        return "subject common name does not begin with system:node:"
    if not asked.dns and not asked.ips:
        return "DNS or IP subjectAltName is required"
    if asked.emails:
        return "email subjectAltNames are not allowed"
    if asked.uris:
        return "URI subjectAltNames are not allowed"
    return _usages(usages, _NODE_SERVER, needed="server auth")


def _why_not_client(asked: "Asked", usages: frozenset[str]) -> str:
    if MASTERS in asked.groups:
        return "system:masters is not allowed"
    return _usages(usages, _CLIENT, needed="client auth")


def _why_not_unknown(asked: "Asked", usages: frozenset[str]) -> str:
    forbidden = sorted(usages & _NOT_OURS)
    return f"usage {forbidden[0]} is not allowed" if forbidden else ""


def _usages(usages: frozenset[str], allowed: frozenset[str], *, needed: str) -> str:
    if more := sorted(usages - allowed):
        return f"usage {more[0]} is not allowed"
    return "" if needed in usages else f"usage {needed} is required"


def _shown(groups: tuple[str, ...]) -> str:
    return ", ".join(groups) or "none"


SIGNERS: Mapping[str, Callable[["Asked", frozenset[str]], str]] = {
    CLIENT: _why_not_client,
    KUBELET_CLIENT: why_not_node_client,
    KUBELET_SERVING: why_not_node_server,
    UNKNOWN: _why_not_unknown,
}
"""The signers whose certificates are made here: why one may not sign what is asked."""


def condition_of(request: CertificateSigningRequest, kind: str) -> bool:
    """Whether the request has a condition of that type."""
    return any(condition.type == kind for condition in request.status.conditions)


def is_to_be_signed(request: CertificateSigningRequest) -> bool:
    """Whether it waits for one of our signers."""
    return (
        request.spec.signer_name in SIGNERS
        and not request.status.certificate
        and condition_of(request, "Approved")
        and not condition_of(request, "Denied")
        and not condition_of(request, "Failed")
    )


def is_undecided(request: CertificateSigningRequest) -> bool:
    """Whether nobody approved or denied it."""
    return not (request.status.certificate or condition_of(request, "Approved") or condition_of(request, "Denied"))


def lifetime(request: CertificateSigningRequest) -> timedelta:
    """How long the certificate shall last: as asked, within bounds."""
    seconds = request.spec.expiration_seconds
    return LONGEST if seconds is None else max(SHORTEST, min(LONGEST, timedelta(seconds=seconds)))


def permission(asked: "Asked", request: CertificateSigningRequest) -> str:
    """What the asker needs to have a node's client certificate approved unseen."""
    return "selfnodeclient" if request.spec.username == asked.name else "nodeclient"


@dataclass(frozen=True, slots=True)
class Clearing:
    """Whether a request is to be cleared away now, and else when to look again."""

    now: bool
    again: timedelta | None = None


def clearing(request: CertificateSigningRequest, *, now: datetime) -> Clearing:
    """A request goes an hour after it was decided on or signed, and after a day without either."""
    ends = [_since(request.metadata.creation_timestamp) + PENDING_KEPT] if is_undecided(request) else []
    ends += [
        _since(condition.last_update_time or request.metadata.creation_timestamp) + DONE_KEPT
        for condition in request.status.conditions
        if condition.type in ("Approved", "Denied", "Failed")
    ]
    if not ends:
        return Clearing(now=False)
    first = min(ends)
    return Clearing(now=True) if first <= now else Clearing(now=False, again=first - now)


def _since(text: str) -> datetime:
    return parse_time(text)
