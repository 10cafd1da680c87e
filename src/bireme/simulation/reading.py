"""Reading what people write: YAML against a dataclass, with errors that name the place and say what is allowed.

A section of a file is a frozen dataclass whose fields are made with `said`: how the text becomes a value, a sentence
about it, and what holds when nothing is said. The dataclass is the schema: reading, errors and the documented tables
come from it.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
LARGEST = 8 << 20
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


class ScenarioError(ValueError):
    """What was written can't be used. The text begins with the place: file, line and field."""


@dataclass(frozen=True, slots=True)
class Element:
    """One value in the text, and where it stands."""

    node: yaml.Node
    path: str
    source: str

    @property
    def line(self) -> int:
        """Counted from 1."""
        return int(self.node.start_mark.line) + 1

    def error(self, message: str) -> ScenarioError:
        """An error about this very place."""
        return ScenarioError(f"{self.source}:{self.line}: {self.path or 'the file'}: {message}")

    def items(self) -> Iterator["Element"]:
        """The elements of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("a list is needed")
        for number, node in enumerate(self.node.value):
            yield Element(node, f"{self.path}[{number}]", self.source)

    def fields(self) -> dict[str, "Element"]:
        """The fields of a map."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("fields are needed, as name: value")
        found: dict[str, Element] = {}
        for key, node in self.node.value:
            name = str(key.value)
            inner = Element(node, f"{self.path}.{name}" if self.path else name, self.source)
            if name in found:
                raise inner.error("stands here twice")
            found[name] = inner
        return found

    def word(self) -> str:
        """The text of a plain value."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error("a plain value is needed")
        return str(self.node.value)

    def plain(self) -> Any:
        """Whatever it is, as plain data."""
        match self.node:
            case yaml.MappingNode():
                return {name: inner.plain() for name, inner in self.fields().items()}
            case yaml.SequenceNode():
                return [inner.plain() for inner in self.items()]
        try:
            return yaml.SafeLoader("").construct_object(self.node, deep=True)
        except yaml.YAMLError as error:
            raise self.error(f"{self.node.tag} is no plain value") from error

    @property
    def is_map(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)


Convert = Callable[[Element], Any]


def said(convert: Convert, doc: str, default: Any = dataclasses.MISSING) -> Any:
    """A field of a section; without `default` it has to be there. A callable makes the default anew each time."""
    metadata = {"convert": convert, "doc": doc}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def section(kind: type[T]) -> Callable[[Element], T]:
    """Reads a map as the dataclass `kind`, whose fields are made with `said`."""

    def convert(element: Element) -> T:
        known = _written(kind)
        values: dict[str, Any] = {}
        for name, inner in element.fields().items():
            if name not in known:
                raise inner.error(f"there is no such field; allowed: {', '.join(known)}")
            values[known[name].name] = known[name].metadata["convert"](inner)
        for name, field in known.items():
            needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if needed and field.name not in values:
                raise element.error(f"{name} is missing: {field.metadata['doc']}")
        try:
            return kind(**values)
        except ScenarioError:
            raise
        except ValueError as error:
            raise element.error(str(error)) from error

    return convert


def _written(kind: type[Any]) -> dict[str, "dataclasses.Field[Any]"]:
    return {name_of(field): field for field in dataclasses.fields(kind) if "convert" in field.metadata}


def name_of(field: "dataclasses.Field[Any]") -> str:
    """A field's name as it is written: those that Python keeps for itself have an underscore behind."""
    return field.name.rstrip("_")


def table_of(kind: type[Any]) -> list[tuple[str, str, str]]:
    """Name, what holds without it, and the sentence of each field of a section: for its documentation."""
    rows = []
    for field in _written(kind).values():
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            without = "needed"
        else:
            value = field.default if field.default is not dataclasses.MISSING else None
            empty = value is None or value in ("", ()) or dataclasses.is_dataclass(value)
            without = "" if empty else f"{value:g}" if isinstance(value, float) else str(value)
        rows.append((name_of(field), without, field.metadata["doc"]))
    return rows


