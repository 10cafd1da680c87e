"""The rows of the Mesos and Marathon decks."""

from collections.abc import Mapping
from datetime import datetime

from bireme.apiserver.columns.column import NONE, Cells, Printer, Tree, age_of, columns, name_of


def framework_cells(tree: Tree, now: datetime) -> Cells:
    """A framework: what it calls itself, its principal, whether it is connected."""
    info = (tree.get("spec") or {}).get("info") or {}
    state = (tree.get("status") or {}).get("state") or NONE
    return [name_of(tree), info.get("name") or NONE, info.get("principal") or NONE, state, age_of(tree, now)]


def agent_cells(tree: Tree, now: datetime) -> Cells:
    """The Mesos side of a node."""
    spec = tree.get("spec") or {}
    return [name_of(tree), spec.get("agentId") or NONE, age_of(tree, now)]


def app_cells(tree: Tree, now: datetime) -> Cells:
    """A Marathon app: instances running of those wanted, how many are healthy."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    running = f"{status.get('running') or 0}/{spec.get('instances') or 0}"
    healthy = status.get("healthy") or 0
    return [name_of(tree), spec.get("id") or NONE, running, healthy, spec.get("version") or NONE, age_of(tree, now)]


def deployment_cells(tree: Tree, now: datetime) -> Cells:
    """A Marathon deployment: which step it is at."""
    status = tree.get("status") or {}
    step = f"{status.get('currentStep') or 0}/{status.get('totalSteps') or 0}"
    return [name_of(tree), step, age_of(tree, now)]


def instance_cells(tree: Tree, now: datetime) -> Cells:
    """An instance of an app: its condition, and where it is."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    place = [spec.get("appId") or NONE, status.get("condition") or NONE, spec.get("host") or NONE]
    return [name_of(tree), *place, age_of(tree, now)]


MESOS_PRINTERS: Mapping[str, Printer] = {
    "Framework": Printer(columns("Framework", "Principal", "State", "Age"), framework_cells),
    "Agent": Printer(columns("Agent ID", "Age"), agent_cells),
}

MARATHON_PRINTERS: Mapping[str, Printer] = {
    "App": Printer(columns("App", "Running", "Healthy", "Version", "Age", numbers=["Healthy"]), app_cells),
    "Deployment": Printer(columns("Step", "Age"), deployment_cells),
    "Instance": Printer(columns("App", "Condition", "Host", "Age"), instance_cells),
}
