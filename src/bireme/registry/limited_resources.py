"""What may only be used where a quota covers it, as an operator says in a ResourceQuotaConfiguration.

Plain functions. Source: the Kubernetes documentation on limiting priority class consumption by default.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bireme.registry.quota_usage import Usage, in_scope, is_in, title_of

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """A claim about an object, as scope selectors have."""

    name: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{{{self.name} {self.operator} [{' '.join(self.values)}]}}"


@dataclass(frozen=True, slots=True)
class Limited:
    """What is limited of a kind: the names that hold one of `contains`, and objects in one of `scopes`."""

    title: str
    contains: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = ()


def uncovered(limited: Sequence[Limited], title: str, tree: Tree, used: Usage, quotas: Iterable[Tree]) -> str:
    """Why an object that uses `used` may not be: no quota covers something that is limited; "" where it may."""
    meant = [one for one in limited if one.title == title]
    if not meant:
        return ""
    names = {name for name, of in used.items() if of.nanos > 0 and any(_holds(one, name) for one in meant)}
    scopes = [scope for one in meant for scope in one.scopes if _covers(title, tree, scope)]
    for quota in quotas:
        scopes = [scope for scope in scopes if not _names_scope(quota, title, tree, scope)]
        if in_scope(title, tree, quota):
            hard = (quota.get("status") or {}).get("hard") or {}
            names -= {name for name in hard if title_of(name) == title}
    if names:
        return f"insufficient quota to consume: {','.join(sorted(names))}"
    if scopes:
        return f"insufficient quota to match these scopes: [{' '.join(map(str, scopes))}]"
    return ""


def _holds(limited: Limited, name: str) -> bool:
    return any(part in name for part in limited.contains)


def _covers(title: str, tree: Tree, scope: Scope) -> bool:
    return is_in(title, tree, scope.name, scope.operator, scope.values)


def _names_scope(quota: Tree, title: str, tree: Tree, scope: Scope) -> bool:
    """Whether the quota speaks of that scope, and the object is in it as the quota says it."""
    spec = quota.get("spec") or {}
    if scope.name in (spec.get("scopes") or ()):
        return _covers(title, tree, Scope(scope.name, "Exists"))
    said = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return any(
        one.get("scopeName") == scope.name
        and is_in(title, tree, scope.name, one.get("operator", ""), one.get("values") or ())
        for one in said
    )
