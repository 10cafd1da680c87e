"""The rules in a structural schema (`x-kubernetes-validations`), held against objects.

`compile_rules` is called once for a schema; what it gives follows the schema's shape, but only where rules are.
`check` walks an object with it. `self` is the value at the rule's place and `oldSelf` what stood there before,
where the two can be told to be the same: fields of structs, keys of maps, and elements of lists of type map.
Left to others: refusing bad rules when a schema is written (`rule_limits.py`), the rest of a schema.

Source: the documentation of custom resources in Kubernetes, "Validation rules" and "Validation ratcheting".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bireme.api.cel.declarations import type_from_schema
from bireme.api.cel.environment import Environment
from bireme.api.cel.errors import CelError, CostExceeded, TooLong
from bireme.api.cel.program import PER_CALL, QUICK, Program, compile
from bireme.api.cel.types import Type, optional_of
from bireme.api.cel.values import NONE, Optional, equal
from bireme.api.errors import Cause
from bireme.api.validation.field import MOST_FAULTS, Enough, Problems, and_more

PER_OBJECT = 10_000_000
LONGEST_MESSAGE = 5120

_KEYWORD = "x-kubernetes-validations"
_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"

Schema = Mapping[str, Any]
# Where a value stands, from the innermost step out; None is the whole object.
Place = tuple[Any, str] | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a schema, compiled."""

    said: Mapping[str, Any]
    program: Program
    message: Program | None
    uses_old: bool
    optional_old: bool

    @property
    def shown(self) -> str:
        """What stands for the rule in messages."""
        text: str = self.said.get("message") or self.said.get("rule") or ""
        return text.strip()


@dataclass(slots=True)
class Rules:
    """The rules at one place of a schema, and those below it."""

    schema: Schema
    rules: list[Rule] = field(default_factory=list)
    properties: "dict[str, Rules]" = field(default_factory=dict)
    values: "Rules | None" = None
    items: "Rules | None" = None
    all_of: "list[Rules]" = field(default_factory=list)

    def check(self, new: Any, old: Any = None, *, quick: bool = False) -> "Verdict":
        """What the object breaks; `old` is the object that it replaces. TooLong where `quick` does not do."""
        walk = _Walk(QUICK if quick else PER_OBJECT, quick=quick)
        try:
            walk.over(self, new, old, None, _Correlation(new, old, None))
        except Enough:
            return Verdict(and_more(walk.problems), walk.tolerated)
        return Verdict(walk.problems, walk.tolerated)

    @property
    def empty(self) -> bool:
        """Whether there is no rule here or below."""
        return not (self.rules or self.properties or self.values or self.items or self.all_of)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`problems` refuse the object; `tolerated` are faults of values that an update left as they were."""

    problems: list[Cause]
    tolerated: list[Cause]


def compile_rules(schema: Schema, *, root: bool = True) -> Rules | None:
    """The rules of a schema, or None if it has none. Raises CelError for a rule that doesn't compile."""
    return _compiled(schema, schema, "object", root=root) if _has_rules(schema) else None


