"""Whether the rules in a schema may stand there: they compile, are well said, and can't cost too much.

A rule's cost is what one evaluation may cost at most, times how often its place can occur in an object; it is
bounded for each rule and for a whole schema. Source: the documentation of custom resources in Kubernetes,
"Resource use by validation functions".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bireme.api.cel.declarations import LARGEST_REQUEST, least_size, type_from_schema
from bireme.api.cel.errors import CelError
from bireme.api.cel.estimate import MOST
from bireme.api.cel.program import Program, compile
from bireme.api.cel.rules import Schema, rule_environment, uses_old
from bireme.api.cel.types import Type
from bireme.api.validation.field import Problems

PER_EXPRESSION = 10_000_000
PER_SCHEMA = 100_000_000
# Each takes some half a millisecond to compile, when the definition is written and when it is first used.
MOST_RULES = 1000
LONGEST_RULE_MESSAGE = 2048

_KEYWORD = "x-kubernetes-validations"
_REASONS = ("FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate")
_WORST_SHOWN = 4


@dataclass(slots=True)
class _Total:
    rules: int = 0
    cost: int = 0
    worst: list[tuple[int, str]] = field(default_factory=list)

    def add(self, cost: int, path: str) -> None:
        self.cost = min(MOST, self.cost + cost)
        if cost > PER_SCHEMA // 100:
            self.worst = sorted([*self.worst, (cost, path)], reverse=True)[:_WORST_SHOWN]


@dataclass(frozen=True, slots=True)
class _At:
    """A place in a schema: how often it can occur (None: no bound), and what makes old values unknown."""

    path: str
    often: int | None
    uncorrelated: str
    root: bool


def check_rules(problems: Problems, schema: Schema, path: str) -> None:
    """Add what is wrong with the rules of a schema; `path` is where that stands in its definition."""
    total = _Total()
    _Checker(problems, total).over(schema, schema, _At(path, 1, "", root=True))
    if total.rules > MOST_RULES:
        problems.too_many(path, total.rules, MOST_RULES)
    if total.cost > PER_SCHEMA:
        for _, place in total.worst:
            text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            problems.forbidden(place, text)
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        problems.forbidden(path, _over_budget(name, total.cost, PER_SCHEMA))


def _over_budget(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    advice = "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and "
    return f"{name} exceeds budget by factor of {shown} ({advice}strings are declared)"


class _Checker:
    def __init__(self, problems: Problems, total: _Total) -> None:
        self._problems = problems
        self._total = total

    def over(self, schema: Schema, spine: Schema, at: _At) -> None:
        """Look at the rules of a schema and of all below; `spine` has the types where `schema` is in an allOf."""
        rules = schema.get(_KEYWORD)
        if rules:
            kind = type_from_schema(spine, "object", root=at.root)
            self._total.rules += len(rules)
            for index, said in enumerate(rules if self._total.rules <= MOST_RULES else ()):
                self._rule(said, kind, spine, at, f"{at.path}.{_KEYWORD}[{index}]")
        for key, said in (schema.get("properties") or {}).items():
            inside = (spine.get("properties") or {}).get(key)
            if inside is not None:
                self.over(said, inside, _inside(at, f"{at.path}.properties[{key}]", spine, inside, at.often))
        for keyword, bound in (("items", "maxItems"), ("additionalProperties", "maxProperties")):
            said, inside = schema.get(keyword), spine.get(keyword)
            if isinstance(said, Mapping) and isinstance(inside, Mapping):
                often = _times(at.often, spine.get(bound))
                self.over(said, inside, _inside(at, f"{at.path}.{keyword}", spine, inside, often))
        for index, said in enumerate(schema.get("allOf") or ()):
            self.over(said, spine, _At(f"{at.path}.allOf[{index}]", at.often, at.uncorrelated, at.root))

    def _rule(self, said: Mapping[str, Any], kind: Type | None, spine: Schema, at: _At, path: str) -> None:
        _check_words(self._problems, said, spine, path)
        if not (said.get("rule") or "").strip():
            self._problems.required(f"{path}.rule", "rule is not specified")
            return
        if kind is None:
            text = "must be used where the schema has a type"
            self._problems.invalid(f"{path}.rule", said, f"compilation failed: {text}")
            return
        optional = bool(said.get("optionalOldSelf"))
        program = self._compiled(said, "rule", kind, optional=optional, path=path)
        if program is not None:
            self._costs(program, "rule", spine, at, f"{path}.rule")
            self._check_old(program, said, at, path, optional=optional)
        if said.get("messageExpression"):
            program = self._compiled(said, "messageExpression", kind, optional=False, path=path)
            if program is not None:
                self._costs(program, "messageExpression", spine, at, f"{path}.messageExpression")

    def _compiled(
        self, said: Mapping[str, Any], field: str, kind: Type, *, optional: bool, path: str
    ) -> Program | None:
        prefix = "" if field == "rule" else "messageExpression "
        wanted = "bool" if field == "rule" else "string"
        try:
            program = compile(said[field], rule_environment(kind, optional_old=optional))
        except CelError as error:
            self._problems.invalid(f"{path}.{field}", said, f"{prefix}compilation failed: {error}")
            return None
        if program.result.name not in (wanted, "dyn"):
            name = "cel expression" if field == "rule" else field
            self._problems.invalid(f"{path}.{field}", said, f"{name} must evaluate to a {wanted}")
            return None
        return program

    def _costs(self, program: Program, field: str, spine: Schema, at: _At, path: str) -> None:
        often = LARGEST_REQUEST // (least_size(spine) + 1) if at.often is None else at.often
        cost = min(MOST, program.cost.high * often)
        if cost > PER_EXPRESSION:
            self._problems.forbidden(path, _over_budget(f"estimated {field} cost", cost, PER_EXPRESSION))
        self._total.add(cost, path)

    def _check_old(self, program: Program, said: Mapping[str, Any], at: _At, path: str, *, optional: bool) -> None:
        if not uses_old(program):
            if optional:
                text = "may not be set if oldSelf is not used in rule"
                self._problems.invalid(f"{path}.optionalOldSelf", optional, text)
        elif at.uncorrelated:
            text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {at.uncorrelated}"
            self._problems.invalid(f"{path}.rule", said["rule"], text)


def _inside(at: _At, path: str, spine: Schema, inside: Schema, often: int | None) -> _At:
    uncorrelated = at.uncorrelated
    if not uncorrelated:
        is_list = spine.get("type") == "array"
        atomic_list = is_list and spine.get("x-kubernetes-list-type") != "map"
        if atomic_list or spine.get("x-kubernetes-map-type") == "atomic":
            uncorrelated = at.path
    return _At(path, often, uncorrelated, bool(inside.get("x-kubernetes-embedded-resource")))


def _times(often: int | None, bound: Any) -> int | None:
    return None if often is None or bound is None else min(MOST, often * int(bound))


def _check_words(problems: Problems, said: Mapping[str, Any], spine: Schema, path: str) -> None:
    message = said.get("message")
    if message is not None:
        if not message.strip():
            problems.invalid(f"{path}.message", message, "message must be non-empty if specified")
        elif "\n" in message.strip():
            problems.invalid(f"{path}.message", message, "message must not contain line breaks")
        elif len(message) > LONGEST_RULE_MESSAGE:
            text = f"message must have a maximum length of {LONGEST_RULE_MESSAGE} characters"
            problems.invalid(f"{path}.message", message[:10] + "...", text)
    elif "\n" in (said.get("rule") or "").strip() and not said.get("messageExpression"):
        problems.required(f"{path}.message", "message must be specified if rule contains line breaks")
    expression = said.get("messageExpression")
    if expression is not None and not expression.strip():
        problems.required(f"{path}.messageExpression", "must be non-empty if specified")
    reason = said.get("reason")
    if reason is not None and reason not in _REASONS:
        problems.unsupported(f"{path}.reason", reason, _REASONS)
    field_path = said.get("fieldPath")
    if field_path is not None and not _leads_somewhere(field_path, spine):
        problems.invalid(f"{path}.fieldPath", field_path, "fieldPath must be a valid path")


def _leads_somewhere(field_path: str, schema: Schema) -> bool:
    """Whether a path of `.name` and `['name']` steps leads to a field of the schema."""
    rest, node = field_path, schema
    while rest:
        if rest.startswith("['"):
            name, closed, rest = rest[2:].partition("']")
            if not closed:
                return False
        elif rest.startswith("."):
            end = min((place for place in (rest.find(".", 1), rest.find("[", 1)) if place > 0), default=len(rest))
            name, rest = rest[1:end], rest[end:]
        else:
            return False
        properties, free = node.get("properties"), node.get("additionalProperties")
        if properties:
            if name not in properties:
                return False
            node = properties[name]
        elif isinstance(free, Mapping):
            node = free
        else:
            return False
    return node is not schema
