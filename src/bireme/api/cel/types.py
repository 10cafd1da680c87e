"""The types that the checker works with.

A struct's fields may refer to the struct itself, so structs are told apart by identity; all other types by what
they are made of. A type made from a schema also knows how large its values can get, for the cost estimate.
Left to others: types from schemas (`declarations.py`), checking (`checker.py`). Source: the CEL specification,
"Type checking".
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Type:
    """`name` is the word of the language; `parameters` are what a list, map, optional or type holds."""

    name: str
    parameters: "tuple[Type, ...]" = ()
    # The rest says nothing about what the type is.
    largest: int | None = field(default=None, compare=False)
    list_type: str = field(default="", compare=False)
    list_keys: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        match self.name:
            case "type" | "list" | "map" | "optional_type" if self.parameters:
                return f"{self.name}({', '.join(map(str, self.parameters))})"
            case "google.protobuf.Timestamp":
                return "timestamp"
            case "google.protobuf.Duration":
                return "duration"
        return self.name

    def sized(self, largest: int | None) -> "Type":
        """The same type, of values that are no larger."""
        return replace(self, largest=largest)


class Struct(Type):
    """Fields by the names that expressions use; `keys` has the names in the data where they differ."""

    __slots__ = ("_fields", "keys", "shown")
    _fields: Mapping[str, Type] | Callable[[], Mapping[str, Type]]
    keys: Mapping[str, str]
    shown: str

    def __init__(
        self,
        name: str,
        fields: Mapping[str, Type] | Callable[[], Mapping[str, Type]],
        *,
        keys: Mapping[str, str] | None = None,
        largest: int | None = None,
    ) -> None:
        super().__init__("object", (), largest)
        object.__setattr__(self, "shown", name)
        object.__setattr__(self, "_fields", fields)
        object.__setattr__(self, "keys", keys or {})

    @property
    def fields(self) -> Mapping[str, Type]:
        """The fields; worked out when first asked for."""
        fields = self._fields
        if callable(fields):
            fields = fields()
            object.__setattr__(self, "_fields", fields)
        return fields

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Struct) and self.shown == other.shown)

    def __hash__(self) -> int:
        return hash(self.shown)

    def __str__(self) -> str:
        return self.shown


BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES, NULL, DYN, ERROR = Type("string"), Type("bytes"), Type("null_type"), Type("dyn"), Type("!error!")
TIMESTAMP, DURATION = Type("google.protobuf.Timestamp"), Type("google.protobuf.Duration")

BY_NAME = {
    **{kind.name: kind for kind in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, NULL, DYN, TIMESTAMP, DURATION)},
    "timestamp": TIMESTAMP,
    "duration": DURATION,
}
_TOKEN = re.compile(r"[\w.]+|[<>,]")


def list_of(element: Type, largest: int | None = None) -> Type:
    """list(element)"""
    return Type("list", (element,), largest)


def map_of(key: Type, value: Type, largest: int | None = None) -> Type:
    """map(key, value)"""
    return Type("map", (key, value), largest)


def optional_of(value: Type) -> Type:
    """optional_type(value)"""
    return Type("optional_type", (value,))


def type_of(value: Type) -> Type:
    """The type of a type."""
    return Type("type", (value,))


def is_parameter(kind: Type) -> bool:
    """Whether this stands for a type that is found out by use; these have names of one capital, or with `%`."""
    return kind.name[0] == "%" or (len(kind.name) == 1 and kind.name.isupper())


def named(text: str) -> Type:
    """A type as it is written in declarations: `list<string>`, `map<K, V>`, `optional<T>`, `kubernetes.Quantity`."""
    tokens = _TOKEN.findall(text)
    return _read(tokens)


def _read(tokens: list[str]) -> Type:
    name = tokens.pop(0)
    parameters = []
    if tokens and tokens[0] == "<":
        while tokens.pop(0) != ">":
            parameters.append(_read(tokens))
    if name == "optional":
        name = "optional_type"
    return BY_NAME.get(name) or Type(name, tuple(parameters))