def parse(text: str, kind: type[T], *, source: str) -> T:
    """The text as a section. Raises ScenarioError."""
    if len(text) > LARGEST:
        raise ScenarioError(f"{source}: too long: at most {LARGEST} characters")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ScenarioError(f"{source}:{mark.line + 1 if mark else 1}: no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ScenarioError(f"{source}: no YAML: {error}") from error
    if node is None:
        raise ScenarioError(f"{source}: is empty")
    return section(kind)(Element(node, "", source))


def text_of(path: Path) -> str:
    """What the file says. Raises ScenarioError when that is no text, and OSError."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path.name}: no text in UTF-8") from error


# How a text becomes a value


def text(element: Element) -> str:
    """Any words."""
    return element.word()


def flag(element: Element) -> bool:
    """true or false."""
    word = element.word()
    if word not in ("true", "false"):
        raise element.error(f"{word!r} is neither true nor false")
    return word == "true"


def number(low: float = 0.0, high: float = 1e12) -> Callable[[Element], float]:
    """A number between these."""

    def convert(element: Element) -> float:
        try:
            value = float(element.word())
        except ValueError as error:
            raise element.error(f"{element.word()!r} is no number") from error
        if not low <= value <= high:
            raise element.error(f"{value:g} is not between {low:g} and {high:g}")
        return value

    return convert


def whole(low: int = 0, high: int = 10**9) -> Callable[[Element], int]:
    """A whole number between these."""

    def convert(element: Element) -> int:
        try:
            value = int(element.word())
        except ValueError as error:
            raise element.error(f"{element.word()!r} is no whole number") from error
        if not low <= value <= high:
            raise element.error(f"{value} is not between {low} and {high}")
        return value

    return convert


def seconds_of(word: str) -> float:
    """The seconds of "90", "1.5h", "1h30m" or "250ms". Raises ValueError."""
    if re.fullmatch(r"\d+(\.\d+)?", word):
        return float(word)
    parts = _PART.findall(word)
    if not parts or "".join(amount + unit for amount, unit in parts) != word:
        raise ValueError(f"{word!r} is no time: seconds, or numbers with {', '.join(UNITS)}, as 1h30m")
    return float(sum(float(amount) * UNITS[unit] for amount, unit in parts))


def duration(element: Element) -> float:
    """A time in seconds."""
    try:
        return seconds_of(element.word())
    except ValueError as error:
        raise element.error(str(error)) from error


def span(element: Element) -> float:
    """A time in seconds that is more than none."""
    found = duration(element)
    if found <= 0:
        raise element.error("more than 0 is needed")
    return found


def share(element: Element) -> float:
    """A part of one: 0.25 or 25%."""
    word = element.word()
    try:
        value = float(word.removesuffix("%")) / (100.0 if word.endswith("%") else 1.0)
    except ValueError as error:
        raise element.error(f"{word!r} is no share, as 0.25 or 25%") from error
    if not 0.0 <= value <= 1.0:
        raise element.error(f"{word} is not between 0 and 1")
    return value


def one_of(*words: str) -> Callable[[Element], str]:
    """One of these words."""

    def convert(element: Element) -> str:
        if element.word() not in words:
            raise element.error(f"{element.word()!r} is not one of {', '.join(words)}")
        return element.word()

    return convert


def listed(convert: Callable[[Element], T]) -> Callable[[Element], tuple[T, ...]]:
    """A list of such values."""
    return lambda element: tuple(convert(inner) for inner in element.items())


def mapped(convert: Callable[[Element], T]) -> Callable[[Element], Mapping[str, T]]:
    """A map of names to such values."""
    return lambda element: {name: convert(inner) for name, inner in element.fields().items()}


def names(element: Element) -> Sequence[str]:
    """One name, or a list of them."""
    return tuple(inner.word() for inner in element.items()) if element.is_list else (element.word(),)


def plain(element: Element) -> Any:
    """Anything, as plain data."""
    return element.plain()
