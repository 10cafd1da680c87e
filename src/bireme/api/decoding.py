"""The slow way through `schema.py`: walks an object to say what is wrong, in the words of Go's JSON decoder.

Clients and their tests look for these words. Source: encoding/json `decode.go` as forked in sigs.k8s.io/json
(the path holds field names only; strict paths also have indexes), apimachinery's Time, Quantity, IntOrString.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec

from bireme.api.shape import Form, Node
from bireme.api.strict import QUANTITY, Time

N = TypeVar("N")
# Problems and unknown fields that are told of one object: a client sees fewer.
MOST_NOTED = 100
LONGEST_NOTED = 1 << 16

_QUANTITY = re.compile(QUANTITY)
_QUANTITY_PARTS = re.compile(r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")
_BOUNDS = {Form.INT32: 2**31, Form.INT64: 2**63, Form.INT_OR_STRING: 2**31}
_ZERO: dict[Form, Any] = {
    Form.STRING: "",
    Form.BYTES: "",
    Form.INT32: 0,
    Form.INT64: 0,
    Form.NUMBER: 0,
    Form.BOOLEAN: False,
}
# Values that can't be wrong, so that no path need be made for them.
_PLAIN = {Form.STRING: str, Form.BOOLEAN: bool}
# What Go reads first where it reads by hand, and names in the message.
_READ_AS = {Form.INT_OR_STRING: "int32", Form.TIME: "string"}


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that its field can't hold. `message` is what Go's decoder would say."""

    path: str
    message: str


class _Place(NamedTuple):
    """Where the walk is: steps from the innermost out, of which a text is made only when it is needed.

    Keys are the client's, so that a text for each of many values could be as long as the body.
    """

    above: "_Place | None" = None
    step: str | int = ""
    struct: str = ""
    is_field: bool = False

    def into(self, name: str, struct: str) -> "_Place":
        return _Place(self, name, struct, is_field=True)

    def key(self, name: str) -> "_Place":
        return _Place(self, name, self.struct)

    def item(self, index: int) -> "_Place":
        return _Place(self, index, self.struct)

    @property
    def path(self) -> str:
        """All steps: `spec.parts[0].name`."""
        steps = [f"[{place.step}]" if isinstance(place.step, int) else f".{place.step}" for place in self._line()]
        return "".join(steps).removeprefix(".")

    @property
    def names(self) -> str:
        """The names of fields alone."""
        return ".".join(str(place.step) for place in self._line() if place.is_field)

    def _line(self) -> "list[_Place]":
        line: list[_Place] = []
        place: _Place | None = self
        while place is not None and place.above is not None:
            line.append(place)
            place = place.above
        line.reverse()
        return line


@dataclass(slots=True)
class Walk:
    """One walk over one object. With `prune`, unknown fields and nulls are taken out on the way.

    What is wrong is told only of the first that are found.
    """

    prune: bool
    problems: list[Problem] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def over(self, node: Node, tree: Any) -> None:
        """Walk an object from its root."""
        self._visit(node, tree, _Place())

    def _visit(self, node: Node, value: Any, place: _Place) -> None:
        match node.form:
            case Form.OBJECT:
                self._object(node, value, place)
            case Form.MAP:
                self._map(node, value, place)
            case Form.LIST:
                self._list(node, value, place)
            case Form.ANY:
                return
            case _:
                fault = _scalar_fault(node, value)
                if fault == "type":
                    self._mismatch(node, value, place)
                elif fault:
                    note(self.problems, Problem(place.path, fault))

    def _object(self, node: Node, value: Any, place: _Place) -> None:
        if not isinstance(value, dict):
            return self._mismatch(node, value, place)
        struct = node.go_type.rpartition(".")[2]
        for key in list(value):
            known = node.fields.get(key)
            if known is None:
                if has_room(self.unknown):
                    self.unknown.append(place.key(key).path)
            elif (item := value[key]) is not None:
                if type(item) is not _PLAIN.get(known.node.form):
                    self._visit(known.node, item, place.into(key, struct))
                continue
            if self.prune:
                del value[key]
        return None

    def _map(self, node: Node, value: Any, place: _Place) -> None:
        if not isinstance(value, dict):
            return self._mismatch(node, value, place)
        assert node.items is not None
        for key, item in value.items():
            if item is None and node.items.form is not Form.ANY:
                if self.prune:
                    value[key] = _zero(node.items)
            elif type(item) is not _PLAIN.get(node.items.form):
                self._visit(node.items, item, place.key(key))
        return None

    def _list(self, node: Node, value: Any, place: _Place) -> None:
        if not isinstance(value, list):
            return self._mismatch(node, value, place)
        assert node.items is not None
        for index, item in enumerate(value):
            if item is None and node.items.form is not Form.ANY:
                if self.prune:
                    value[index] = _zero(node.items)
            elif type(item) is not _PLAIN.get(node.items.form):
                self._visit(node.items, item, place.item(index))
        return None

    def _mismatch(self, node: Node, value: Any, place: _Place) -> None:
        if not has_room(self.problems):
            return
        where = f"struct field {place.struct}.{place.names}" if place.names else "value"
        go_type = _READ_AS.get(node.form, node.go_type)
        what = f"json: cannot unmarshal {_named(node, value)} into Go {where} of type {go_type}"
        note(self.problems, Problem(place.path, what))


