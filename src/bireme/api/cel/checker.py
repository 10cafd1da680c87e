"""Whether the parts of an expression fit together, and what type each has.

Types of literals without elements are found out by use: they hold a parameter that is bound when something is
assigned to it. What has type dyn fits everywhere. Left to others: the parts (`parser.py`), the functions
(`library/`). Source: the CEL specification, "Gradual type checking"; the words of cel-go's checker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from bireme.api.cel.ast import (
    Call,
    Comprehension,
    Constant,
    Expr,
    Ident,
    ListOf,
    MapOf,
    Parsed,
    Select,
    StructOf,
    dotted,
)
from bireme.api.cel.errors import CelError
from bireme.api.cel.functions import Functions, Overload
from bireme.api.cel.types import (
    BOOL,
    BY_NAME,
    DYN,
    ERROR,
    INT,
    NULL,
    STRING,
    Struct,
    Type,
    is_parameter,
    list_of,
    map_of,
    optional_of,
    type_of,
)
from bireme.api.cel.values import kind_of

_LOOSE = ("dyn", "!error!")
_NULLABLE = ("object", "google.protobuf.Timestamp", "google.protobuf.Duration", "optional_type")
_TAKES_MIXED = ("format", "math.@max", "math.@min")
_OPTIONAL_SELECT = "_?._"
_TYPES = {
    **{name: type_of(kind) for name, kind in BY_NAME.items() if name not in ("timestamp", "duration")},
    "list": type_of(list_of(DYN)),
    "map": type_of(map_of(DYN, DYN)),
    "type": type_of(DYN),
    "optional_type": type_of(optional_of(DYN)),
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A checked expression: types by id, the overloads that calls may mean, names of variables and of types."""

    parsed: Parsed
    types: Mapping[int, Type]
    overloads: Mapping[int, tuple[Overload, ...]]
    names: Mapping[int, str]

    @property
    def result(self) -> Type:
        """The type of the whole."""
        return self.types[self.parsed.expr.id]


def check(
    parsed: Parsed, variables: Mapping[str, Type], functions: Functions, structs: Mapping[str, Struct]
) -> Checked:
    """Find the types of all parts. Raises CelError that tells all that is wrong."""
    checker = _Checker(parsed, variables, functions, structs)
    checker.infer(parsed.expr)
    if checker.faults:
        raise CelError("\n".join(checker.faults))
    types = {id: checker.settled(kind) for id, kind in checker.types.items()}
    return Checked(parsed, types, checker.overloads, checker.names)


