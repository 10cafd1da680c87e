"""What is wrong with which field, in the words of Kubernetes.

`Problems` gathers causes; each method is one kind of fault and makes the message and the reason that clients
test for. Paths are texts such as "spec.containers[0].name"; build them only where something is wrong. What checks a
whole object gathers them bounded: nobody reads a million causes, and making them would take as long as they are many.
Source: apimachinery pkg/util/validation/field (described, not copied).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Self

from bireme.api.errors import Cause

Tree = dict[str, Any]

NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than zero"
IMMUTABLE = "field is immutable"
# Enough to mend an object by; in characters of messages and paths.
MOST_FAULTS = 250
MOST_TEXT = 1 << 20


class Enough(Exception):
    """So many faults were found that it need not be looked for more."""


class Problems(list[Cause]):
    """The faults found so far, in the order of the fields.

    Where they are `bounded`, the one that makes them enough is still kept, and then Enough is raised.
    """

    __slots__ = ("_bounded", "_size")

    def __init__(self, *, bounded: bool = False) -> None:
        super().__init__()
        self._bounded = bounded
        self._size = 0

    def __iadd__(self, causes: Iterable[Cause]) -> Self:  # type: ignore[override,misc]
        for cause in causes:
            self.append(cause)
        return self

    def append(self, cause: Cause) -> None:
        """Keep a cause that was made elsewhere."""
        super().append(cause)
        if self._bounded:
            self._size += size_of(cause)
            if is_enough(len(self), self._size):
                raise Enough

    def required(self, path: str, detail: str = "") -> None:
        """The field has no value."""
        self._add("FieldValueRequired", "Required value", path, detail)

    def invalid(self, path: str, value: Any, detail: str) -> None:
        """The value breaks a rule."""
        self._add("FieldValueInvalid", f"Invalid value: {shown(value)}", path, detail)

    def invalid_each(self, path: str, value: Any, details: Iterable[str]) -> None:
        """The value breaks each of these rules."""
        for detail in details:
            self.invalid(path, value, detail)

    def unsupported(self, path: str, value: Any, supported: Iterable[str]) -> None:
        """The value is none of those that are known."""
        names = ", ".join(f'"{name}"' for name in supported)
        self._add("FieldValueNotSupported", f"Unsupported value: {shown(value)}", path, f"supported values: {names}")

    def forbidden(self, path: str, detail: str) -> None:
        """The field may not be set, or not so."""
        self._add("FieldValueForbidden", "Forbidden", path, detail)

    def duplicate(self, path: str, value: Any) -> None:
        """The value stands there already."""
        self._add("FieldValueDuplicate", f"Duplicate value: {shown(value)}", path)

    def not_found(self, path: str, value: Any) -> None:
        """The value refers to nothing."""
        self._add("FieldValueNotFound", f"Not found: {shown(value)}", path)

    def too_long(self, path: str, limit: int) -> None:
        """The text or the bytes are over the limit."""
        self._add("FieldValueTooLong", "Too long", path, f"may not be more than {limit} bytes")

    def too_many(self, path: str, count: int, limit: int) -> None:
        """The list or map has more entries than the limit."""
        self._add("FieldValueTooMany", f"Too many: {count}", path, f"must have at most {limit} items")

    def _add(self, reason: str, message: str, path: str, detail: str = "") -> None:
        self.append(Cause(reason, f"{message}: {detail}" if detail else message, path))


def size_of(cause: Cause) -> int:
    """The characters of a cause."""
    return len(cause.message) + len(cause.field)


def is_enough(count: int, size: int) -> bool:
    """Whether that many causes, of that many characters in all, are as many as an answer shows."""
    return count >= MOST_FAULTS or size >= MOST_TEXT


def and_more(causes: Iterable[Cause]) -> list[Cause]:
    """The causes that are shown where there may be more, with a last one that says so."""
    shown = list(causes)[:MOST_FAULTS]
    return [*shown, Cause("FieldValueTooMany", f"Too many: {len(shown)}: further faults are not shown")]


class Rules(NamedTuple):
    """The rules of one kind: for any state of an object, and for the step from an old one to a new one."""

    check: Callable[[Problems, Tree], None]
    update: Callable[[Problems, Tree, Tree], None] | None = None


def shown(value: Any) -> str:
    """A value as messages show it: text in quotes, structures as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def at(path: str, field: str) -> str:
    """The path of a field; the object itself is ""."""
    return f"{path}.{field}" if path else field


def check_one_of(
    problems: Problems,
    tree: Mapping[str, Any],
    field: str,
    path: str,
    supported: Iterable[str],
    *,
    needed: bool = False,
) -> None:
    """The text field is one of `supported`; it may be unset unless `needed`."""
    value = tree.get(field)
    if not value:
        if needed:
            problems.required(at(path, field))
    elif value not in supported:
        problems.unsupported(at(path, field), value, supported)


def check_not_negative(problems: Problems, tree: Mapping[str, Any], fields: Iterable[str], path: str) -> None:
    """Each of the number fields is at least 0, or unset."""
    for field in fields:
        value = tree.get(field)
        if value is not None and value < 0:
            problems.invalid(at(path, field), value, NOT_NEGATIVE)


def check_unchanged(problems: Problems, new: Any, old: Any, path: str) -> None:
    """The value is what it was."""
    if new != old:
        problems.invalid(path, new, IMMUTABLE)
