"""Which objects a list, a watch, a service or a controller means: selectors over labels and over fields.

Grammar and wording as in k8s.io/apimachinery `pkg/labels` and `pkg/fields`. What a field selector may name is
told by the kind (`Resource.selectable`).
"""

import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from bireme.api.errors import BadRequest
from bireme.api.kinds.meta import LabelSelector as LabelSelectorStruct

_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_WORD = re.compile(_NAME)
_TOKEN = re.compile(r"\s*(==|!=|=|!|<|>|\(|\)|,|[^\s=!<>(),]+)")
_MAX_TEXT = 64 << 10


@dataclass(frozen=True, slots=True)
class Requirement:
    """One claim about one label. `operator` is =, !=, in, notin, exists, !, > or <."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels bear it out."""
        value = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        try:
            number, bound = int(value), int(next(iter(self.values)))
        except ValueError:
            return False
        return number > bound if self.operator == ">" else number < bound

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        match self.operator:
            case "in" | "notin":
                return f"{self.key} {self.operator} ({values})"
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
        return f"{self.key}{self.operator}{values}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Claims that must all hold; none of them selects everything, `nothing` selects nothing."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @staticmethod
    def parse(text: str) -> "LabelSelector":
        """A selector from a query's text; raises BadRequest."""
        return _parse(text)

    @staticmethod
    def from_struct(selector: LabelSelectorStruct | None) -> "LabelSelector":
        """A selector from its structure; None selects nothing, an empty one everything. Raises BadRequest."""
        if selector is None:
            return NOTHING
        claims = [Requirement(key, "=", frozenset((value,))) for key, value in selector.match_labels.items()]
        for item in selector.match_expressions:
            operator = _OPERATORS.get(item.operator)
            if operator is None:
                raise BadRequest(f'"{item.operator}" is not a valid label selector operator')
            claims.append(_checked(item.key, operator, item.values))
        return LabelSelector(tuple(sorted(claims, key=lambda claim: claim.key)))

    @staticmethod
    def of(labels: Mapping[str, str]) -> "LabelSelector":
        """A selector of equal labels, as a Service has."""
        return LabelSelector(tuple(Requirement(key, "=", frozenset((labels[key],))) for key in sorted(labels)))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is meant."""
        return not self.nothing and all(claim.holds(labels) for claim in self.requirements)

    @property
    def everything(self) -> bool:
        """Whether it leaves nothing out."""
        return not self.nothing and not self.requirements

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


NOTHING = LabelSelector(nothing=True)
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


@functools.lru_cache(maxsize=1024)
def _parse(text: str) -> LabelSelector:
    if len(text) > _MAX_TEXT:
        raise BadRequest(f"unable to parse requirement: the selector is longer than {_MAX_TEXT} characters")
    tokens = _Tokens(text)
    claims: list[Requirement] = []
    while tokens.peek():
        claims.append(_requirement(tokens))
        if tokens.peek() and tokens.take() != ",":
            raise _unparsable(f"found '{tokens.last}', expected: ',' or 'end of string'")
        if tokens.last == "," and not tokens.peek():
            raise _unparsable("found '', expected: identifier after ','")
    return LabelSelector(tuple(sorted(claims, key=lambda claim: claim.key)))


class _Tokens:
    def __init__(self, text: str) -> None:
        self.items = _TOKEN.findall(text)
        self.place = 0
        self.last = ""

    def peek(self) -> str:
        """The next token, "" at the end."""
        return self.items[self.place] if self.place < len(self.items) else ""

    def take(self) -> str:
        """The next token, which is then behind us."""
        self.last = self.peek()
        self.place += 1
        return self.last


def _requirement(tokens: _Tokens) -> Requirement:
    key = tokens.take()
    if key == "!":
        return _checked(_identifier(tokens.take()), "!", ())
    _identifier(key)
    operator = tokens.peek()
    if operator in ("", ","):
        return _checked(key, "exists", ())
    tokens.take()
    if operator in ("in", "notin"):
        return _checked(key, operator, _values(tokens))
    if operator not in ("=", "==", "!=", "<", ">"):
        raise _unparsable(f"found '{operator}', expected: in, notin, =, ==, !=, <, >")
    value = "" if tokens.peek() in ("", ",") else tokens.take()
    if value and value in "()=!<>":
        raise _unparsable(f"found '{value}', expected: identifier")
    return _checked(key, "=" if operator == "==" else operator, (value,))


def _values(tokens: _Tokens) -> list[str]:
    if tokens.take() != "(":
        raise _unparsable(f"found '{tokens.last}', expected: '('")
    values = [""]
    while (token := tokens.take()) != ")":
        if token == ",":
            values.append("")
        elif token in ("", "(", "=", "==", "!=", "!", "<", ">") or values[-1]:
            raise _unparsable(f"found '{token}', expected: ',' or ')'")
        else:
            values[-1] = token
    return values


def _identifier(token: str) -> str:
    if token in ("", ",", "(", ")", "=", "==", "!=", "!", "<", ">"):
        raise _unparsable(f"found '{token}', expected: identifier")
    return token


def _checked(key: str, operator: str, values: Collection[str]) -> Requirement:
    if fault := label_key_fault(key):
        raise _unparsable(f'key: Invalid value: "{key}": {fault}')
    if operator in ("in", "notin") and not values:
        raise _unparsable("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
    if operator in ("exists", "!") and values:
        raise _unparsable("values: Invalid value: values set must be empty for exists and does not exist")
    for value in values:
        if operator in ("<", ">"):
            if not re.fullmatch(r"[+-]?[0-9]{1,18}", value, re.ASCII):
                raise _unparsable(
                    f"values[0]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
                )
        elif fault := label_value_fault(value):
            raise _unparsable(f'values[0][{key}]: Invalid value: "{value}": {fault}')
    return Requirement(key, operator, frozenset(values))


def _unparsable(what: str) -> BadRequest:
    return BadRequest(f"unable to parse requirement: {what}")


def label_key_fault(key: str) -> str | None:
    """What is wrong with a label's key, in Kubernetes' words; None if nothing is."""
    prefix, slash, name = key.rpartition("/")
    if slash and not prefix:
        return "prefix part must be non-empty"
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix)):
        return (
            "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
            "'-' or '.', and must start and end with an alphanumeric character"
        )
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    if not _WORD.fullmatch(name):
        return (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
            "an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )
    return None


def label_value_fault(value: str) -> str | None:
    """What is wrong with a label's value, in Kubernetes' words; None if nothing is."""
    if len(value.encode()) > 63:
        return "must be no more than 63 bytes"
    if value and not _WORD.fullmatch(value):
        return (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
            "must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
            "regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )
    return None


_OF_ALL = frozenset({"metadata.name", "metadata.namespace"})
_UNKNOWN = 'is not a known field selector: only "metadata.name", "metadata.namespace"'


@dataclass(frozen=True, slots=True)
class FieldClaim:
    """One field that must (or, with `equal` False, must not) have a value."""

    field: str
    value: str
    equal: bool = True


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Claims about fields that must all hold; none selects everything."""

    claims: tuple[FieldClaim, ...] = ()

    @staticmethod
    def parse(text: str, allowed: Iterable[str], *, builtin: bool = True) -> "FieldSelector":
        """A selector from a query's text, naming only allowed fields; raises BadRequest."""
        claims = [_claim(term) for term in _terms(text) if term]
        known = frozenset(allowed) if claims else frozenset()
        for claim in claims:
            if claim.field not in known:
                plain = builtin and known <= _OF_ALL
                raise BadRequest(
                    f'"{claim.field}" {_UNKNOWN}' if plain else f"field label not supported: {claim.field}"
                )
        return FieldSelector(tuple(claims))

    def matches(self, getter: Callable[[str], str]) -> bool:
        """Whether an object is meant, whose fields the getter gives as text ("" when unset)."""
        return all((getter(claim.field) == claim.value) is claim.equal for claim in self.claims)

    def exact(self, field: str) -> str | None:
        """The value that a field must have, if one is asked for."""
        return next((claim.value for claim in self.claims if claim.field == field and claim.equal), None)

    @property
    def everything(self) -> bool:
        """Whether it leaves nothing out."""
        return not self.claims

    def __str__(self) -> str:
        return ",".join(f"{c.field}{'=' if c.equal else '!='}{_escape(c.value)}" for c in self.claims)


def _terms(text: str) -> list[str]:
    if len(text) > _MAX_TEXT:
        raise BadRequest(f"invalid field selector: longer than {_MAX_TEXT} characters")
    return re.findall(r"(?:[^\\,]|\\.|\\$)+", text, re.DOTALL)


def _claim(term: str) -> FieldClaim:
    found = re.match(r"((?:[^\\=!]|\\.)*)(!=|==|=)(.*)", term, re.DOTALL)
    if found is None:
        raise BadRequest(f"invalid selector: '{term}'; can't understand '{term}'")
    field, operator, value = found.groups()
    return FieldClaim(field.strip(), _unescape(value.strip()), operator != "!=")


def _unescape(value: str) -> str:
    if re.search(r"(?<!\\)(?:\\\\)*(=|\\(?![\\,=]))", value):
        raise BadRequest(f"invalid field selector: unescaped character in value: {value}")
    return re.sub(r"\\([\\,=])", r"\1", value)


def _escape(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)
