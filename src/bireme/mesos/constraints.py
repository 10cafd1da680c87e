"""Offer constraints: what a framework wants to hold of an agent before it is offered anything there.

An offer passes a role if one of the groups holds wholly. Patterns are RE2, so they take linear time.
Source: Mesos 1.11's HTTP API; MESOS-10171.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from bireme.mesos.allocator import AgentView
from bireme.mesos.messages import Message

Holds = Callable[[AgentView], bool]

_MAX_PATTERN = 4096


class InvalidConstraints(ValueError):
    """Constraints that no agent could be tested against."""


class _Pattern(Protocol):
    def fullmatch(self, text: str) -> Any: ...


def compile_constraints(constraints: Message) -> dict[str, Holds]:
    """A test of agents for each role that has constraints. Raises InvalidConstraints."""
    return {role: _role(role, wish) for role, wish in constraints.get("role_constraints", {}).items()}


def _role(role: str, wish: Message) -> Holds:
    groups = [_group(role, group) for group in wish.get("groups", [])]
    if not groups:
        raise InvalidConstraints(f"Offer constraints for role '{role}' have no groups")
    return lambda agent: any(all(holds(agent) for holds in group) for group in groups)


def _group(role: str, group: Message) -> list[Holds]:
    constraints = [_constraint(each) for each in group.get("attribute_constraints", [])]
    if not constraints:
        raise InvalidConstraints(f"Offer constraints for role '{role}' have an empty group")
    return constraints


def _constraint(constraint: Message) -> Holds:
    select = _selector(constraint["selector"])
    tests = [_PREDICATES[name](value) for name, value in constraint["predicate"].items()]
    if len(tests) != 1:
        raise InvalidConstraints("An attribute constraint needs exactly one known predicate")
    test = tests[0]
    return lambda agent: test(select(agent))


def _selector(selector: Message) -> Callable[[AgentView], list[str | None]]:
    """The texts that the selector picks; None for an attribute that is not text."""
    name = selector.get("attribute_name")
    if name is not None:
        return lambda agent: [
            each["text"]["value"] if "text" in each else None for each in agent.attributes if each["name"] == name
        ]
    kind = selector.get("pseudoattribute_type", "UNKNOWN")
    if kind == "HOSTNAME":
        return lambda agent: [agent.hostname]
    if kind in ("REGION", "ZONE"):
        label = f"topology.kubernetes.io/{kind.lower()}"
        return lambda agent: [
            each["text"]["value"] for each in agent.attributes if each["name"] == label and "text" in each
        ]
    raise InvalidConstraints("A selector needs an attribute name or a known pseudo-attribute")


_Test = Callable[[list[str | None]], bool]


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
