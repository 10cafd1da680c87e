"""What the messages of Mesos v1 are made of: the table `messages.txt`, read once and looked up by name.

A value of a message is a plain dict of its set fields under the names of the table: enums by name, bytes as
`bytes`, nested messages as dicts, repeated fields as lists, maps as dicts. The JSON and protobuf forms are made
and read by `json_form.py` and `wire.py` from this table alone.
Source: Mesos 1.11 protocol definitions, restated in `messages.txt`.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

Message = dict[str, Any]


class Shared(Message):
    """A message that is part of many others and never changes: each of its forms is written once and kept."""

    __slots__ = ("json", "wire")

    def __init__(self, value: Message) -> None:
        super().__init__(value)
        self.json: Any = None
        self.wire: bytes | None = None


class SharedList(list[Message]):
    """The messages of a repeated field, as `Shared` is one; `Shared` themselves."""

    __slots__ = ("json",)

    def __init__(self, values: Iterable[Message]) -> None:
        super().__init__(map(Shared, values))
        self.json: Any = None


SCALARS = frozenset(("double", "bool", "string", "bytes", "int32", "int64", "uint32", "uint64"))


class Unknown(KeyError):
    """No such message or enum in the table."""


@dataclass(frozen=True, slots=True)
class EnumType:
    """Names and numbers of an enum."""

    name: str
    numbers: Mapping[str, int]
    names: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `type` is a scalar's name, else the full name of a message or enum."""

    name: str
    number: int
    type: str
    repeated: bool = False
    map: bool = False
    required: bool = False
    deprecated: bool = False
    default: Any = None

    @property
    def is_scalar(self) -> bool:
        return self.type in SCALARS


@dataclass(frozen=True, slots=True)
class MessageType:
    """A message: its fields by name and by number; `defaults` are those that JSON shows though unset.

    `plain` are single fields whose values are JSON as they stand.
    """

    name: str
    fields: Mapping[str, Field]
    numbered: Mapping[int, Field]
    defaults: tuple[Field, ...]
    plain: frozenset[str]


@functools.cache
def find(name: str) -> MessageType | EnumType:
    """The message or enum of a full name, as `mesos.v1.scheduler.Call`. Raises Unknown."""
    line = _lines().get(name)
    if line is None:
        raise Unknown(name)
    is_enum, body = line
    return _enum(name, body) if is_enum else _message(name, body)


@functools.cache
def message(name: str) -> MessageType:
    """The message of a full name. Raises Unknown."""
    found = find(name)
    if not isinstance(found, MessageType):
        raise Unknown(name)
    return found


def enum(name: str) -> EnumType:
    """The enum of a full name. Raises Unknown."""
    found = find(name)
    if not isinstance(found, EnumType):
        raise Unknown(name)
    return found


def names() -> list[str]:
    """The full names of all messages and enums."""
    return list(_lines())


def missing(value: Message, of: MessageType, path: str = "") -> list[str]:
    """The required fields that are not set, as dotted paths."""
    lacking = [f"{path}{field.name}" for field in of.fields.values() if field.required and field.name not in value]
    for name, part in value.items():
        field = of.fields[name]
        if field.is_scalar or isinstance(inner := find(field.type), EnumType):
            continue
        for key, item in _items(field, part):
            lacking += missing(item, inner, f"{path}{name}{key}.")
    return lacking


def _items(field: Field, part: Any) -> list[tuple[str, Message]]:
    if field.map:
        return [(f"[{key}]", item) for key, item in part.items()]
    if field.repeated:
        return [(f"[{place}]", item) for place, item in enumerate(part)]
    return [("", part)]


@functools.cache
def _lines() -> dict[str, tuple[bool, str]]:
    text = resources.files("bireme.mesos").joinpath("messages.txt").read_text("utf-8")
    package, lines = "", {}
    for line in text.splitlines():
        if line.startswith("## "):
            package = line[3:].strip()
        elif line and not line.startswith("#"):
            name, _, body = line.partition(":")
            is_enum = name.startswith("enum ")
            lines[f"{package}.{name.removeprefix('enum ')}"] = (is_enum, body.strip())
    return lines


def _enum(name: str, body: str) -> EnumType:
    pairs = [part.strip().split("=") for part in body.split(";")]
    numbers = {value: int(number) for value, number in pairs}
    return EnumType(name, numbers, {number: value for value, number in numbers.items()})


def _message(name: str, body: str) -> MessageType:
    fields = {field.name: field for field in (_field(name, part.strip()) for part in body.split(";") if part.strip())}
    shown = tuple(field for field in fields.values() if field.default is not None and not field.deprecated)
    plain = frozenset(field.name for field in fields.values() if _is_plain(field))
    return MessageType(name, fields, {field.number: field for field in fields.values()}, shown, plain)


def _is_plain(field: Field) -> bool:
    single = not field.repeated and not field.map
    return single and (field.type in SCALARS - {"bytes", "double"} or _lines().get(field.type, (False, ""))[0])


def _field(owner: str, text: str) -> Field:
    """`roles=12 []string`, `role=6 string default "*" deprecated`, `value=1 string!`."""
    head, _, rest = text.partition(" ")
    name, _, number = head.partition("=")
    words = rest.split()
    kind = words[0]
    required, kind = kind.endswith("!"), kind.rstrip("!")
    repeated, is_map = kind.startswith("[]"), kind.startswith("map:")
    kind = _resolve(owner, kind.removeprefix("[]").removeprefix("map:"))
    given = words[words.index("default") + 1] if "default" in words else None
    default = None if given is None else _default(kind, given)
    return Field(name, int(number), kind, repeated, is_map, required, "deprecated" in words, default)


def _default(kind: str, text: str) -> Any:
    match kind:
        case "double":
            return float(text)
        case "bool":
            return text == "true"
        case "string":
            return text.strip('"')
        case "int32" | "int64" | "uint32" | "uint64":
            return int(text)
    return text


def _resolve(owner: str, kind: str) -> str:
    """The full name of a type as seen from inside `owner`: innermost first."""
    if kind in SCALARS:
        return kind
    scope = owner
    while scope:
        if f"{scope}.{kind}" in _lines():
            return f"{scope}.{kind}"
        scope = scope.rpartition(".")[0]
    if kind in _lines():
        return kind
    raise Unknown(f"{kind} in {owner}")
