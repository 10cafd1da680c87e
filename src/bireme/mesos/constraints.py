"""Offer constraints: what a framework wants to hold of an agent before it is offered anything there.

An offer passes a role if one of the groups holds wholly. Patterns are RE2, so they take linear time.
Source: Mesos 1.11's HTTP API; MESOS-10171.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bireme.mesos.eligibility import AgentView, Subject
from bireme.mesos.messages import Message

_Texts = list[str | None]

_MAX_PATTERN = 4096


class InvalidConstraints(ValueError):
    """Constraints that no agent could be tested against."""


class _Pattern(Protocol):
    def fullmatch(self, text: str) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Constraint:
    """One predicate on what one selector picks."""

    subject: str
    select: Callable[[AgentView], _Texts]
    test: Callable[[_Texts], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Constraints:
    """The constraints of a role. `subject` names all that they look at, `reads` is what that is for an agent."""

    subject: Subject
    selectors: tuple[Callable[[AgentView], _Texts], ...]
    groups: tuple[tuple[_Constraint, ...], ...]

    def reads(self, agent: AgentView) -> tuple[object, ...]:
        return tuple(tuple(select(agent)) for select in self.selectors)

    def __call__(self, agent: AgentView) -> bool:
        return any(all(each.test(each.select(agent)) for each in group) for group in self.groups)


def compile_constraints(constraints: Message) -> dict[str, Constraints]:
    """A test of agents for each role that has constraints. Raises InvalidConstraints."""
    return {role: _role(role, wish) for role, wish in constraints.get("role_constraints", {}).items()}


def _role(role: str, wish: Message) -> Constraints:
    groups = tuple(_group(role, group) for group in wish.get("groups", []))
    if not groups:
        raise InvalidConstraints(f"Offer constraints for role '{role}' have no groups")
    selectors = {each.subject: each.select for group in groups for each in group}
    subject = tuple(sorted(selectors))
    return Constraints(subject, tuple(selectors[name] for name in subject), groups)


def _group(role: str, group: Message) -> tuple[_Constraint, ...]:
    constraints = tuple(_constraint(each) for each in group.get("attribute_constraints", []))
    if not constraints:
        raise InvalidConstraints(f"Offer constraints for role '{role}' have an empty group")
    return constraints


def _constraint(constraint: Message) -> _Constraint:
    subject, select = _selector(constraint["selector"])
    tests = [_PREDICATES[name](value) for name, value in constraint["predicate"].items()]
    if len(tests) != 1:
        raise InvalidConstraints("An attribute constraint needs exactly one known predicate")
    return _Constraint(subject, select, tests[0])


def _selector(selector: Message) -> tuple[str, Callable[[AgentView], _Texts]]:
    """What the selector is about, and the texts that it picks; None for an attribute that is not text."""
    name = selector.get("attribute_name")
    if name is not None:
        return f"attribute {name}", lambda agent: [
            each["text"]["value"] if "text" in each else None for each in agent.attributes if each["name"] == name
        ]
    kind = selector.get("pseudoattribute_type", "UNKNOWN")
    if kind == "HOSTNAME":
        return kind, lambda agent: [agent.hostname]
    if kind in ("REGION", "ZONE"):
        label = f"topology.kubernetes.io/{kind.lower()}"
        return kind, lambda agent: [
            each["text"]["value"] for each in agent.attributes if each["name"] == label and "text" in each
        ]
    raise InvalidConstraints("A selector needs an attribute name or a known pseudo-attribute")


_Test = Callable[[_Texts], bool]


def _compare(test: Callable[[str], bool], *, wanted: bool) -> _Test:
    """True for any text that passes (`wanted`) or if all fail; attributes that are no text pass both ways."""
    if wanted:
        return lambda found: any(text is None or test(text) for text in found)
    return lambda found: all(text is None or not test(text) for text in found)


def _pattern(value: Message) -> Callable[[str], bool]:
    import re2

    text = value["regex"]
    if len(text) > _MAX_PATTERN:
        raise InvalidConstraints("A pattern in offer constraints is too long")
    try:
        compiled: _Pattern = re2.compile(text)
    except re2.error as error:
        raise InvalidConstraints(f"A pattern in offer constraints is invalid: {error}") from error
    return lambda found: compiled.fullmatch(found) is not None


_PREDICATES: Mapping[str, Callable[[Message], _Test]] = {
    "exists": lambda _: bool,
    "not_exists": lambda _: lambda found: not found,
    "text_equals": lambda value: _compare(lambda text: text == value["value"], wanted=True),
    "text_not_equals": lambda value: _compare(lambda text: text == value["value"], wanted=False),
    "text_matches": lambda value: _compare(_pattern(value), wanted=True),
    "text_not_matches": lambda value: _compare(_pattern(value), wanted=False),
}
