"""Objects as rows: which columns a kind has, and the cells of one object.

`views.py` puts rows into Table objects. One module in `columns/` holds the printers of an API group, or of a few
small ones; kinds without a printer get their name and when they were made, custom ones their name and age.
Source: the Kubernetes documentation.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bireme.api.scheme import Resource
from bireme.apiserver.columns import apps, autoscaling, batch, cluster, core, extension, mesos, networking, storage
from bireme.apiserver.columns.column import CREATED, NAME, Column, Printer
from bireme.apiserver.columns.custom import custom_printer
from bireme.apiserver.columns.pods import COMPLETED
from bireme.registry.kinds import Kind

_GROUPS: Mapping[str, Mapping[str, Printer]] = {
    "": core.PRINTERS,
    "admissionregistration.k8s.io": extension.ADMISSION_PRINTERS,
    "apiextensions.k8s.io": extension.APIEXTENSIONS_PRINTERS,
    "apiregistration.k8s.io": extension.APIREGISTRATION_PRINTERS,
    "apps": apps.PRINTERS,
    "autoscaling": autoscaling.PRINTERS,
    "batch": batch.PRINTERS,
    "certificates.k8s.io": cluster.CERTIFICATES_PRINTERS,
    "coordination.k8s.io": cluster.COORDINATION_PRINTERS,
    "discovery.k8s.io": networking.DISCOVERY_PRINTERS,
    "events.k8s.io": {"Event": core.EVENT},
    "flowcontrol.apiserver.k8s.io": extension.FLOWCONTROL_PRINTERS,
    "marathon.bireme.dev": mesos.MARATHON_PRINTERS,
    "mesos.bireme.dev": mesos.MESOS_PRINTERS,
    "networking.k8s.io": networking.PRINTERS,
    "node.k8s.io": cluster.NODE_PRINTERS,
    "policy": cluster.POLICY_PRINTERS,
    "rbac.authorization.k8s.io": cluster.RBAC_PRINTERS,
    "resource.k8s.io": extension.DEVICE_PRINTERS,
    "scheduling.k8s.io": cluster.SCHEDULING_PRINTERS,
    "storage.k8s.io": storage.PRINTERS,
    "storagemigration.k8s.io": storage.MIGRATION_PRINTERS,
}

_PRINTERS: Mapping[tuple[str, str], Printer] = {
    (group, kind): printer for group, kinds in _GROUPS.items() for kind, printer in kinds.items()
}
_CREATED = Printer((NAME, CREATED), cluster.created_cells)


def columns(resource: Resource) -> list[Column]:
    """The columns of a kind, those for `-o wide` last."""
    return list(_printer(resource).columns)


def row(resource: Resource, tree: dict[str, Any], now: datetime) -> list[Any]:
    """The cells of one object, one for each column; ages are those at `now`."""
    return _printer(resource).cells(tree, now)


def row_conditions(resource: Resource, tree: dict[str, Any]) -> list[dict[str, str]]:
    """What a row says of itself: that its pod has completed, which lets kubectl pass it over."""
    if resource.kind != "Pod" or resource.group:
        return []
    phase = (tree.get("status") or {}).get("phase")
    if phase not in COMPLETED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": COMPLETED[phase]}]


def printer_of(kind: Kind) -> Printer:
    """The printer of a kind."""
    return custom_printer(kind.custom) if kind.custom is not None else _printer(kind.resource)


def _printer(resource: Resource) -> Printer:
    found = _PRINTERS.get((resource.group, resource.kind))
    if found is not None:
        return found
    builtin = "." not in resource.group or resource.group.endswith(".k8s.io")
    return _CREATED if builtin else extension.AGED
