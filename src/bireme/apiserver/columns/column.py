"""What columns and cells are made of: headings, ages, and the marks for what is missing.

Source: the Kubernetes documentation.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Tree = dict[str, Any]
Cells = list[Any]

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"
SHOWN = 3  # of a list; the rest is counted


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. Priority 1 is shown on `-o wide` alone."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Printer:
    """The columns of a kind, and the cells of one object in their order."""

    columns: tuple[Column, ...]
    cells: Callable[[Tree, datetime], Cells]


NAME = Column("Name", format="name", description="Name must be unique within a namespace.")
AGE = Column("Age", description="The time since the object was made.")
CREATED = Column("Created At", description="The time at which the object was made.")


def columns(*plain: str | Column, wide: Iterable[str] = (), numbers: Iterable[str] = ()) -> tuple[Column, ...]:
    """The columns of these names after the name itself; "Age" is the usual one."""
    counted = frozenset(numbers)
    found = [NAME]
    for each in plain:
        if isinstance(each, Column):
            found.append(each)
        elif each == "Age":
            found.append(AGE)
        else:
            found.append(Column(each, type="integer" if each in counted else "string"))
    return (*found, *(Column(each, priority=1) for each in wide))


def name_of(tree: Tree) -> str:
    """The object's name."""
    return (tree.get("metadata") or {}).get("name") or ""


def age_of(tree: Tree, now: datetime) -> str:
    """How long ago the object was made."""
    return since((tree.get("metadata") or {}).get("creationTimestamp"), now)


def created_at(tree: Tree) -> str:
    """When the object was made."""
    return (tree.get("metadata") or {}).get("creationTimestamp") or UNKNOWN


def since(text: str | None, now: datetime) -> str:
    """How long ago that time was."""
    moment = time_of(text)
    return human_duration((now - moment).total_seconds()) if moment else UNKNOWN


def time_of(text: str | None) -> datetime | None:
    """A time in RFC 3339; None when there is none or it can't be read."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def human_duration(seconds: float) -> str:
    """A length of time in the one or two units that matter: 90s, 5m30s, 3h, 2d4h, 3y20d."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 120:
        return f"{max(whole, 0)}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 2920:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def listed(values: Iterable[str], *, empty: str = NONE, limit: int = SHOWN, comma: str = ",") -> str:
    """The first few values, and how many more there are."""
    found = list(values)
    if not found:
        return empty
    shown = comma.join(found[:limit])
    return f"{shown} + {len(found) - limit} more..." if len(found) > limit else shown


def joined(values: Iterable[str], *, empty: str = NONE) -> str:
    """All values, between commas."""
    return ",".join(values) or empty


def labels_text(labels: Mapping[str, str] | None) -> str:
    """A map of labels, sorted."""
    return joined(f"{key}={value}" for key, value in sorted((labels or {}).items()))


_OPERATORS = {"In": "in", "NotIn": "notin"}


def selector_text(selector: Tree | None) -> str:
    """A label selector as it is typed."""
    if not selector:
        return NONE
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for each in sorted(selector.get("matchExpressions") or (), key=lambda each: each.get("key") or ""):
        key, operator = each.get("key") or "", each.get("operator")
        if operator in _OPERATORS:
            parts.append(f"{key} {_OPERATORS[operator]} ({','.join(sorted(each.get('values') or ()))})")
        else:
            parts.append(key if operator == "Exists" else f"!{key}")
    return joined(parts)


def containers_text(template: Tree | None) -> tuple[str, str]:
    """The names and the images of a template's containers."""
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    names = ",".join(container.get("name") or "" for container in containers)
    return names, ",".join(container.get("image") or "" for container in containers)


def has_condition(status: Tree, kind: str) -> bool:
    """Whether the condition is true."""
    return any(each.get("type") == kind and each.get("status") == "True" for each in status.get("conditions") or ())


def true_false(value: object) -> str:
    """A flag, as tables print it; unset is False."""
    return "True" if value else "False"


def flag(value: object) -> str:
    """A flag, as tables of storage print it."""
    return "true" if value else "false"
