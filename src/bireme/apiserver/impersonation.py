"""Acting as another: `kubectl --as`, and the gateways that speak for their users.

Who may impersonate is asked as everything else is. What follows is done, and judged, as the other.
Source: the Kubernetes documentation on authentication.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from bireme.api.errors import BadRequest
from bireme.apiserver.authentication import ANONYMOUS, AUTHENTICATED
from bireme.http.interface import Identity
from bireme.registry.access import Attempt, Authorizer, refusal

USER, GROUP, UID, EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"


def acting(user: Identity, headers: Mapping[str, str], authorizer: Authorizer) -> Identity:
    """Whom `user` acts as: himself, or whom the headers name. Raises Forbidden where he may not.

    Header names are in lower case; one that came several times holds its values joined by commas.
    """
    if USER not in headers:
        if GROUP in headers or UID in headers or any(name.startswith(EXTRA) for name in headers):
            raise BadRequest("requested to impersonate groups, a uid or extra without impersonating a user")
        return user
    name, uid = headers[USER].strip(), headers.get(UID, "").strip()
    groups = tuple(group.strip() for group in headers.get(GROUP, "").split(",") if group.strip())
    for attempt in _attempts(name, groups, uid, headers):
        decision = authorizer.decide(user, attempt)
        if not decision.allowed:
            raise refusal(user, attempt, decision.reason)
    extra = dict(_extra(headers))
    if name == ANONYMOUS.name:
        return Identity(name, (*groups, *ANONYMOUS.groups), uid, extra)
    return Identity(name, (*(groups or _account_groups(name)), AUTHENTICATED), uid, extra)


def _extra(headers: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What else is said of the other: key and values. Keys may be percent-encoded."""
    for header, text in headers.items():
        if header.startswith(EXTRA):
            yield unquote(header.removeprefix(EXTRA)), tuple(part.strip() for part in text.split(","))


def _attempts(name: str, groups: tuple[str, ...], uid: str, headers: Mapping[str, str]) -> Iterator[Attempt]:
    """What must be allowed: each name that is taken on, by itself."""
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        namespace, account = name.removeprefix(_ACCOUNT).split(":")
        yield Attempt("impersonate", resource="serviceaccounts", namespace=namespace, name=account)
    else:
        yield Attempt("impersonate", resource="users", name=name)
    for group in groups:
        yield Attempt("impersonate", resource="groups", name=group)
    group_of_rest = "authentication.k8s.io"
    if uid:
        yield Attempt("impersonate", group=group_of_rest, resource="uids", name=uid)
    for key, values in _extra(headers):
        for value in values:
            yield Attempt("impersonate", group=group_of_rest, resource="userextras", subresource=key, name=value)


def _account_groups(name: str) -> tuple[str, ...]:
    """The groups that a service account is in by being one."""
    if not name.startswith(_ACCOUNT) or name.count(":") != 3:
        return ()
    namespace = name.removeprefix(_ACCOUNT).partition(":")[0]
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
