"""Which flow a request belongs to: flow schemas compiled to predicates, asked in the order of their precedence.

Plain decisions over trees; what a flow may take is the business of `fair_queues.py`, who keeps both is
`flowcontrol.py`. Source: the Kubernetes documentation on API priority and fairness.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bireme.http.interface import Identity
from bireme.registry.access import Attempt

Tree = Mapping[str, Any]
Test = Callable[[Identity, Attempt], bool]


@dataclass(frozen=True, slots=True)
class FlowSchema:
    """A schema ready to be asked: its name and uid, its level's name, and how its requests are told apart."""

    name: str
    uid: str
    level: str
    precedence: int
    distinguisher: str
    matches: Test


def compiled(tree: Tree) -> FlowSchema:
    """A FlowSchema as it was written."""
    spec, metadata = tree["spec"], tree["metadata"]
    rules = [_rule(rule) for rule in spec.get("rules") or ()]
    return FlowSchema(
        metadata["name"],
        metadata.get("uid", ""),
        spec["priorityLevelConfiguration"]["name"],
        spec.get("matchingPrecedence", 1000),
        (spec.get("distinguisherMethod") or {}).get("type", ""),
        lambda user, attempt: any(rule(user, attempt) for rule in rules),
    )


def in_order(schemas: Iterable[FlowSchema]) -> list[FlowSchema]:
    """The order in which they are asked."""
    return sorted(schemas, key=lambda schema: (schema.precedence, schema.name))


def flow_of(schema: FlowSchema, user: Identity, attempt: Attempt) -> str:
    """What tells the requests of one flow of a schema from those of another."""
    if schema.distinguisher == "ByUser":
        return user.name
    return attempt.namespace if schema.distinguisher == "ByNamespace" else ""


def _rule(rule: Tree) -> Test:
    subjects = [_subject(subject) for subject in rule.get("subjects") or ()]
    resources = [_resource_rule(each) for each in rule.get("resourceRules") or ()]
    paths = [_path_rule(each) for each in rule.get("nonResourceRules") or ()]

    def test(user: Identity, attempt: Attempt) -> bool:
        rules = paths if attempt.path else resources
        return any(rule(attempt) for rule in rules) and any(subject(user) for subject in subjects)

    return test


def _subject(subject: Tree) -> Callable[[Identity], bool]:
    match subject.get("kind"):
        case "User":
            name = subject["user"]["name"]
            return lambda user: name in ("*", user.name)
        case "Group":
            group = subject["group"]["name"]
            return lambda user: group == "*" or group in user.groups
        case _:
            account = subject["serviceAccount"]
            prefix = f"system:serviceaccount:{account['namespace']}:"
            if account["name"] == "*":
                return lambda user: user.name.startswith(prefix)
            return lambda user: user.name == prefix + account["name"]


def _resource_rule(rule: Tree) -> Callable[[Attempt], bool]:
    verbs, groups = _some(rule, "verbs"), _some(rule, "apiGroups")
    resources, namespaces = _some(rule, "resources"), _some(rule, "namespaces")
    cluster = bool(rule.get("clusterScope"))

    def test(attempt: Attempt) -> bool:
        resource = f"{attempt.resource}/{attempt.subresource}" if attempt.subresource else attempt.resource
        scope = _has(namespaces, attempt.namespace) if attempt.namespace else cluster
        return scope and _has(verbs, attempt.verb) and _has(groups, attempt.group) and _has(resources, resource)

    return test


def _path_rule(rule: Tree) -> Callable[[Attempt], bool]:
    verbs = _some(rule, "verbs")
    paths = tuple(rule.get("nonResourceURLs") or ())

    def test(attempt: Attempt) -> bool:
        return _has(verbs, attempt.verb) and any(
            path in ("*", attempt.path) or (path.endswith("/*") and attempt.path.startswith(path[:-1]))
            for path in paths
        )

    return test


def _some(rule: Tree, name: str) -> frozenset[str]:
    return frozenset(rule.get(name) or ())


def _has(said: frozenset[str], value: str) -> bool:
    return "*" in said or value in said