def _has_rules(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        return _KEYWORD in schema or any(_has_rules(value) for value in schema.values())
    return isinstance(schema, list) and any(_has_rules(value) for value in schema)


def _compiled(schema: Schema, spine: Schema, name: str, *, root: bool) -> Rules | None:
    """`schema` has the rules and `spine` the types; they differ inside of allOf."""
    kind = type_from_schema(spine, name, root=root)
    if kind is None:
        return None
    rules = Rules(spine)
    rules.rules = [compile_rule(said, kind) for said in schema.get(_KEYWORD) or () if said.get("rule")]
    for key, said in (schema.get("properties") or {}).items():
        inside = (spine.get("properties") or {}).get(key)
        if inside is not None and (found := _below(said, inside, f"{name}.{key}")):
            rules.properties[key] = found
    for keyword in ("items", "additionalProperties"):
        said, inside = schema.get(keyword), spine.get(keyword)
        if isinstance(said, Mapping) and isinstance(inside, Mapping):
            found = _below(said, inside, f"{name}.@{keyword}")
            rules.items, rules.values = (found, rules.values) if keyword == "items" else (rules.items, found)
    for said in schema.get("allOf") or ():
        if _has_rules(said) and (found := _compiled(said, spine, name, root=root)):
            rules.all_of.append(found)
    return None if rules.empty else rules


def _below(schema: Schema, spine: Schema, name: str) -> Rules | None:
    return _compiled(schema, spine, name, root=bool(spine.get("x-kubernetes-embedded-resource")))


def rule_environment(kind: Type, *, optional_old: bool) -> Environment:
    """What a rule at a value of that type may speak of."""
    return Environment({"self": kind, "oldSelf": optional_of(kind) if optional_old else kind})


def compile_rule(said: Mapping[str, Any], kind: Type) -> Rule:
    """A rule for values of that type. Raises CelError."""
    optional_old = bool(said.get("optionalOldSelf"))
    program = compile(said["rule"], rule_environment(kind, optional_old=optional_old))
    message = None
    if said.get("messageExpression"):
        message = compile(said["messageExpression"], rule_environment(kind, optional_old=False))
    return Rule(said, program, message, uses_old(program), optional_old)


def uses_old(program: Program) -> bool:
    """Whether a rule looks at what was."""
    return "oldSelf" in program.checked.names.values()


class _Correlation:
    """Which old value a new one is held against, if any; the parent's, for values that have none."""

    __slots__ = ("_same", "new", "old", "parent")

    def __init__(self, new: Any, old: Any, parent: "_Correlation | None") -> None:
        self.new = new
        self.old = old
        self.parent = parent
        self._same: bool | None = None

    @property
    def unchanged(self) -> bool:
        """Whether an update left the value, or what it stands in, as it was."""
        if self.old is not None:
            return self._is_same()
        return self.parent is not None and self.parent.old is not None and self.parent._is_same()

    def _is_same(self) -> bool:
        if self._same is None:
            self._same = equal(self.new, self.old)
        return self._same


class _Walk:
    def __init__(self, budget: int, *, quick: bool) -> None:
        self.budget = budget
        self.quick = quick
        self.problems = Problems(bounded=True)
        self.tolerated = Problems()
        self.over_budget = False

    def over(self, rules: Rules, new: Any, old: Any, place: Place, correlation: _Correlation) -> None:
        if new is None or self.over_budget:
            return
        if rules.rules:
            self._apply(rules, new, old, place, correlation)
        for part in rules.all_of:
            self.over(part, new, old, place, _Correlation(new, None, correlation.parent))
        if isinstance(new, dict):
            self._over_map(rules, new, old, place, correlation)
        elif isinstance(new, list) and rules.items is not None:
            self._over_list(rules, rules.items, new, old, place, correlation)

    def _over_map(self, rules: Rules, new: Any, old: Any, place: Place, correlation: _Correlation) -> None:
        before = old if isinstance(old, dict) and rules.schema.get("x-kubernetes-map-type") != "atomic" else {}
        for key, below in rules.properties.items():
            if key in new:
                known = before.get(key)
                self.over(below, new[key], known, (place, f".{key}"), _Correlation(new[key], known, correlation))
        if rules.values is not None:
            for key, value in new.items():
                if key not in rules.properties:
                    known = before.get(key)
                    self.over(
                        rules.values, value, known, (place, f"[{key}]"), _Correlation(value, known, correlation)
                    )

    def _over_list(
        self, rules: Rules, items: Rules, new: list[Any], old: Any, place: Place, correlation: _Correlation
    ) -> None:
        known = _by_keys(rules.schema, old)
        for index, value in enumerate(new):
            before = known.get(_keys_of(rules.schema, value)) if known else None
            self.over(items, value, before, (place, f"[{index}]"), _Correlation(value, before, correlation))

    def _apply(self, rules: Rules, new: Any, old: Any, place: Place, correlation: _Correlation) -> None:
        kind = _kind_shown(rules.schema)
        for rule in rules.rules:
            if rule.uses_old and old is None and not rule.optional_old:
                continue
            if self.budget <= 0:
                if self.quick:
                    raise TooLong
                self._stop(place, kind, _OUT_OF_BUDGET)
                return
            value = (NONE if old is None else Optional(old)) if rule.optional_old else old
            try:
                outcome = rule.program.run({"self": new, "oldSelf": value}, limit=min(PER_CALL, self.budget))
            except CostExceeded as error:
                if self.quick:
                    raise TooLong from None
                if self.budget < PER_CALL:
                    self._stop(place, kind, _OUT_OF_BUDGET)
                else:
                    text = (
                        f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule"
                    )
                    self._stop(place, kind, f"{text}: {rule.shown}")
                return
            except CelError as error:
                self.problems.invalid(shown_place(place), kind, _told(error, rule))
                continue
            self.budget -= outcome.cost
            if outcome.value is not True:
                self._broken(rule, {"self": new, "oldSelf": old}, place, kind, correlation)

    def _stop(self, place: Place, kind: str, detail: str) -> None:
        self.problems.invalid(shown_place(place), kind, detail)
        self.over_budget = True

    def _broken(self, rule: Rule, values: dict[str, Any], place: Place, kind: str, correlation: _Correlation) -> None:
        tolerated = not rule.uses_old and correlation.unchanged
        if tolerated and len(self.tolerated) >= MOST_FAULTS:
            return
        path = shown_place(place) if not rule.said.get("fieldPath") else joined(place, rule.said["fieldPath"])
        detail = self._message(rule, values)
        _fault(self.tolerated if tolerated else self.problems, rule.said.get("reason") or "", path, kind, detail)

    def _message(self, rule: Rule, values: dict[str, Any]) -> str:
        if rule.message is not None:
            try:
                outcome = rule.message.run(values, limit=max(1, min(PER_CALL, self.budget)))
            except CelError:
                pass  # the plain message, or the rule, says enough
            else:
                self.budget -= outcome.cost
                text = outcome.value.strip() if isinstance(outcome.value, str) else ""
                if text and "\n" not in text and len(text.encode()) <= LONGEST_MESSAGE:
                    return text
        message: str = rule.said.get("message") or ""
        return message.strip() or f"failed rule: {rule.shown}"


def _kind_shown(schema: Schema) -> str:
    return str(schema.get("type") or "")


def _told(error: CelError, rule: Rule) -> str:
    text = str(error)
    if text.startswith("no such overload"):
        call = "call arguments did not match a supported operator, function or macro signature for rule"
        return f"'{text}': {call}: {rule.shown}"
    return f"{text} evaluating rule: {rule.shown}"


def _fault(problems: Problems, reason: str, path: str, kind: str, detail: str) -> None:
    match reason:
        case "FieldValueForbidden":
            problems.forbidden(path, detail)
        case "FieldValueRequired":
            problems.required(path, detail)
        case "FieldValueDuplicate":
            problems.duplicate(path, kind)
        case _:
            problems.invalid(path, kind, detail)


def shown_place(place: Place) -> str:
    """A place as messages show it."""
    steps: list[str] = []
    while place is not None:
        place, step = place
        steps.append(step)
    return "".join(reversed(steps)).removeprefix(".") or "<nil>"


def joined(place: Place, field_path: str) -> str:
    """A place, and a path in it: `.a.b` or `['a']`."""
    at = shown_place(place)
    inside = field_path if field_path[:1] in (".", "[") else f".{field_path}"
    inside = inside.replace("['", "[").replace("']", "]") if "'" in inside else inside
    return inside.removeprefix(".") if at == "<nil>" else at + inside


def _by_keys(schema: Schema, old: Any) -> dict[Any, Any]:
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map":
        return {}
    return {_keys_of(schema, value): value for value in old if isinstance(value, dict)}


def _keys_of(schema: Schema, value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    properties = (schema.get("items") or {}).get("properties") or {}
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    return tuple(repr(value.get(key, (properties.get(key) or {}).get("default"))) for key in keys)
