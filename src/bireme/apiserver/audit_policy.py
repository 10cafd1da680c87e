"""What of which request the audit log holds, by an audit.k8s.io/v1 Policy. Plain decisions; the first rule decides.

Source: the Kubernetes documentation on auditing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from bireme.api.codec import yaml
from bireme.api.errors import ApiError
from bireme.http.interface import Identity
from bireme.registry.access import Attempt

Tree = dict[str, Any]
STAGES = frozenset({"RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"})


class Level(IntEnum):
    """How much is written of a request; the names are those of policies."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def word(self) -> str:
        return _WORDS[self]


_WORDS = {
    Level.NONE: "None",
    Level.METADATA: "Metadata",
    Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}
_LEVELS = {word: level for level, word in _WORDS.items()}


class PolicyError(Exception):
    """A policy that can't be used."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is written: how much, at which stages not, and whether with the account of owners."""

    level: Level
    omitted: frozenset[str] = frozenset()
    managed_fields: bool = True


NOTHING = Verdict(Level.NONE)


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources of one group that a rule means: `pods`, `pods/log`, `pods/*`, `*/log` or `*`; none: all."""

    group: str
    plurals: frozenset[str]
    names: frozenset[str]

    def covers(self, attempt: Attempt) -> bool:
        if self.group != attempt.group:
            return False
        if not self.plurals:
            return True
        if self.names and attempt.name not in self.names:
            return False
        if attempt.subresource:
            plural, part = attempt.resource, attempt.subresource
            forms = {f"{plural}/{part}", f"{plural}/*", f"*/{part}", "*"}
        else:
            forms = {attempt.resource, "*"}
        return not forms.isdisjoint(self.plurals)


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests that are alike to the policy; what is empty means all."""

    verdict: Verdict
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    resources: Sequence[Resources]
    namespaces: frozenset[str]
    paths: Sequence[str]

    def covers(self, user: Identity, attempt: Attempt) -> bool:
        """Whether the request is one of these."""
        if self.users and user.name not in self.users:
            return False
        if self.groups and self.groups.isdisjoint(user.groups):
            return False
        if self.verbs and attempt.verb not in self.verbs:
            return False
        if self.resources or self.namespaces:
            return not attempt.path and self._covers_resource(attempt)
        return not self.paths or (bool(attempt.path) and any(_covers_path(path, attempt.path) for path in self.paths))

    def _covers_resource(self, attempt: Attempt) -> bool:
        if self.namespaces and attempt.namespace not in self.namespaces:
            return False
        return not self.resources or any(one.covers(attempt) for one in self.resources)


def _covers_path(wanted: str, path: str) -> bool:
    return wanted in ("*", path) or (wanted.endswith("*") and path.startswith(wanted[:-1]))


class Policy:
    """The rules in their order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    def verdict(self, user: Identity, attempt: Attempt) -> Verdict:
        """What is written of a request; nothing where no rule covers it."""
        return next((rule.verdict for rule in self._rules if rule.covers(user, attempt)), NOTHING)


def read_policy(path: Path) -> Policy:
    """The policy in a file, YAML or JSON. Raises PolicyError."""
    try:
        tree = yaml.parse(path.read_bytes())
    except (OSError, ValueError, ApiError) as error:
        raise PolicyError(f"cannot read {path}: {error}") from error
    if not isinstance(tree, dict) or tree.get("kind") != "Policy" or tree.get("apiVersion") != "audit.k8s.io/v1":
        raise PolicyError(f"{path} holds no audit.k8s.io/v1 Policy")
    rules = tree.get("rules")
    if not isinstance(rules, list) or not rules:
        raise PolicyError(f"{path}: a policy needs rules")
    everywhere = _stages(tree.get("omitStages"), f"{path}: omitStages")
    managed = not tree.get("omitManagedFields", False)
    return Policy([_rule(rule, everywhere, managed, f"{path}: rules[{n}]") for n, rule in enumerate(rules)])


def _rule(tree: Any, everywhere: frozenset[str], managed: bool, where: str) -> Rule:
    if not isinstance(tree, dict) or tree.get("level") not in _LEVELS:
        raise PolicyError(f"{where}: level is one of {', '.join(_LEVELS)}")
    resources, paths = tree.get("resources") or [], tree.get("nonResourceURLs") or []
    if paths and (resources or tree.get("namespaces")):
        raise PolicyError(f"{where}: a rule is for resources or for paths, not for both")
    for path in paths:
        if path != "*" and (not path.startswith("/") or "*" in path[:-1]):
            raise PolicyError(f"{where}: {path!r} is no path, and no path with * at its end")
    omitted = everywhere | _stages(tree.get("omitStages"), where)
    said = tree.get("omitManagedFields")
    return Rule(
        Verdict(_LEVELS[tree["level"]], omitted, managed if said is None else not said),
        users=frozenset(tree.get("users") or ()),
        groups=frozenset(tree.get("userGroups") or ()),
        verbs=frozenset(tree.get("verbs") or ()),
        resources=[_resources(one, where) for one in resources],
        namespaces=frozenset(tree.get("namespaces") or ()),
        paths=tuple(paths),
    )


def _resources(tree: Tree, where: str) -> Resources:
    plurals, names = frozenset(tree.get("resources") or ()), frozenset(tree.get("resourceNames") or ())
    if names and not plurals:
        raise PolicyError(f"{where}: resourceNames need resources")
    return Resources(str(tree.get("group") or ""), plurals, names)


def _stages(said: Any, where: str) -> frozenset[str]:
    stages = frozenset(said or ())
    if unknown := sorted(stages - STAGES):
        raise PolicyError(f"{where}: {unknown[0]!r} is no stage")
    return stages