class _Checker:
    def __init__(
        self, parsed: Parsed, variables: Mapping[str, Type], functions: Functions, structs: Mapping[str, Struct]
    ) -> None:
        self._parsed = parsed
        self._variables = variables
        self._functions = functions
        self._structs = structs
        self._locals: list[tuple[str, Type]] = []
        self._bound: dict[str, Type] = {}
        self._fresh = count()
        self.types: dict[int, Type] = {}
        self.overloads: dict[int, tuple[Overload, ...]] = {}
        self.names: dict[int, str] = {}
        self.faults: list[str] = []

    def fault(self, id: int, message: str) -> Type:
        self.faults.append(self._parsed.fault(id, message))
        return ERROR

    def infer(self, expr: Expr) -> Type:
        """The type of a part, also noted."""
        match expr:
            case Constant():
                kind = BY_NAME[kind_of(expr.value)]
            case Ident():
                kind = self._ident(expr)
            case Select():
                kind = self._select(expr)
            case Call():
                kind = self._call(expr)
            case ListOf():
                kind = self._list(expr)
            case MapOf():
                kind = self._map(expr)
            case StructOf():
                kind = self._struct(expr)
            case Comprehension():
                kind = self._comprehension(expr)
        self.types[expr.id] = kind
        return kind

    # Names

    def _named(self, id: int, name: str) -> Type | None:
        kind = self._variables.get(name) or _TYPES.get(name)
        if kind is not None:
            self.names[id] = name
        return kind

    def _local(self, name: str) -> Type | None:
        return next((kind for known, kind in reversed(self._locals) if known == name), None)

    def _ident(self, expr: Ident) -> Type:
        kind = self._local(expr.name) or self._named(expr.id, expr.name.removeprefix("."))
        return kind or self.fault(expr.id, f"undeclared reference to '{expr.name}' (in container '')")

    def _select(self, expr: Select) -> Type:
        name = dotted(expr)
        if name is not None and self._local(name.split(".")[0]) is None:
            kind = self._named(expr.id, name)
            if kind is not None:
                return kind
        operand = self.resolved(self.infer(expr.operand))
        kind = self._field(expr.id, operand, expr.field)
        return BOOL if expr.test else kind

    def _field(self, id: int, operand: Type, field: str) -> Type:
        if isinstance(operand, Struct):
            kind = operand.fields.get(field)
            return kind if kind is not None else self.fault(id, f"undefined field '{field}'")
        if operand.name in _LOOSE or is_parameter(operand):
            return DYN
        if operand.name == "map":
            return operand.parameters[1]
        if operand.name == "optional_type":
            inner = self._field(id, self.resolved(operand.parameters[0]), field)
            return inner if inner.name == "optional_type" else optional_of(inner)
        return self.fault(id, f"type '{self.settled(operand)}' does not support field selection")

    # Calls

    def _call(self, expr: Call) -> Type:
        if expr.function == _OPTIONAL_SELECT and isinstance(expr.args[1], Constant):
            self.types[expr.args[1].id] = STRING
            kind = self._field(expr.id, self.resolved(self.infer(expr.args[0])), str(expr.args[1].value))
            kind = self.resolved(kind)
            return kind if kind.name == "optional_type" else optional_of(kind)
        space = dotted(expr.target)
        if space is not None and self._local(space.split(".")[0]) is None:
            function = f"{space}.{expr.function}".removeprefix(".")
            if function in self._functions:
                return self._resolve(expr, function, None, self._arguments(expr, function))
        target = None if expr.target is None else self.infer(expr.target)
        kinds = self._arguments(expr, expr.function)
        if expr.function not in self._functions:
            return self.fault(expr.id, f"undeclared reference to '{expr.function}' (in container '')")
        return self._resolve(expr, expr.function, target, kinds)

    def _arguments(self, expr: Call, function: str) -> list[Type]:
        if function in _TAKES_MIXED and len(expr.args) == 1 and isinstance(expr.args[0], ListOf):
            return [self._mixed(expr.args[0])]
        return [self.infer(each) for each in expr.args]

    def _resolve(self, expr: Call, function: str, target: Type | None, kinds: list[Type]) -> Type:
        given = kinds if target is None else [target, *kinds]
        found: list[Overload] = []
        result: Type | None = None
        for overload in self._functions[function]:
            if overload.member != (target is not None) or len(overload.parameters) != len(given):
                continue
            kind = self._fits(overload, given)
            if kind is not None:
                found.append(overload)
                result = kind if result is None or self.settled(result) == self.settled(kind) else DYN
        if result is None:
            return self._no_overload(expr, function, target, kinds)
        self.overloads[expr.id] = tuple(found)
        self.names[expr.id] = function
        return result

    def _no_overload(self, expr: Call, function: str, target: Type | None, kinds: list[Type]) -> Type:
        shown = ", ".join(str(self.settled(kind)) for kind in kinds)
        on = "" if target is None else f"{self.settled(target)}."
        if any(self.resolved(kind) is ERROR for kind in [*kinds, *([target] if target else [])]):
            return ERROR  # told already
        return self.fault(expr.id, f"found no matching overload for '{function}' applied to '{on}({shown})'")

    def _fits(self, overload: Overload, given: list[Type]) -> Type | None:
        before = dict(self._bound)
        parameters, result = overload.parameters, overload.result
        if overload.generic:
            mark = f"%{next(self._fresh)}"
            parameters, result = tuple(_renamed(each, mark) for each in parameters), _renamed(result, mark)
        if all(self.assignable(wanted, kind) for wanted, kind in zip(parameters, given, strict=True)):
            # What comes out of dyn is dyn, and not what its first use would make of it.
            loose = any(self.resolved(kind).name in _LOOSE for kind in given)
            return self.settled(result) if loose else self.substituted(result)
        self._bound = before
        return None

    # Literals

    def _parameter(self) -> Type:
        return Type(f"%{next(self._fresh)}")

    def _list(self, expr: ListOf) -> Type:
        joined: Type | None = None
        for place, element in enumerate(expr.elements):
            kind = self.infer(element)
            if place in expr.optional:
                kind = self._unwrapped(element.id, kind)
            joined = self._joined(element.id, joined, kind)
        return list_of(joined or self._parameter())

    def _mixed(self, expr: ListOf) -> Type:
        """A list of what is to be formatted or compared, which may hold values of several types."""
        kinds = [self.infer(element) for element in expr.elements]
        same = all(kind == kinds[0] for kind in kinds)
        self.types[expr.id] = list_of(kinds[0] if kinds and same else DYN)
        return self.types[expr.id]

    def _map(self, expr: MapOf) -> Type:
        keys: Type | None = None
        values: Type | None = None
        for entry in expr.entries:
            assert not isinstance(entry.key, str)
            keys = self._joined(entry.key.id, keys, self.infer(entry.key))
            kind = self.infer(entry.value)
            if entry.optional:
                kind = self._unwrapped(entry.value.id, kind)
            values = self._joined(entry.value.id, values, kind)
        return map_of(keys or self._parameter(), values or self._parameter())

    def _joined(self, id: int, joined: Type | None, kind: Type) -> Type:
        if joined is None or self.assignable(joined, kind):
            return joined or kind
        if self.assignable(kind, joined):
            return kind
        message = f"expected type '{self.settled(joined)}' but found '{self.settled(kind)}'"
        return self.fault(id, message)

    def _unwrapped(self, id: int, kind: Type) -> Type:
        kind = self.resolved(kind)
        if kind.name == "optional_type":
            return kind.parameters[0]
        if kind.name in _LOOSE:
            return DYN
        return self.fault(id, f"expected type 'optional_type' but found '{self.settled(kind)}'")

    def _struct(self, expr: StructOf) -> Type:
        struct = self._structs.get(expr.name)
        for entry in expr.entries:
            kind = self.infer(entry.value)
            if struct is None:
                continue
            name = str(entry.key)
            wanted = struct.fields.get(name)
            if wanted is None:
                self.fault(entry.id, f"undefined field '{name}'")
                continue
            if entry.optional:
                kind = self._unwrapped(entry.value.id, kind)
            if not self.assignable(wanted, kind):
                shown = f"'{self.settled(wanted)}' but provided type is '{self.settled(kind)}'"
                self.fault(entry.id, f"expected type of field '{name}' is {shown}")
        return struct or self.fault(expr.id, f"undeclared reference to '{expr.name}' (in container '')")

    def _comprehension(self, expr: Comprehension) -> Type:
        span = self.resolved(self.infer(expr.range))
        first, second = self._elements(expr, span)
        start = self.infer(expr.start)
        self._locals.append((expr.accumulator, start))
        depth = len(self._locals)
        if expr.second:
            self._locals += [(expr.variable, first), (expr.second, second)]
        else:
            self._locals.append((expr.variable, second if span.name == "list" else first))
        self._expect(expr.condition, BOOL)
        step = self.infer(expr.step)
        if not self.assignable(start, step):
            message = f"expected type '{self.settled(start)}' but found '{self.settled(step)}'"
            self.fault(expr.step.id, message)
        del self._locals[depth:]
        result = self.infer(expr.result)
        self._locals.pop()
        return self.substituted(result)

    def _elements(self, expr: Comprehension, span: Type) -> tuple[Type, Type]:
        if span.name == "list":
            return INT, span.parameters[0]
        if span.name == "map":
            return span.parameters[0], span.parameters[1]
        if span.name not in _LOOSE and not is_parameter(span):
            shown = self.settled(span)
            text = f"expression of type '{shown}' cannot be range of a comprehension (must be list, map, or dynamic)"
            self.fault(expr.range.id, text)
        return DYN, DYN

    def _expect(self, expr: Expr, wanted: Type) -> None:
        kind = self.infer(expr)
        if not self.assignable(wanted, kind):
            self.fault(expr.id, f"expected type '{wanted}' but found '{self.settled(kind)}'")

    # Assigning

    def resolved(self, kind: Type) -> Type:
        """What a parameter is bound to, if anything; other types as they are."""
        while is_parameter(kind) and kind.name in self._bound:
            kind = self._bound[kind.name]
        return kind

    def substituted(self, kind: Type) -> Type:
        """A type with all its parameters replaced by what they are bound to."""
        kind = self.resolved(kind)
        if not kind.parameters:
            return kind
        return _with(kind, tuple(self.substituted(each) for each in kind.parameters))

    def settled(self, kind: Type) -> Type:
        """As `substituted`, and what nobody bound is dyn."""
        kind = self.resolved(kind)
        if is_parameter(kind):
            return DYN
        if not kind.parameters:
            return kind
        return _with(kind, tuple(self.settled(each) for each in kind.parameters))

    def assignable(self, wanted: Type, kind: Type) -> bool:
        """Whether a value of type `kind` fits where `wanted` is asked for; binds parameters."""
        if is_parameter(wanted):
            return self._bind(wanted, kind)
        kind = self.resolved(kind)
        if is_parameter(kind):
            self._bound[kind.name] = wanted
            return True
        if wanted.name in _LOOSE or kind.name in _LOOSE:
            return True
        if kind is NULL or kind.name == "null_type":
            return wanted.name == "null_type" or wanted.name in _NULLABLE or "kubernetes." in wanted.name
        if isinstance(wanted, Struct) or isinstance(kind, Struct):
            return wanted == kind
        if wanted.name != kind.name or len(wanted.parameters) != len(kind.parameters):
            return False
        return all(map(self.assignable, wanted.parameters, kind.parameters))

    def _bind(self, parameter: Type, kind: Type) -> bool:
        known = self.resolved(parameter)
        kind = self.resolved(kind)
        if is_parameter(known):
            if known.name != kind.name:
                self._bound[known.name] = kind
            return True
        if kind.name in _LOOSE or self.assignable(known, kind):
            return True
        if known.name == "null_type" and self.assignable(kind, known):
            self._bound[parameter.name] = kind
            return True
        return False


def _renamed(kind: Type, mark: str) -> Type:
    if is_parameter(kind):
        return Type(mark + kind.name)
    if not kind.parameters:
        return kind
    return _with(kind, tuple(_renamed(each, mark) for each in kind.parameters))


def _with(kind: Type, parameters: tuple[Type, ...]) -> Type:
    return Type(kind.name, parameters, kind.largest, kind.list_type, kind.list_keys)
