"""What the rules of roles let somebody do, and whether some rules cover others.

Plain functions over compiled rules. Source: the Kubernetes documentation on RBAC; the matching of rules is that of
its `PolicyRule` fields: a star stands for everything, `*/sub` for that part of every resource, a path that ends
with a star for all that begins so.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bireme.registry.access import Attempt

Tree = Mapping[str, Any]
ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a role, ready to be matched."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()

    @staticmethod
    def of(tree: Tree) -> "Rule":
        """The rule that a PolicyRule says."""
        return Rule(
            frozenset(tree.get("verbs") or ()),
            frozenset(tree.get("apiGroups") or ()),
            frozenset(tree.get("resources") or ()),
            frozenset(tree.get("resourceNames") or ()),
            tuple(tree.get("nonResourceURLs") or ()),
        )

    def tree(self) -> dict[str, Any]:
        """The PolicyRule again, its lists sorted."""
        said = {
            "verbs": sorted(self.verbs),
            "apiGroups": sorted(self.groups),
            "resources": sorted(self.resources),
            "resourceNames": sorted(self.names),
            "nonResourceURLs": list(self.paths),
        }
        return {name: value for name, value in said.items() if value or (name == "apiGroups" and self.resources)}

    def speaks_of(self, verb: str, group: str, resource: str, subresource: str) -> bool:
        """Whether it allows that on some resource of that kind, whatever its name."""
        return (
            (verb in self.verbs or ALL in self.verbs)
            and (group in self.groups or ALL in self.groups)
            and self._has_resource(resource, subresource)
        )

    def _has_resource(self, resource: str, subresource: str) -> bool:
        whole = f"{resource}/{subresource}" if subresource else resource
        if whole in self.resources or ALL in self.resources:
            return True
        return bool(subresource) and f"*/{subresource}" in self.resources

    def allows_path(self, verb: str, path: str) -> bool:
        """Whether it allows that on a path that is no resource."""
        if verb not in self.verbs and ALL not in self.verbs:
            return False
        return any(_path_matches(said, path) for said in self.paths)


EVERYTHING = (Rule(frozenset(ALL), frozenset(ALL), frozenset(ALL)), Rule(frozenset(ALL), paths=(ALL,)))
"""What an administrator holds."""


def _path_matches(said: str, path: str) -> bool:
    if said in (ALL, path):
        return True
    return said.endswith(ALL) and path.startswith(said[:-1])


def compiled(rules: Iterable[Tree] | None) -> tuple[Rule, ...]:
    """The rules of a role."""
    return tuple(Rule.of(rule) for rule in rules or ())


def allows(rules: Iterable[Rule], attempt: Attempt) -> bool:
    """Whether any of `rules` allows `attempt`."""
    if attempt.path:
        return any(rule.allows_path(attempt.verb, attempt.path) for rule in rules)
    return any(
        rule.speaks_of(attempt.verb, attempt.group, attempt.resource, attempt.subresource)
        and (not rule.names or attempt.name in rule.names)
        for rule in rules
    )


def uncovered(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What of `wanted` nobody holds who holds `owned`: one rule for each thing that may not be given on."""
    held = tuple(owned)
    return [piece for rule in wanted for piece in _pieces(rule) if not any(_covers(one, piece) for one in held)]


def _pieces(rule: Rule) -> Iterator[Rule]:
    """The rule as rules of one verb, group, resource and name, or of one verb and path."""
    for verb in sorted(rule.verbs):
        verbs = frozenset((verb,))
        for path in rule.paths:
            yield Rule(verbs, paths=(path,))
        for group in sorted(rule.groups):
            for resource in sorted(rule.resources):
                for name in sorted(rule.names) or [""]:
                    names = frozenset((name,)) if name else frozenset[str]()
                    yield Rule(verbs, frozenset((group,)), frozenset((resource,)), names)


def _covers(owned: Rule, piece: Rule) -> bool:
    if ALL not in owned.verbs and not piece.verbs <= owned.verbs:
        return False
    if piece.paths:
        return all(any(_path_covers(said, path) for said in owned.paths) for path in piece.paths)
    if owned.names and not (piece.names and piece.names <= owned.names):
        return False
    if ALL not in owned.groups and not piece.groups <= owned.groups:
        return False
    return ALL in owned.resources or all(_resource_covered(owned, resource) for resource in piece.resources)


def _path_covers(said: str, path: str) -> bool:
    if said in (ALL, path):
        return True
    return said.endswith(ALL) and path.removesuffix(ALL).startswith(said[:-1])


def _resource_covered(owned: Rule, resource: str) -> bool:
    if resource in owned.resources:
        return True
    _, slash, part = resource.partition("/")
    return bool(slash) and f"*/{part}" in owned.resources


def told(rules: Iterable[Rule]) -> str:
    """Rules as an error message tells them."""
    return "\n".join(_told(rule) for rule in rules)


def _told(rule: Rule) -> str:
    parts = []
    for label, values in (
        ("APIGroups", sorted(rule.groups)),
        ("Resources", sorted(rule.resources)),
        ("ResourceNames", sorted(rule.names)),
        ("NonResourceURLs", list(rule.paths)),
        ("Verbs", sorted(rule.verbs)),
    ):
        if values:
            shown = " ".join(f'"{value}"' for value in values)
            parts.append(f"{label}:[{shown}]")
    return "{" + ", ".join(parts) + "}"
