"""YAML in and out, held to a budget: what comes in is as harmless as JSON.

The C parser hands over events one by one and stops when told to, so size, depth and number of nodes are counted
before anything is built; an alias counts as all that it stands for. Trees are built here from the events, since a
loader would see aliases too late and repeated keys never. What a plain word means follows YAML 1.1 as Go's
decoder reads it: no base-60 numbers, dates stay text, keys become text. No tags but those of JSON's types.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]

from bireme.api.codec.json import MOST_REPEATED
from bireme.api.errors import BadRequest, TooLarge


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of text (and of the tree it stands for), depth of nesting, and nodes with aliases followed."""

    size: int = 3 << 20
    depth: int = 100
    nodes: int = 40_000


LIMITS = Limits()

_TAG = "tag:yaml.org,2002:"
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_NUMBER_STARTS = frozenset("+-.0123456789")
_INT = re.compile(r"([-+]?)(?:0b([01_]+)|0x([0-9a-fA-F_]+)|0o?([0-7_]+)|(0|[1-9][0-9_]*))")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")
_ENDLESS = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_BASES = (2, 16, 8, 10)
# libyaml looks through all earlier tag directives at each.
_DIRECTIVE = re.compile(rb"^%TAG", re.MULTILINE)


def parse(data: bytes, limits: Limits = LIMITS, *, duplicates: list[str] | None = None) -> Any:
    """The tree of the only document of a text; raises TooLarge or BadRequest.

    With `duplicates`, the paths of keys that stand twice in one map are put there; the last one counts.
    """
    documents = _documents(data, limits, duplicates)
    first = next(documents, None)
    if next(documents, documents) is not documents:
        raise BadRequest("yaml: expected a single document")
    return first


def dump(tree: Any) -> bytes:
    """The YAML text of a tree."""
    made: bytes = yaml.dump(
        tree,
        Dumper=_Dumper,
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=False,
        width=1 << 20,
        encoding="utf-8",
    )
    return made


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Values that are shared are written out each time."""
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Quotes where a reader might take the text for something else; blocks for several lines."""
    style = "|" if "\n" in text else "'" if text in _LETTERS or not _is_text(text) else None
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


_Dumper.add_representer(str, _represent_text)
# Flags to some readers of YAML 1.1.
_LETTERS = frozenset("yYnN")


def _is_text(text: str) -> bool:
    try:
        return isinstance(_plain(text), str)
    except BadRequest:
        return False


