"""How many seats a request takes, by the work that it makes: objects to go through, watchers to tell.

A list, and a watch that begins with what there is, takes a seat for every hundred objects; a write one for every ten
watchers that hear of it, since telling them is the larger part of it. Who asks for one object by its name takes one
seat. Nobody takes more than ten, nor more than a sixth or so of what its priority level has. Other than in the
original a write gives its seats back with its answer: by then its watchers have been told.
Source: the Kubernetes documentation on API priority and fairness, and the work estimator of the API server.
"""

from bireme.apiserver.fair_queues import Level
from bireme.apiserver.routes import Route
from bireme.http.interface import Query
from bireme.registry.watch_cache import WatchCache

OBJECTS_A_SEAT = 100
WATCHERS_A_SEAT = 10
WIDEST = 10
LARGEST_PART = 0.15


def width(route: Route, query: Query, cache: WatchCache, level: Level, *, writes: int = 1) -> int:
    """The seats of a request at its level, or of so many writes that are done as one."""
    verb = route.verb
    if verb == "get" or level.exempt or (verb == "watch" and not _begins_with_all(query)):
        return 1
    kept = cache.of(route.kind.stored)
    if verb not in ("list", "watch"):
        seats = 1 if route.subresource == "token" else min(writes * write_seats(kept.broad), WIDEST)
    elif route.name or "metadata.name=" in query.get("fieldSelector"):
        return 1
    else:
        limit = query.get("limit") if verb == "list" else ""
        seats = list_seats(len(kept.records), int(limit) if limit.isdecimal() and len(limit) < 10 else 0)
    return max(1, min(seats, int(level.nominal * LARGEST_PART)))


def _begins_with_all(query: Query) -> bool:
    """Whether a watch is first told of every object that there is."""
    return query.get("resourceVersion") in ("", "0") or query.flag("sendInitialEvents")


def list_seats(objects: int, limit: int) -> int:
    """The seats of a list: one for every hundred objects that are gone through."""
    seen = min(objects, 2 * limit) if limit else objects
    return max(1, min(WIDEST, -(-seen // OBJECTS_A_SEAT)))


def write_seats(watchers: int) -> int:
    """The seats of a write: one for every ten watchers that are told of it."""
    return max(1, min(WIDEST, -(-watchers // WATCHERS_A_SEAT)))
