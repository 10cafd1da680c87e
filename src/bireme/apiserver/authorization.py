"""From a request to the question that is asked about it: may this user do that?

Who answers stands in `registry/access.py`: the administrators' group, nodes, roles. Health and the version are for
anybody.
"""

from bireme.apiserver.routes import Route
from bireme.http.interface import Query
from bireme.registry.access import Attempt

PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version")
_SELECTING = frozenset({"list", "watch", "deletecollection"})


def is_public(path: str) -> bool:
    """Whether anybody may see `path`."""
    return path.startswith(PUBLIC_PATHS) and any(
        path == public or path.startswith(public + "/") for public in PUBLIC_PATHS
    )


def attempt_of(route: Route, query: Query) -> Attempt:
    """What a request for a resource attempts. A field selector counts where one may see some objects only."""
    resource = route.kind.resource
    return Attempt(
        route.verb,
        resource.group,
        resource.version,
        resource.plural,
        route.subresource,
        route.name,
        route.namespace,
        fields=_fields(query) if query.pairs and route.verb in _SELECTING else (),
    )


def _fields(query: Query) -> tuple[tuple[str, str], ...]:
    """The equalities of the field selector; whether it can be read is for who reads it to say."""
    terms = (term.partition("=") for term in query.get("fieldSelector").split(",") if "!=" not in term)
    return tuple((name.strip(), value.removeprefix("=").strip()) for name, equals, value in terms if equals)
