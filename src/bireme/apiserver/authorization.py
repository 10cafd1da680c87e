"""May this user do that? A small fixed table, until roles are there.

The administrators' group, the components and the nodes may do everything; whoever else is authenticated may
discover, see the health paths and ask about himself. Access reviews are answered from the same table.
"""

from dataclasses import dataclass

from bireme.api.errors import Forbidden
from bireme.http.interface import Identity

TRUSTED_GROUPS = frozenset({"system:masters", "system:nodes"})
TRUSTED_USERS = frozenset(
    {
        "system:apiserver",
        "system:kube-controller-manager",
        "system:kube-scheduler",
        "system:kube-proxy",
        "system:mesos-master",
        "system:marathon",
        "system:dns",
    }
)
OWN_REVIEWS = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version")
DISCOVERY_PATHS = ("/api", "/apis", "/openapi", "/.well-known", "/openid")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody wants to do: a verb on a resource, or on a path that is none."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    path: str = ""


def is_public(path: str) -> bool:
    """Whether anybody may see `path`."""
    return any(path == public or path.startswith(public + "/") for public in PUBLIC_PATHS)


def is_trusted(user: Identity) -> bool:
    """Whether `user` may do everything."""
    return user.name in TRUSTED_USERS or not TRUSTED_GROUPS.isdisjoint(user.groups)


def allows(user: Identity, attempt: Attempt) -> bool:
    """Whether `user` may do what is attempted."""
    if is_trusted(user):
        return True
    if attempt.path:
        known = (*PUBLIC_PATHS, *DISCOVERY_PATHS)
        return attempt.verb == "get" and any(
            attempt.path == path or attempt.path.startswith(path + "/") for path in known
        )
    return attempt.verb == "create" and attempt.resource in OWN_REVIEWS and attempt.group.endswith(".k8s.io")


def refusal(user: Identity, attempt: Attempt) -> Forbidden:
    """The error for what `user` may not do, worded as clients know it."""
    if attempt.path:
        return Forbidden(f'forbidden: User "{user.name}" cannot {attempt.verb} path "{attempt.path}"')
    title = f"{attempt.resource}.{attempt.group}" if attempt.group else attempt.resource
    named = f'{title} "{attempt.name}"' if attempt.name else title
    resource = f"{attempt.resource}/{attempt.subresource}" if attempt.subresource else attempt.resource
    scope = f'in the namespace "{attempt.namespace}"' if attempt.namespace else "at the cluster scope"
    return Forbidden(
        f'{named} is forbidden: User "{user.name}" cannot {attempt.verb} resource "{resource}" '
        f'in API group "{attempt.group}" {scope}',
        details={"name": attempt.name, "group": attempt.group, "kind": attempt.resource},
    )
