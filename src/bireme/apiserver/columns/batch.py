"""The rows of the batch group."""

from collections.abc import Mapping
from datetime import datetime

from bireme.apiserver.columns.column import (
    NONE,
    Cells,
    Printer,
    Tree,
    age_of,
    columns,
    containers_text,
    has_condition,
    human_duration,
    name_of,
    selector_text,
    since,
    time_of,
    true_false,
)


def job_cells(tree: Tree, now: datetime) -> Cells:
    """A Job."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    return [
        name_of(tree),
        _status(tree, status),
        _completions(spec, status),
        _duration(status, now),
        age_of(tree, now),
        *containers_text(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def _status(tree: Tree, status: Tree) -> str:
    for kind in ("Complete", "Failed"):
        if has_condition(status, kind):
            return kind
    if (tree.get("metadata") or {}).get("deletionTimestamp"):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if has_condition(status, kind):
            return kind
    return "Running"


def _completions(spec: Tree, status: Tree) -> str:
    succeeded = status.get("succeeded") or 0
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(status: Tree, now: datetime) -> str:
    start = time_of(status.get("startTime"))
    if start is None:
        return ""
    return human_duration(((time_of(status.get("completionTime")) or now) - start).total_seconds())


def cron_job_cells(tree: Tree, now: datetime) -> Cells:
    """A CronJob."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = status.get("lastScheduleTime")
    return [
        name_of(tree),
        spec.get("schedule") or "",
        spec.get("timeZone") or NONE,
        true_false(spec.get("suspend")),
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age_of(tree, now),
        *containers_text(job.get("template")),
        selector_text(job.get("selector")),
    ]


_TEMPLATE = ("Containers", "Images", "Selector")

PRINTERS: Mapping[str, Printer] = {
    "CronJob": Printer(
        columns(
            "Schedule",
            "Timezone",
            "Suspend",
            "Active",
            "Last Schedule",
            "Age",
            wide=_TEMPLATE,
            numbers=["Active"],
        ),
        cron_job_cells,
    ),
    "Job": Printer(columns("Status", "Completions", "Duration", "Age", wide=_TEMPLATE), job_cells),
}
