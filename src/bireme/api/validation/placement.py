"""The rules of what a pod says about its place: affinity, tolerations, spreading."""

from collections.abc import Sequence

from bireme.api.validation.field import POSITIVE, Problems, Tree, check_one_of
from bireme.api.validation.names import dns_label, label_value, qualified_name
from bireme.api.validation.selectors import check_node_selector, check_node_term, check_selector

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_POLICIES = ("Honor", "Ignore")


def check_affinity(problems: Problems, affinity: Tree, path: str) -> None:
    """Affinity to nodes, to pods and against pods."""
    node = affinity.get("nodeAffinity")
    if node:
        if node.get(_REQUIRED) is not None:
            check_node_selector(problems, node[_REQUIRED], f"{path}.nodeAffinity.{_REQUIRED}")
        for index, term in enumerate(node.get(_PREFERRED) or ()):
            at = f"{path}.nodeAffinity.{_PREFERRED}[{index}]"
            _check_weight(problems, term, at)
            check_node_term(problems, term.get("preference") or {}, f"{at}.preference")
    for field in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(field)
        if not pods:
            continue
        for index, term in enumerate(pods.get(_REQUIRED) or ()):
            _check_pod_term(problems, term, f"{path}.{field}.{_REQUIRED}[{index}]")
        for index, weighted in enumerate(pods.get(_PREFERRED) or ()):
            at = f"{path}.{field}.{_PREFERRED}[{index}]"
            _check_weight(problems, weighted, at)
            _check_pod_term(problems, weighted.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")


def _check_weight(problems: Problems, term: Tree, path: str) -> None:
    weight = term.get("weight") or 0
    if not 1 <= weight <= 100:
        problems.invalid(f"{path}.weight", weight, "must be in the range 1-100")


def _check_pod_term(problems: Problems, term: Tree, path: str) -> None:
    check_selector(problems, term.get("labelSelector"), f"{path}.labelSelector")
    check_selector(problems, term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for namespace in term.get("namespaces") or ():
        problems.invalid_each(f"{path}.namespace", namespace, dns_label(namespace))
    _check_topology_key(problems, term, path)


def _check_topology_key(problems: Problems, term: Tree, path: str) -> None:
    key = term.get("topologyKey")
    if not key:
        problems.required(f"{path}.topologyKey", "can not be empty")
    else:
        problems.invalid_each(f"{path}.topologyKey", key, qualified_name(key))


def check_tolerations(problems: Problems, tolerations: Sequence[Tree], path: str) -> None:
    """What taints a pod bears."""
    for index, toleration in enumerate(tolerations):
        get = toleration.get
        key, operator, value, effect = get("key"), get("operator"), get("value"), get("effect")
        if key:
            faults = qualified_name(key)
            if faults:
                problems.invalid_each(f"{path}[{index}].key", key, faults)
        elif operator != "Exists":
            fault = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            problems.invalid(f"{path}[{index}].operator", operator or "", fault)
        if get("tolerationSeconds") is not None and effect != "NoExecute":
            fault = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            problems.invalid(f"{path}[{index}].effect", effect or "", fault)
        if operator in (None, "", "Equal"):
            problems.invalid_each(f"{path}[{index}].operator", value, label_value(value or ""))
        elif operator != "Exists":
            problems.unsupported(f"{path}[{index}].operator", operator, ("Equal", "Exists"))
        elif value:
            fault = "value must be empty when `operator` is 'Exists'"
            problems.invalid(f"{path}[{index}].operator", toleration, fault)
        if effect and effect not in TAINT_EFFECTS:
            problems.unsupported(f"{path}[{index}].effect", effect, TAINT_EFFECTS)


def check_spread(problems: Problems, constraints: Sequence[Tree], path: str) -> None:
    """How evenly pods of a kind are spread."""
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        at = f"{path}[{index}]"
        skew = constraint.get("maxSkew") or 0
        if skew <= 0:
            problems.invalid(f"{at}.maxSkew", skew, POSITIVE)
        _check_topology_key(problems, constraint, at)
        check_one_of(problems, constraint, "whenUnsatisfiable", at, ("DoNotSchedule", "ScheduleAnyway"), needed=True)
        key = (constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or "")
        if key in seen:
            problems.duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key[0]}, {key[1]}}}")
        seen.add(key)
        domains = constraint.get("minDomains")
        if domains is not None:
            if domains <= 0:
                problems.invalid(f"{at}.minDomains", domains, POSITIVE)
            if constraint.get("whenUnsatisfiable") != "DoNotSchedule":
                fault = "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"
                problems.invalid(f"{at}.minDomains", domains, fault)
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            check_one_of(problems, constraint, field, at, _POLICIES)
        check_selector(problems, constraint.get("labelSelector"), f"{at}.labelSelector")
