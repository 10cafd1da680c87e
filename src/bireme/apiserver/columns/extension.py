"""The rows of what extends the API: admission, custom kinds, API services, flow control, devices."""

from collections.abc import Callable, Mapping
from datetime import datetime

from bireme.apiserver.columns.column import (
    CREATED,
    NONE,
    UNSET,
    Cells,
    Column,
    Printer,
    Tree,
    age_of,
    columns,
    created_at,
    has_condition,
    name_of,
    since,
    true_false,
)


def webhook_cells(tree: Tree, now: datetime) -> Cells:
    """A configuration of webhooks."""
    return [name_of(tree), len(tree.get("webhooks") or ()), age_of(tree, now)]


def _policy_cells(field: str) -> Callable[[Tree, datetime], Cells]:
    def cells(tree: Tree, now: datetime) -> Cells:
        spec = tree.get("spec") or {}
        kind = spec.get("paramKind")
        text = f"{kind.get('apiVersion')}/{kind.get('kind')}" if kind else UNSET
        return [name_of(tree), len(spec.get(field) or ()), text, age_of(tree, now)]

    return cells


def policy_binding_cells(tree: Tree, now: datetime) -> Cells:
    """A binding of an admission policy."""
    spec = tree.get("spec") or {}
    parameter = spec.get("paramRef")
    text = UNSET
    if parameter:
        namespace, name = parameter.get("namespace"), parameter.get("name") or "*"
        text = f"{namespace}/{name}" if namespace else name
    return [name_of(tree), spec.get("policyName") or "", text, age_of(tree, now)]


def definition_cells(tree: Tree, now: datetime) -> Cells:
    """A CustomResourceDefinition."""
    spec = tree.get("spec") or {}
    names = spec.get("names") or {}
    return [
        name_of(tree),
        spec.get("scope") or "",
        ",".join(version.get("name") or "" for version in spec.get("versions") or () if version.get("served")),
        created_at(tree),
        spec.get("group") or "",
        names.get("kind") or "",
        ",".join(names.get("shortNames") or ()),
        true_false(has_condition(tree.get("status") or {}, "Established")),
    ]


def api_service_cells(tree: Tree, now: datetime) -> Cells:
    """An APIService."""
    service = (tree.get("spec") or {}).get("service")
    conditions = (tree.get("status") or {}).get("conditions") or ()
    available: Tree = next((each for each in conditions if each.get("type") == "Available"), {})
    text = available.get("status") or "Unknown"
    if text != "True" and available.get("reason"):
        text = f"{text} ({available['reason']})"
    where = f"{service.get('namespace') or ''}/{service.get('name') or ''}" if service else "Local"
    return [name_of(tree), where, text, age_of(tree, now)]


def flow_schema_cells(tree: Tree, now: datetime) -> Cells:
    """A FlowSchema."""
    spec = tree.get("spec") or {}
    conditions = (tree.get("status") or {}).get("conditions") or ()
    dangling = next((each.get("status") for each in conditions if each.get("type") == "Dangling"), "?")
    return [
        name_of(tree),
        (spec.get("priorityLevelConfiguration") or {}).get("name") or "",
        spec.get("matchingPrecedence") or 0,
        (spec.get("distinguisherMethod") or {}).get("type") or NONE,
        age_of(tree, now),
        dangling,
    ]


def priority_level_cells(tree: Tree, now: datetime) -> Cells:
    """A PriorityLevelConfiguration."""
    spec = tree.get("spec") or {}
    bounds = spec.get("limited") or spec.get("exempt") or {}
    shares = bounds.get("nominalConcurrencyShares")
    queuing = (bounds.get("limitResponse") or {}).get("queuing") or {}
    queues = [queuing.get(field) for field in ("queues", "handSize", "queueLengthLimit")]
    return [
        name_of(tree),
        spec.get("type") or "",
        NONE if shares is None else str(shares),
        *(NONE if number is None else str(number) for number in queues),
        age_of(tree, now),
    ]


def claim_cells(tree: Tree, now: datetime) -> Cells:
    """A ResourceClaim."""
    status = tree.get("status") or {}
    states = []
    if (tree.get("metadata") or {}).get("deletionTimestamp"):
        states.append("deleted")
    if status.get("allocation"):
        states.insert(0, "allocated")
        if status.get("reservedFor"):
            states.insert(1, "reserved")
    else:
        states.insert(0, "pending")
    return [name_of(tree), ",".join(states), age_of(tree, now)]


def slice_cells(tree: Tree, now: datetime) -> Cells:
    """A ResourceSlice."""
    spec = tree.get("spec") or {}
    pool = (spec.get("pool") or {}).get("name") or ""
    return [name_of(tree), spec.get("nodeName") or UNSET, spec.get("driver") or "", pool, age_of(tree, now)]


def taint_rule_cells(tree: Tree, now: datetime) -> Cells:
    """A DeviceTaintRule."""
    taint = (tree.get("spec") or {}).get("taint") or {}
    texts = [taint.get(field) or "" for field in ("key", "value", "effect")]
    return [name_of(tree), *texts, since(taint.get("timeAdded"), now), age_of(tree, now)]


def aged_cells(tree: Tree, now: datetime) -> Cells:
    """An object of which there is nothing to say but its age."""
    return [name_of(tree), age_of(tree, now)]


AGED = Printer(columns("Age"), aged_cells)
_WEBHOOKS = Printer(columns("Webhooks", "Age", numbers=["Webhooks"]), webhook_cells)
_POLICY_BINDING = Printer(columns("PolicyName", "ParamRef", "Age"), policy_binding_cells)

ADMISSION_PRINTERS: Mapping[str, Printer] = {
    "MutatingAdmissionPolicy": Printer(
        columns("Mutations", "ParamKind", "Age", numbers=["Mutations"]), _policy_cells("mutations")
    ),
    "MutatingAdmissionPolicyBinding": _POLICY_BINDING,
    "MutatingWebhookConfiguration": _WEBHOOKS,
    "ValidatingAdmissionPolicy": Printer(
        columns("Validations", "ParamKind", "Age", numbers=["Validations"]), _policy_cells("validations")
    ),
    "ValidatingAdmissionPolicyBinding": _POLICY_BINDING,
    "ValidatingWebhookConfiguration": _WEBHOOKS,
}
APIEXTENSIONS_PRINTERS: Mapping[str, Printer] = {
    "CustomResourceDefinition": Printer(
        columns("Scope", "Versions", CREATED, wide=("Group", "Kind", "ShortNames", "Established")), definition_cells
    ),
}
APIREGISTRATION_PRINTERS: Mapping[str, Printer] = {
    "APIService": Printer(columns("Service", "Available", "Age"), api_service_cells),
}
FLOWCONTROL_PRINTERS: Mapping[str, Printer] = {
    "FlowSchema": Printer(
        columns(
            "PriorityLevel",
            Column("MatchingPrecedence", type="integer"),
            "DistinguisherMethod",
            "Age",
            "MissingPL",
        ),
        flow_schema_cells,
    ),
    "PriorityLevelConfiguration": Printer(
        columns("Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit", "Age"),
        priority_level_cells,
    ),
}
DEVICE_PRINTERS: Mapping[str, Printer] = {
    "DeviceClass": AGED,
    "DeviceTaintRule": Printer(columns("Key", "Value", "Effect", "TimeAdded", "Age"), taint_rule_cells),
    "ResourceClaim": Printer(columns("State", "Age"), claim_cells),
    "ResourceClaimTemplate": AGED,
    "ResourceSlice": Printer(columns("Node", "Driver", "Pool", "Age"), slice_cells),
}
