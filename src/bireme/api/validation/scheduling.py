"""The rules of the scheduling group."""

from collections.abc import Mapping

from bireme.api.validation.field import IMMUTABLE, POSITIVE, Problems, Rules, Tree, check_one_of

_LARGEST_USER_VALUE = 1_000_000_000
_SYSTEM_PREFIX = "system-"
_FIXED = (
    "disruptionMode",
    "parentCompositePodGroupName",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "resourceClaims",
    "schedulingConstraints",
    "workloadRef",
)
_SYSTEM = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def check_priority_class(problems: Problems, tree: Tree) -> None:
    """A PriorityClass: names and values of the system are its own."""
    name, value = (tree.get("metadata") or {}).get("name") or "", tree.get("value") or 0
    if name.startswith(_SYSTEM_PREFIX):
        if _SYSTEM.get(name) != value:
            fault = "priority class names with 'system-' prefix are reserved for system use only"
            problems.forbidden("metadata.name", fault)
    elif value > _LARGEST_USER_VALUE:
        fault = f"maximum allowed value of a user defined priority is {_LARGEST_USER_VALUE}"
        problems.forbidden("value", fault)
    check_one_of(problems, tree, "preemptionPolicy", "", ("Never", "PreemptLowerPriority"))


def check_priority_class_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A PriorityClass keeps its value and its manners."""
    if (new.get("value") or 0) != (old.get("value") or 0):
        problems.forbidden("value", "may not be changed in an update.")
    if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
        problems.invalid("preemptionPolicy", new.get("preemptionPolicy"), "field is immutable")


def check_pod_group(problems: Problems, tree: Tree) -> None:
    """A PodGroup: one policy, for a gang how many, one mode of disruption, one constraint."""
    spec = tree.get("spec") or {}
    _check_policy(problems, spec.get("schedulingPolicy") or {}, "spec.schedulingPolicy")
    mode = spec.get("disruptionMode")
    if mode is not None and (mode.get("single") is None) == (mode.get("all") is None):
        problems.invalid("spec.disruptionMode", mode, "must specify exactly one of: `all`, `single`")
    check_one_of(problems, spec, "preemptionPolicy", "spec", ("Never", "PreemptLowerPriority"))


def check_pod_group_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A PodGroup stays what it is, but for how many make a gang."""
    for field in _FIXED:
        value = (new.get("spec") or {}).get(field)
        if value != (old.get("spec") or {}).get(field):
            problems.invalid(f"spec.{field}", value, IMMUTABLE)
    policy, before = ((each.get("spec") or {}).get("schedulingPolicy") or {} for each in (new, old))
    if (policy.get("gang") is None) != (before.get("gang") is None):
        problems.invalid("spec.schedulingPolicy", policy, IMMUTABLE)


def check_workload(problems: Problems, tree: Tree) -> None:
    """A Workload: the policies of its templates."""
    for index, template in enumerate((tree.get("spec") or {}).get("podGroupTemplates") or ()):
        path = f"spec.podGroupTemplates[{index}]"
        if not template.get("name"):
            problems.required(f"{path}.name")
        _check_policy(problems, template.get("schedulingPolicy") or {}, f"{path}.schedulingPolicy")


def _check_policy(problems: Problems, policy: Tree, path: str) -> None:
    gang = policy.get("gang")
    if (policy.get("basic") is None) == (gang is None):
        problems.invalid(path, policy, "must specify exactly one of: `basic`, `gang`")
    if gang is not None and (gang.get("minCount") or 0) <= 0:
        problems.invalid(f"{path}.gang.minCount", gang.get("minCount") or 0, POSITIVE)


RULES: Mapping[str, Rules] = {
    "PodGroup": Rules(check_pod_group, check_pod_group_update),
    "PriorityClass": Rules(check_priority_class, check_priority_class_update),
    "Workload": Rules(check_workload),
}
