"""The rows of the small groups: policy, scheduling, coordination, node, certificates, rbac."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from bireme.apiserver.columns.column import (
    AGE,
    CREATED,
    NAME,
    NONE,
    Cells,
    Column,
    Printer,
    Tree,
    age_of,
    columns,
    created_at,
    human_duration,
    name_of,
)


def budget_cells(tree: Tree, now: datetime) -> Cells:
    """A PodDisruptionBudget."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    bounds = [spec.get(field) for field in ("minAvailable", "maxUnavailable")]
    return [
        name_of(tree),
        *("N/A" if bound is None else str(bound) for bound in bounds),
        status.get("disruptionsAllowed") or 0,
        age_of(tree, now),
    ]


def priority_class_cells(tree: Tree, now: datetime) -> Cells:
    """A PriorityClass."""
    return [
        name_of(tree),
        tree.get("value") or 0,
        bool(tree.get("globalDefault")),
        age_of(tree, now),
        tree.get("preemptionPolicy") or "",
    ]


def lease_cells(tree: Tree, now: datetime) -> Cells:
    """A Lease."""
    return [name_of(tree), (tree.get("spec") or {}).get("holderIdentity") or "", age_of(tree, now)]


def runtime_class_cells(tree: Tree, now: datetime) -> Cells:
    """A RuntimeClass."""
    return [name_of(tree), tree.get("handler") or "", age_of(tree, now)]


def signing_request_cells(tree: Tree, now: datetime) -> Cells:
    """A CertificateSigningRequest."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    life = spec.get("expirationSeconds")
    return [
        name_of(tree),
        age_of(tree, now),
        spec.get("signerName") or NONE,
        spec.get("username") or "",
        NONE if life is None else human_duration(life),
        _signing_state(status),
    ]


def _signing_state(status: Tree) -> str:
    kinds = {each.get("type") for each in status.get("conditions") or ()}
    text = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    if "Failed" in kinds:
        text += ",Failed"
    return f"{text},Issued" if status.get("certificate") else text


def trust_bundle_cells(tree: Tree, now: datetime) -> Cells:
    """A ClusterTrustBundle."""
    return [name_of(tree), (tree.get("spec") or {}).get("signerName") or NONE]


def pod_certificate_cells(tree: Tree, now: datetime) -> Cells:
    """A PodCertificateRequest."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    kinds = {each.get("type") for each in status.get("conditions") or () if each.get("status") == "True"}
    state = next((kind for kind in ("Issued", "Denied", "Failed") if kind in kinds), "Pending")
    fields = ("podName", "serviceAccountName", "nodeName", "signerName")
    return [name_of(tree), *(spec.get(field) or "" for field in fields), state]


def created_cells(tree: Tree, now: datetime) -> Cells:
    """A Role or a ClusterRole."""
    return [name_of(tree), created_at(tree)]


def binding_cells(tree: Tree, now: datetime) -> Cells:
    """A RoleBinding or a ClusterRoleBinding."""
    role = tree.get("roleRef") or {}
    subjects = tree.get("subjects") or ()
    return [
        name_of(tree),
        f"{role.get('kind') or ''}/{role.get('name') or ''}",
        age_of(tree, now),
        *(", ".join(_subjects(subjects, kind)) for kind in ("User", "Group", "ServiceAccount")),
    ]


def _subjects(subjects: Iterable[Tree], kind: str) -> Iterable[str]:
    for each in subjects:
        if each.get("kind") == kind:
            name = each.get("name") or ""
            yield f"{each.get('namespace') or ''}/{name}" if kind == "ServiceAccount" else name


_BINDING = Printer(columns("Role", "Age", wide=("Users", "Groups", "ServiceAccounts")), binding_cells)
_CREATED = Printer((NAME, CREATED), created_cells)

RBAC_PRINTERS: Mapping[str, Printer] = {
    "ClusterRole": _CREATED,
    "ClusterRoleBinding": _BINDING,
    "Role": _CREATED,
    "RoleBinding": _BINDING,
}
POLICY_PRINTERS: Mapping[str, Printer] = {
    "PodDisruptionBudget": Printer(
        columns("Min Available", "Max Unavailable", "Allowed Disruptions", "Age", numbers=["Allowed Disruptions"]),
        budget_cells,
    ),
}
SCHEDULING_PRINTERS: Mapping[str, Printer] = {
    "PriorityClass": Printer(
        (
            NAME,
            Column("Value", type="integer"),
            Column("Global-Default", type="boolean"),
            AGE,
            Column("PreemptionPolicy"),
        ),
        priority_class_cells,
    ),
}
COORDINATION_PRINTERS: Mapping[str, Printer] = {"Lease": Printer(columns("Holder", "Age"), lease_cells)}
NODE_PRINTERS: Mapping[str, Printer] = {"RuntimeClass": Printer(columns("Handler", "Age"), runtime_class_cells)}
CERTIFICATES_PRINTERS: Mapping[str, Printer] = {
    "CertificateSigningRequest": Printer(
        columns("Age", "SignerName", "Requestor", "RequestedDuration", "Condition"), signing_request_cells
    ),
    "ClusterTrustBundle": Printer(columns("SignerName"), trust_bundle_cells),
    "PodCertificateRequest": Printer(
        columns("PodName", "ServiceAccountName", "NodeName", "SignerName", "State"), pod_certificate_cells
    ),
}