def note(known: list[N], found: N) -> None:
    """Add what was found, unless enough is known."""
    if has_room(known):
        known.append(found)


def has_room(known: Sequence[Any]) -> bool:
    """Whether more may be noted; paths can be as long as the body."""
    return len(known) < MOST_NOTED and (not known or len(getattr(known[-1], "path", known[-1])) < LONGEST_NOTED)


def _zero(node: Node) -> Any:
    """What Go makes of a null in a list or map."""
    if node.form is Form.LIST:
        return []
    return _ZERO.get(node.form, {} if node.form in (Form.OBJECT, Form.MAP) else "0")


def _named(node: Node, value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {_number(value)}" if node.form in _BOUNDS else "number"
    return _JSON_NAMES.get(type(value), "null")


_JSON_NAMES: dict[type, str] = {str: "string", list: "array", dict: "object"}


def _number(value: float) -> str:
    return msgspec.json.encode(value).decode()


def _scalar_fault(node: Node, value: Any) -> str:
    """What is wrong with a scalar: "type", a message of its own, or ""."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match node.form:
        case Form.STRING:
            return "" if isinstance(value, str) else "type"
        case Form.BOOLEAN:
            return "" if isinstance(value, bool) else "type"
        case Form.NUMBER:
            return "" if number else "type"
        case Form.INT32 | Form.INT64:
            fits = number and isinstance(value, int) and -_BOUNDS[node.form] <= value < _BOUNDS[node.form]
            return "" if fits else "type"
        case Form.INT_OR_STRING:
            bound = _BOUNDS[node.form]
            return "" if isinstance(value, str) or (type(value) is int and -bound <= value < bound) else "type"
        case Form.QUANTITY:
            return "" if number else quantity_fault(value)
        case Form.TIME:
            return _time_fault(node, value)
        case Form.BYTES:
            return _bytes_fault(value)
    return ""


def quantity_fault(value: Any) -> str:
    """What Go says of a text that is no quantity; "" if it is one."""
    if isinstance(value, str) and _QUANTITY.match(value):
        return ""
    parts = _QUANTITY_PARTS.match(value) if isinstance(value, str) else None
    if parts is None:
        return f"quantities must match the regular expression '{_QUANTITY_PARTS.pattern}'"
    number = parts[1].replace(".", "", 1)
    return "unable to parse numeric part of quantity" if "." in number else "unable to parse quantity's suffix"


def _time_fault(node: Node, value: Any) -> str:
    if not isinstance(value, str):
        return "type"
    try:
        msgspec.convert(value, Time)
    except msgspec.ValidationError:
        micro = ".000000" if node.go_type == "v1.MicroTime" else ""
        return f'parsing time "{value}" as "2006-01-02T15:04:05{micro}Z07:00": cannot parse "{value}" as "2006"'
    return ""


def _bytes_fault(value: Any) -> str:
    if not isinstance(value, str):
        return "type"
    try:
        msgspec.convert(value, bytes)
    except msgspec.ValidationError:
        valid = re.match(r"[A-Za-z0-9+/\r\n]*", value)
        return f"illegal base64 data at input byte {valid.end() if valid else 0}"
    return ""
