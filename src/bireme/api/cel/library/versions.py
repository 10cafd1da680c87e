"""Semantic versions. Source: semver.org, and the documentation of the semver library of Kubernetes."""

import re
from typing import Any

from bireme.api.cel.errors import CelError
from bireme.api.cel.functions import Row
from bireme.api.cel.values import Opaque, to_int

_NAME = "kubernetes.Semver"
_NUMBER = r"0|[1-9]\d*"
_PART = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_FORM = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PART}(?:\.{_PART})*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)
_LONGEST = 256


class Version(Opaque):
    """A version; what stands after `+` has no part in the order."""

    __slots__ = ("before", "numbers")
    type_name = _NAME

    def __init__(self, numbers: tuple[int, ...], before: tuple[tuple[int, Any], ...]) -> None:
        self.numbers = numbers
        self.before = before

    @property
    def order(self) -> tuple[Any, ...]:
        """What versions are ordered by: one with a pre-release comes before the same without."""
        return (self.numbers, not self.before, self.before)

    def same(self, other: Opaque) -> bool:
        return isinstance(other, Version) and self.order == other.order

    def __str__(self) -> str:
        before = ".".join(str(part) for _, part in self.before)
        return ".".join(map(str, self.numbers)) + (f"-{before}" if before else "")


def version(text: str, normalize: bool = False) -> Version:
    """The version that the text spells. Raises CelError."""
    match = _FORM.fullmatch(_normal(text) if normalize else text) if len(text) <= _LONGEST else None
    if match is None:
        raise CelError(f'Invalid semantic version "{text[:_LONGEST]}"')
    before = tuple((0, int(part)) if part.isdigit() else (1, part) for part in (match[4] or "").split(".") if part)
    return Version(tuple(int(match[place]) for place in (1, 2, 3)), before)


def _normal(text: str) -> str:
    parts = text.removeprefix("v").split(".", 2)
    if len(parts) < 3 and re.search(r"[+-]", parts[-1]):
        raise CelError("short version cannot contain PreRelease/Build meta data")
    parts = [re.sub(r"^0+(?=\d)", "", part) for part in parts]
    return ".".join(parts + ["0"] * (3 - len(parts)))


def _is_version(text: str, normalize: bool = False) -> bool:
    try:
        version(text, normalize)
    except CelError:
        return False
    return True


def _compare(left: Version, right: Version) -> int:
    return (left.order > right.order) - (left.order < right.order)


ROWS: list[Row] = [
    ("semver", f"(string): {_NAME}", version, "traverse"),
    ("semver", f"(string, bool): {_NAME}", version, "traverse"),
    ("isSemver", "(string): bool", _is_version, "traverse"),
    ("isSemver", "(string, bool): bool", _is_version, "traverse"),
    ("major", f"{_NAME}.(): int", lambda version: to_int(version.numbers[0])),
    ("minor", f"{_NAME}.(): int", lambda version: to_int(version.numbers[1])),
    ("patch", f"{_NAME}.(): int", lambda version: to_int(version.numbers[2])),
    ("isGreaterThan", f"{_NAME}.({_NAME}): bool", lambda a, b: a.order > b.order),
    ("isLessThan", f"{_NAME}.({_NAME}): bool", lambda a, b: a.order < b.order),
    ("compareTo", f"{_NAME}.({_NAME}): int", _compare),
]
