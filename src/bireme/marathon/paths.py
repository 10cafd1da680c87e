"""Path ids: `/shop/cart` names an app, a pod or a group. Source: Marathon 1.11's REST API."""

import re
from collections.abc import Iterator

PathId = str
ROOT: PathId = "/"
_SEGMENT = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_RESERVED = frozenset(("restart", "tasks", "versions", ".", ".."))
MAX_LENGTH = 1024


def absolute(text: str, base: PathId = ROOT) -> PathId:
    """`text` as an absolute path, read from within the group `base`; steps beyond the root stay there."""
    found = [] if text.startswith("/") else _segments(base)
    for segment in _segments(text):
        if segment == "..":
            found = found[:-1]
        elif segment != ".":
            found.append(segment)
    return "/" + "/".join(found)


def problem(text: str) -> str | None:
    """Why `text` is no path id."""
    if not text or len(text) > MAX_LENGTH:
        return "must not be empty" if not text else f"must not be longer than {MAX_LENGTH}"
    for segment in _segments(text):
        if segment not in (".", "..") and not _SEGMENT.fullmatch(segment):
            return (
                "must fully match regular expression '^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*"
                "([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$'"
            )
    return None


def is_reserved(path: PathId) -> bool:
    """Whether the last segment is a word of the API's own."""
    return (_segments(path) or [""])[-1] in _RESERVED


def parent(path: PathId) -> PathId:
    """The enclosing group; the root's is the root."""
    return "/" + "/".join(_segments(path)[:-1])


def ancestors(path: PathId) -> Iterator[PathId]:
    """The enclosing groups from the nearest to the root."""
    while path != ROOT:
        path = parent(path)
        yield path


def is_within(path: PathId, group: PathId) -> bool:
    """Whether `path` is `group` or beneath it."""
    return group == ROOT or path == group or path.startswith(f"{group}/")


def top_group(path: PathId) -> PathId:
    """The group right below the root that holds `path`; the root for an app directly in it."""
    segments = _segments(path)
    return f"/{segments[0]}" if len(segments) > 1 else ROOT


def safe(path: PathId) -> str:
    """The form that goes into ids of instances and tasks: `shop_cart`."""
    return "_".join(_segments(path))


def task_name(path: PathId) -> str:
    """The form that Mesos-DNS takes names from: `cart.shop`."""
    return ".".join(reversed(_segments(path)))


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]
