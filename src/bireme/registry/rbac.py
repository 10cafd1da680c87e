"""Who may do what by roles: Roles, ClusterRoles and their bindings, kept ready as they change.

Bindings are filed under their subjects, so a decision looks only at what is bound to the user, his groups and, for
a service account, itself. What a user may do with a kind of object in a namespace is remembered until any role or
binding changes. Source: the Kubernetes documentation on RBAC.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from bireme.http.interface import Identity
from bireme.registry.access import NO_OPINION, Attempt, Decision, Verdict
from bireme.registry.rbac_rules import Rule, compiled
from bireme.registry.record import Record
from bireme.registry.resource_cache import ResourceCache
from bireme.registry.watcher import Change

Tree = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
REMEMBERED = 16_384
_ACCOUNT = "system:serviceaccount:"


class Subject(NamedTuple):
    """Whom a binding binds: a User, a Group, or a ServiceAccount of a namespace."""

    kind: str
    name: str
    namespace: str = ""

    def told(self) -> str:
        shown = f"{self.name}/{self.namespace}" if self.kind == "ServiceAccount" else self.name
        return f'{self.kind} "{shown}"'


@dataclass(frozen=True, slots=True)
class Bound:
    """A binding as seen from one of its subjects. `namespace` is "" for the whole cluster."""

    namespace: str
    name: str
    role_kind: str
    role: str
    subject: Subject

    @property
    def title(self) -> str:
        if self.namespace:
            return f'RoleBinding "{self.name}/{self.namespace}"'
        return f'ClusterRoleBinding "{self.name}"'

    def reason(self) -> str:
        role = f"{self.role}/{self.namespace}" if self.role_kind == "Role" else self.role
        return f'RBAC: allowed by {self.title} of {self.role_kind} "{role}" to {self.subject.told()}'


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of one kind of attempt: what allows it for every name, and what for one."""

    whole: Decision | None
    named: dict[str, Decision]
    trouble: str = ""


class RbacAuthorizer:
    """Decides by the roles and bindings in these caches, and follows their changes."""

    def __init__(self, roles: Iterable[ResourceCache], bindings: Iterable[ResourceCache]) -> None:
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._bindings: dict[Subject, dict[str, dict[str, Bound]]] = {}
        self._known: dict[tuple[Any, ...], _Known] = {}
        for cache in roles:
            cache.listen(self._role_changed)
        for cache in bindings:
            cache.listen(self._changed)

    def decide(self, user: Identity, attempt: Attempt) -> Decision:
        """Whether a role of the user's allows it, and by which binding. RBAC never denies."""
        if attempt.path:
            return self._decide_path(user, attempt)
        a = attempt
        place = (user.name, user.groups, a.verb, a.group, a.resource, a.subresource, a.namespace)
        known = self._known.get(place)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[place] = self._learn(user, attempt)
        allowed = known.whole or known.named.get(_name_of(attempt))
        if allowed is not None:
            return allowed
        return Decision(Verdict.NO_OPINION, known.trouble) if known.trouble else NO_OPINION

    def rules_for(self, user: Identity, namespace: str) -> tuple[list[Rule], list[str]]:
        """All that the user may do in a namespace ("": on the cluster), and roles that are bound but not there."""
        rules: list[Rule] = []
        missing: list[str] = []
        for bound in self._bound(user, namespace):
            found = self._rules(bound)
            if found is None:
                missing.append(_not_found(bound))
            else:
                rules += found
        return rules, missing

    def role_rules(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of a role; None if there is none."""
        return self._roles.get((namespace if kind == "Role" else "", name))

    def _decide_path(self, user: Identity, attempt: Attempt) -> Decision:
        for bound in self._bound(user, ""):
            if any(rule.allows_path(attempt.verb, attempt.path) for rule in self._rules(bound) or ()):
                return Decision(Verdict.ALLOWED, bound.reason())
        return NO_OPINION

    def _learn(self, user: Identity, attempt: Attempt) -> _Known:
        named: dict[str, Decision] = {}
        troubles: list[str] = []
        for bound in self._bound(user, attempt.namespace):
            rules = self._rules(bound)
            if rules is None:
                troubles.append(_not_found(bound))
                continue
            for rule in rules:
                if not rule.speaks_of(attempt.verb, attempt.group, attempt.resource, attempt.subresource):
                    continue
                allowed = Decision(Verdict.ALLOWED, bound.reason())
                if not rule.names:
                    return _Known(allowed, {})
                named |= {name: allowed for name in rule.names if name not in named}
        return _Known(None, named, f"RBAC: {', '.join(troubles)}" if troubles else "")

    def _bound(self, user: Identity, namespace: str) -> Iterator[Bound]:
        """The bindings that count for a user there, those of the whole cluster first."""
        subjects = list(_subjects(user))
        for scope in ("", namespace) if namespace else ("",):
            for subject in subjects:
                places = self._bindings.get(subject)
                if places is not None and scope in places:
                    yield from places[scope].values()

    def _rules(self, bound: Bound) -> tuple[Rule, ...] | None:
        return self._roles.get((bound.namespace if bound.role_kind == "Role" else "", bound.role))

    # Following the objects

    def _role_changed(self, change: Change) -> None:
        self._known.clear()
        record = change.new or change.old
        assert record is not None
        key = (record.namespace, record.name)
        if change.new is None:
            self._roles.pop(key, None)
        else:
            self._roles[key] = compiled(_tree(change.new).get("rules"))

    def _changed(self, change: Change) -> None:
        self._known.clear()
        if change.old is not None:
            for bound in _bounds(change.old):
                self._unbind(bound)
        if change.new is not None:
            for bound in _bounds(change.new):
                places = self._bindings.setdefault(bound.subject, {})
                places.setdefault(bound.namespace, {})[bound.name] = bound

    def _unbind(self, bound: Bound) -> None:
        places = self._bindings.get(bound.subject, {})
        named = places.get(bound.namespace, {})
        named.pop(bound.name, None)
        if not named:
            places.pop(bound.namespace, None)
        if not places:
            self._bindings.pop(bound.subject, None)


def _tree(record: Record) -> Tree:
    tree: Tree = orjson.loads(record.value)
    return tree


def _bounds(record: Record) -> Iterator[Bound]:
    tree = _tree(record)
    role = tree.get("roleRef") or {}
    for said in tree.get("subjects") or ():
        kind = said.get("kind", "")
        namespace = said.get("namespace") or record.namespace if kind == "ServiceAccount" else ""
        subject = Subject(kind, said.get("name", ""), namespace)
        yield Bound(record.namespace, record.name, role.get("kind", ""), role.get("name", ""), subject)


def _subjects(user: Identity) -> Iterator[Subject]:
    yield Subject("User", user.name)
    for group in user.groups:
        yield Subject("Group", group)
    if user.name.startswith(_ACCOUNT) and user.name.count(":") == 3:
        namespace, name = user.name.removeprefix(_ACCOUNT).split(":")
        yield Subject("ServiceAccount", name, namespace)


def _name_of(attempt: Attempt) -> str:
    """The one name that is asked for; a list of one name, by its field selector, is as good as a get."""
    return attempt.name or dict(attempt.fields).get("metadata.name", "")


def _not_found(bound: Bound) -> str:
    return f'{bound.role_kind.lower()}.{GROUP} "{bound.role}" not found'
