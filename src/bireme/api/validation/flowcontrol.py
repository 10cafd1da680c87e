"""The rules of the flowcontrol group. Source: the Kubernetes documentation; the original's messages."""

from collections.abc import Mapping
from math import log2

from bireme.api.validation.field import Problems, Rules, Tree

LOWEST_PRECEDENCE = 10000
MOST_QUEUES = 10_000_000
MOST_BITS = 60
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


def check_flow_schema(problems: Problems, tree: Tree) -> None:
    """A FlowSchema."""
    spec = tree.get("spec") or {}
    precedence, path = spec.get("matchingPrecedence", 1000), "spec.matchingPrecedence"
    if precedence <= 0:
        problems.invalid(path, precedence, "must be a positive value")
    if precedence > LOWEST_PRECEDENCE:
        problems.invalid(path, precedence, f"must not be greater than {LOWEST_PRECEDENCE}")
    if precedence == 1 and (tree.get("metadata") or {}).get("name") != "exempt":
        problems.invalid(path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1")
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        problems.unsupported("spec.distinguisherMethod", method.get("type") or "", ("ByNamespace", "ByUser"))
    if not (spec.get("priorityLevelConfiguration") or {}).get("name"):
        problems.required("spec.priorityLevelConfiguration.name", "must reference a priority level")
    for index, rule in enumerate(spec.get("rules") or ()):
        _check_rule(problems, rule, f"spec.rules[{index}]")


def _check_rule(problems: Problems, rule: Tree, path: str) -> None:
    if not rule.get("subjects"):
        problems.required(f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(rule.get("subjects") or ()):
        _check_subject(problems, subject, f"{path}.subjects[{index}]")
    resources, others = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not resources and not others:
        problems.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, each in enumerate(resources):
        _check_some(problems, each, f"{path}.resourceRules[{index}]", ("verbs", "apiGroups", "resources"))
        if not each.get("namespaces") and not each.get("clusterScope"):
            fault = "resource rules that are not cluster scoped must supply at least one namespace"
            problems.required(f"{path}.resourceRules[{index}].namespaces", fault)
    for index, each in enumerate(others):
        _check_some(problems, each, f"{path}.nonResourceRules[{index}]", ("verbs", "nonResourceURLs"))


def _check_subject(problems: Problems, subject: Tree, path: str) -> None:
    kind = subject.get("kind") or ""
    field = _SUBJECTS.get(kind)
    if field is None:
        problems.unsupported(f"{path}.kind", kind, tuple(_SUBJECTS))
        return
    said = subject.get(field)
    if not said:
        problems.required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'")
    for name in ("name",) if kind != "ServiceAccount" else ("name", "namespace"):
        if said and not said.get(name):
            problems.required(f"{path}.{field}.{name}", "")
    for other in set(_SUBJECTS.values()) - {field}:
        if subject.get(other):
            fault = f"{other} is forbidden when subject kind is not '{other[0].upper()}{other[1:]}'"
            problems.forbidden(f"{path}.{other}", fault)


def _check_some(problems: Problems, rule: Tree, path: str, names: tuple[str, ...]) -> None:
    for name in names:
        if not rule.get(name):
            problems.required(f"{path}.{name}", f"{name} must contain at least one value")


def check_priority_level(problems: Problems, tree: Tree) -> None:
    """A PriorityLevelConfiguration."""
    spec = tree.get("spec") or {}
    kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    match kind:
        case "Exempt":
            if limited is not None:
                problems.forbidden("spec.limited", "must be nil if the type is not Limited")
            _check_percent(problems, exempt or {}, "spec.exempt")
        case "Limited":
            if exempt is not None:
                problems.forbidden("spec.exempt", "must be nil if the type is Limited")
            if limited is None:
                problems.required("spec.limited", "must not be empty when type is Limited")
            else:
                _check_limited(problems, limited)
        case _:
            problems.unsupported("spec.type", kind, ("Exempt", "Limited"))


def _check_percent(problems: Problems, said: Tree, path: str) -> None:
    shares, lendable = said.get("nominalConcurrencyShares") or 0, said.get("lendablePercent") or 0
    if shares < 0:
        problems.invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer")
    if not 0 <= lendable <= 100:
        problems.invalid(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive")


def _check_limited(problems: Problems, limited: Tree) -> None:
    path = "spec.limited"
    _check_percent(problems, limited, path)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        problems.invalid(f"{path}.borrowingLimitPercent", borrowing, "if specified, must be a non-negative integer")
    response = limited.get("limitResponse") or {}
    kind, queuing, path = response.get("type") or "", response.get("queuing"), f"{path}.limitResponse"
    if kind not in ("Queue", "Reject"):
        problems.unsupported(f"{path}.type", kind, ("Queue", "Reject"))
    elif kind == "Reject" and queuing is not None:
        problems.forbidden(f"{path}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif kind == "Queue" and queuing is None:
        problems.required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")
    elif queuing is not None:
        _check_queuing(problems, queuing, f"{path}.queuing")


def _check_queuing(problems: Problems, queuing: Tree, path: str) -> None:
    for name in ("queueLengthLimit", "queues", "handSize"):
        if queuing.get(name, 0) <= 0:
            problems.invalid(f"{path}.{name}", queuing.get(name, 0), "must be positive")
    queues, hand = queuing.get("queues", 0), queuing.get("handSize", 0)
    if queues > MOST_QUEUES:
        problems.invalid(f"{path}.queues", queues, f"must not be greater than {MOST_QUEUES}")
    if hand > queues:
        problems.invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif _bits(queues, hand) > MOST_BITS:
        fault = f"required entropy bits of queues {queues} and handSize {hand} should not be greater than {MOST_BITS}"
        problems.invalid(f"{path}.handSize", hand, fault)


def _bits(queues: int, hand: int) -> float:
    """How much of a hash it takes to deal a hand; more than any hash has, once that is sure."""
    bits = 0.0
    for dealt in range(hand):
        bits += log2(queues - dealt)
        if bits > MOST_BITS:
            break
    return bits


RULES: Mapping[str, Rules] = {
    "FlowSchema": Rules(check_flow_schema),
    "PriorityLevelConfiguration": Rules(check_priority_level),
}