def _documents(data: bytes, limits: Limits, duplicates: list[str] | None) -> Iterator[Any]:
    if len(data) > limits.size:
        raise TooLarge(f"Request entity too large: limit is {limits.size}")
    if _DIRECTIVE.search(data):
        raise BadRequest("yaml: tag directives are not supported")
    try:
        parser = CParser(data.decode())
        builder = _Builder(parser, limits, duplicates)
        while parser.check_event(yaml.StreamStartEvent, yaml.DocumentStartEvent):
            if isinstance(parser.get_event(), yaml.DocumentStartEvent):
                yield builder.document()
                parser.get_event()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise BadRequest(f"yaml: {line}{error.problem}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise BadRequest(f"yaml: {error}") from error


@dataclass(slots=True)
class _Anchored:
    """What an alias stands for, and what it costs."""

    value: Any
    nodes: int
    size: int


class _Builder:
    """Builds trees from events and keeps the account of what they cost."""

    def __init__(self, parser: Any, limits: Limits, duplicates: list[str] | None) -> None:
        self.parser = parser
        self.limits = limits
        self.duplicates = duplicates
        self.nodes = 0
        self.size = 0
        self.path: list[str] = []
        self.anchors: dict[str, _Anchored] = {}

    def document(self) -> Any:
        """The tree of the next document."""
        self.anchors = {}
        return self._node(self.parser.get_event())

    def _node(self, event: Any) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        nodes, size = self.nodes, self.size
        self._charge(event, 1, 2)
        if isinstance(event, yaml.ScalarEvent):
            self._charge(event, 0, len(event.value))
            value = _scalar(event)
        elif len(self.path) >= self.limits.depth:
            raise BadRequest(f"yaml: exceeded max depth of {self.limits.depth}")
        elif isinstance(event, yaml.MappingStartEvent):
            value = self._map(event)
        else:
            value = self._list(event)
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(value, self.nodes - nodes, self.size - size)
        return value

    def _map(self, event: yaml.MappingStartEvent) -> dict[str, Any]:
        _check_tag(event, "map")
        made: dict[str, Any] = {}
        merged: list[Any] = []
        self.path.append("")
        while not isinstance(key_event := self.parser.get_event(), yaml.MappingEndEvent):
            is_merge = isinstance(key_event, yaml.ScalarEvent) and key_event.value == "<<" and key_event.implicit[0]
            key = _key(self._node(key_event))
            self.path[-1] = f".{key}"
            value = self._node(self.parser.get_event())
            if is_merge:
                merged += value if isinstance(value, list) else [value]
                continue
            if key in made and self.duplicates is not None and len(self.duplicates) < MOST_REPEATED:
                self.duplicates.append("".join(self.path).removeprefix("."))
            made[key] = value
        self.path.pop()
        for source in merged:
            if not isinstance(source, dict):
                raise BadRequest("yaml: map merge requires map or sequence of maps as the value")
            made = {**source, **made}
        return made

    def _list(self, event: yaml.SequenceStartEvent) -> list[Any]:
        _check_tag(event, "seq")
        made: list[Any] = []
        self.path.append("")
        while not isinstance(item := self.parser.get_event(), yaml.SequenceEndEvent):
            self.path[-1] = f"[{len(made)}]"
            made.append(self._node(item))
        self.path.pop()
        return made

    def _alias(self, event: Any) -> Any:
        anchored = self.anchors.get(event.anchor)
        if anchored is None:
            raise BadRequest(f"yaml: unknown anchor '{event.anchor}' referenced")
        self._charge(event, anchored.nodes, anchored.size)
        return _copied(anchored.value)

    def _charge(self, event: yaml.Event, nodes: int, size: int) -> None:
        self.nodes += nodes
        self.size += size
        if self.nodes > self.limits.nodes:
            raise TooLarge(f"yaml: the document has more than {self.limits.nodes} values")
        if self.size > self.limits.size:
            raise TooLarge(f"yaml: the document stands for more than {self.limits.size} bytes")


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


def _check_tag(event: yaml.CollectionStartEvent, name: str) -> None:
    if event.tag not in (None, "!", f"{_TAG}{name}"):
        raise BadRequest(f"yaml: tag {event.tag[:80]} is not supported")


def _scalar(event: yaml.ScalarEvent) -> Any:
    if event.tag is None or event.tag == "!":
        return _plain(event.value) if event.implicit[0] else event.value
    kind = event.tag.removeprefix(_TAG)
    if kind == "str":
        return event.value
    value = _plain(event.value)
    wanted = _TYPES.get(kind)
    if wanted is None:
        raise BadRequest(f"yaml: tag {event.tag[:80]} is not supported")
    if type(value) not in wanted:
        raise BadRequest(f"yaml: cannot decode {event.value[:80]!r} as a {event.tag}")
    return float(value) if kind == "float" else value


_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}


def _plain(text: str) -> Any:
    """What a word without quotes means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if found := _INT.fullmatch(text):
        return _int(found)
    if _FLOAT.fullmatch(text):
        return _finite(text)
    if _ENDLESS.fullmatch(text):
        raise BadRequest(f"yaml: json: unsupported value: {text}")
    return text


def _int(found: re.Match[str]) -> int | float | str:
    digits, base = next((part, base) for part, base in zip(found.groups()[1:], _BASES, strict=True) if part)
    plain = digits.replace("_", "")
    if not plain:
        return found[0]
    if len(plain) > 64:
        return _finite(found[0]) if base == 10 else found[0]
    number = int(found[1] + plain, base)
    return number if -(2**63) <= number < 2**64 else float(number)


def _finite(text: str) -> float:
    number = float(text.replace("_", "")) if len(text) < 1000 else float("inf")
    if number in (float("inf"), float("-inf")):
        raise BadRequest(f"yaml: number out of range: {text[:40]}")
    return number


def _key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise BadRequest("yaml: a key must be a text, a number or a flag")
