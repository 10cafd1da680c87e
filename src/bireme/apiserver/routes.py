"""From a path and a method to what is asked of which resource.

Paths are percent-decoded before they come here, so an encoded slash only makes one segment more; empty, `.` and
`..` segments match nothing. Source: the Kubernetes documentation on paths.
"""

from dataclasses import dataclass

from bireme.api.errors import MethodNotAllowed, NotFound
from bireme.registry.kinds import Kind, Kinds

CONNECT_SUBRESOURCES = frozenset({"exec", "attach", "portforward", "proxy", "log"})
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(slots=True)
class Route:
    """A request for a resource: `verb` is the one that authorization speaks of. `rest` follows `proxy`."""

    kind: Kind
    verb: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


def is_resource_path(path: str) -> bool:
    """Whether `path` leads to objects, not to discovery or health."""
    if path.startswith("/api/"):
        return path.count("/") > 2 and len(path) > len("/api/v1/")
    return path.startswith("/apis/") and path.rstrip("/").count("/") > 3


def find_route(kinds: Kinds, method: str, path: str, *, watching: bool) -> Route:
    """The route of a resource path. Raises NotFound and MethodNotAllowed."""
    segments = path.split("/")
    if segments[-1] == "" and "proxy" not in segments:
        segments.pop()
    if segments[1] == "api":
        group, version, rest = "", segments[2], segments[3:]
    else:
        group, version, rest = segments[2], segments[3], segments[4:]
    if rest and rest[0] == "watch" and len(rest) > 1:
        rest, watching = rest[1:], True
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and not _is_namespace_part(kinds, group, version, rest):
        namespace, rest = rest[1], rest[2:]
    if not all(segment not in ("", ".", "..") for segment in rest[:3]) or ".." in namespace:
        raise _no_path()
    kind = kinds.at(group, version, rest[0]) if rest else None
    if kind is None:
        raise _no_path()
    if bool(namespace) > kind.resource.namespaced or (len(rest) > 1 and kind.resource.namespaced and not namespace):
        raise _no_path()
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if len(rest) > 3 and subresource != "proxy":
        raise _no_path()
    verb = _verb(kind, method, name, subresource, watching=watching)
    route = Route(kind, verb, namespace, name, subresource, "/".join(rest[3:]))
    _check_scope(route)
    return route


def _is_namespace_part(kinds: Kinds, group: str, version: str, rest: list[str]) -> bool:
    """Whether `namespaces/a/status` means a part of the namespace itself, not a resource in it."""
    return (group, version) == ("", "v1") and len(rest) == 3 and rest[2] in ("status", "finalize")


def _verb(kind: Kind, method: str, name: str, subresource: str, *, watching: bool) -> str:
    verb = _VERBS.get(method)
    if verb is None:
        raise MethodNotAllowed(f"the server does not allow this method on the requested resource: {method}")
    if subresource:
        known = kind.resource.subresource(subresource)
        if known is None:
            raise _no_path()
        if verb not in known.verbs and not (subresource == "proxy" and method in _VERBS):
            raise not_allowed(kind)
        return verb
    if watching and verb == "get":
        verb = "watch"
    elif not name:
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
        if verb in ("update", "patch"):
            raise not_allowed(kind)
    elif verb == "create":
        raise not_allowed(kind)
    if verb not in kind.resource.verbs:
        raise not_allowed(kind)
    return verb


def _check_scope(route: Route) -> None:
    """Across all namespaces there are lists and watches only."""
    if route.kind.resource.namespaced and not route.namespace and route.verb not in ("list", "watch"):
        raise not_allowed(route.kind)


def not_allowed(kind: Kind) -> MethodNotAllowed:
    """The resource has no such verb."""
    return MethodNotAllowed(
        "the server does not allow this method on the requested resource",
        details={"group": kind.resource.group, "kind": kind.resource.plural},
    )


def _no_path() -> NotFound:
    return NotFound("the server could not find the requested resource")
