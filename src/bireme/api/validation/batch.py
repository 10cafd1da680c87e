"""The rules of the batch group. Source: the Kubernetes documentation, Job and CronJob."""

import functools
import re
import zoneinfo
from collections.abc import Mapping

from bireme.api.validation.field import IMMUTABLE, Problems, Rules, Tree, check_not_negative, check_one_of
from bireme.api.validation.pods import check_template
from bireme.api.validation.selectors import check_selector, matches

_JOB_NUMBERS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_MAX_RULES = 20
_MAX_INDEXED_PARALLELISM = 100_000
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_MACROS = frozenset(("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"))
_EVERY = re.compile(r"@every (?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ns|us|ms|s|m|h)){1,6}")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[int, int, list[str], int], ...] = (
    (0, 59, [], 0),
    (0, 23, [], 0),
    (1, 31, [], 0),
    (1, 12, _MONTHS, 1),
    (0, 6, _DAYS, 0),
)


def check_job(problems: Problems, tree: Tree) -> None:
    """A Job; by now it has its selector, generated or its own."""
    spec = tree.get("spec") or {}
    if spec.get("selector") is None:
        problems.required("spec.selector")
    _check_job_spec(problems, spec, "spec")
    if not spec.get("manualSelector"):
        _check_generated_labels(problems, tree, spec)


def _check_generated_labels(problems: Problems, tree: Tree, spec: Tree) -> None:
    """Labels that tell the Job's pods from others say the Job's own uid and name."""
    metadata = tree.get("metadata") or {}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    wanted = {"controller-uid": metadata.get("uid"), "job-name": metadata.get("name")}
    for name, value in wanted.items():
        for label in (name, f"batch.kubernetes.io/{name}"):
            if label in labels and labels[label] != value:
                problems.invalid("spec.template.metadata.labels", labels, f"`{label}` must be {value}")


def _check_job_spec(problems: Problems, spec: Tree, path: str) -> None:
    check_not_negative(problems, spec, _JOB_NUMBERS, path)
    check_selector(problems, spec.get("selector"), f"{path}.selector")
    check_one_of(problems, spec, "completionMode", path, ("NonIndexed", "Indexed"))
    check_one_of(problems, spec, "podReplacementPolicy", path, ("TerminatingOrFailed", "Failed"))
    if spec.get("completionMode") == "Indexed":
        if spec.get("completions") is None:
            problems.required(f"{path}.completions", "when completion mode is Indexed")
        if (spec.get("parallelism") or 0) > _MAX_INDEXED_PARALLELISM:
            fault = f"must be less than or equal to {_MAX_INDEXED_PARALLELISM} when completion mode is Indexed"
            problems.invalid(f"{path}.parallelism", spec["parallelism"], fault)
    else:
        for field in ("backoffLimitPerIndex", "successPolicy"):
            if spec.get(field) is not None:
                problems.invalid(f"{path}.{field}", spec[field], "requires indexed completion mode")
    template = spec.get("template")
    labels = ((template or {}).get("metadata") or {}).get("labels") or {}
    if spec.get("selector") and not matches(spec["selector"], labels):
        problems.invalid(f"{path}.template.metadata.labels", labels, "`selector` does not match template `labels`")
    check_template(problems, template, f"{path}.template")
    policy = ((template or {}).get("spec") or {}).get("restartPolicy")
    if template is not None and policy not in ("OnFailure", "Never"):
        problems.required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    if spec.get("podFailurePolicy") is not None:
        _check_failure_policy(problems, spec, f"{path}.podFailurePolicy", str(policy))


def _check_failure_policy(problems: Problems, spec: Tree, path: str, restart_policy: str) -> None:
    if restart_policy != "Never":
        fault = 'only "Never" is supported when podFailurePolicy is specified'
        problems.invalid(path.replace("podFailurePolicy", "template.spec.restartPolicy"), restart_policy, fault)
    rules = spec["podFailurePolicy"].get("rules") or ()
    if len(rules) > _MAX_RULES:
        problems.too_many(f"{path}.rules", len(rules), _MAX_RULES)
    for index, rule in enumerate(rules):
        at = f"{path}.rules[{index}]"
        check_one_of(problems, rule, "action", at, _ACTIONS, needed=True)
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes is not None and conditions:
            problems.invalid(at, "", "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not conditions:
            problems.invalid(at, "", "specifying one of OnExitCodes and OnPodConditions is required")
        if codes is not None:
            check_one_of(problems, codes, "operator", f"{at}.onExitCodes", ("In", "NotIn"), needed=True)
            values = codes.get("values") or []
            if not values:
                problems.invalid(f"{at}.onExitCodes.values", values, "at least one value is required")
            if codes.get("operator") == "In" and 0 in values:
                fault = "must not be 0 for the In operator"
                problems.invalid(f"{at}.onExitCodes.values[{values.index(0)}]", 0, fault)


def check_job_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A Job keeps what makes it that Job; while suspended its template may still be placed elsewhere."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    elastic = (
        before.get("completionMode") == "Indexed"
        and spec.get("completions") == spec.get("parallelism")
        and before.get("completions") == before.get("parallelism")
    )
    fixed = ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    for field in fixed if elastic else ["completions", *fixed]:
        if spec.get(field) != before.get(field):
            problems.invalid(f"spec.{field}", spec.get(field), IMMUTABLE)
    template, was = spec.get("template"), before.get("template")
    if template != was:
        suspended = before.get("suspend") and not (old.get("status") or {}).get("startTime")
        if not suspended or _without_placement(template) != _without_placement(was):
            problems.invalid("spec.template", template, IMMUTABLE)


def _without_placement(template: Tree | None) -> Tree:
    """The template but for what may change while the Job waits."""
    settled = dict(template or {})
    metadata = settled.pop("metadata", None) or {}
    kept = {name: value for name, value in metadata.items() if name not in ("labels", "annotations")}
    placement = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
    spec = {name: value for name, value in (settled.pop("spec", None) or {}).items() if name not in placement}
    return {**settled, "metadata": kept, "spec": spec}


def check_cron_job(problems: Problems, tree: Tree) -> None:
    """A CronJob."""
    spec = tree.get("spec") or {}
    _check_schedule(problems, spec)
    numbers = ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    check_not_negative(problems, spec, numbers, "spec")
    check_one_of(problems, spec, "concurrencyPolicy", "spec", ("Allow", "Forbid", "Replace"), needed=True)
    zone = spec.get("timeZone")
    if zone is not None:
        _check_zone(problems, zone)
    job = spec.get("jobTemplate") or {}
    job_spec = job.get("spec") or {}
    if job_spec.get("manualSelector"):
        problems.unsupported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false"))
    _check_job_spec(problems, job_spec, "spec.jobTemplate.spec")


def _check_schedule(problems: Problems, spec: Tree) -> None:
    schedule = spec.get("schedule") or ""
    if not schedule:
        problems.required("spec.schedule")
    elif "TZ" in schedule:
        fault = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        problems.invalid("spec.schedule", schedule, fault)
    else:
        fault = schedule_fault(schedule)
        if fault:
            problems.invalid("spec.schedule", schedule, fault)


def schedule_fault(schedule: str) -> str:
    """What is wrong with a cron schedule of five fields or a macro; "" when it is good."""
    if schedule in _MACROS or _EVERY.fullmatch(schedule):
        return ""
    if schedule.startswith("@"):
        return f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return f"expected exactly 5 fields, found {len(fields)}: {fields}"
    for field, (low, high, names, first) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            fault = _part_fault(part.lower(), low, high, {name: number for number, name in enumerate(names, first)})
            if fault:
                return fault
    return ""


def _part_fault(part: str, low: int, high: int, names: Mapping[str, int]) -> str:
    bounds, slash, step = part.partition("/")
    if slash and not (step.isascii() and step.isdigit() and len(step) < 5 and int(step) > 0):
        return (
            f"failed to parse int from {step}"
            if step != "0"
            else f"step of range should be a positive number: {part}"
        )
    if bounds in ("*", "?"):
        return ""
    ends = bounds.split("-")
    if len(ends) > 2:
        return f"too many hyphens: {part}"
    numbers = []
    for end in ends:
        if end in names:
            numbers.append(names[end])
        elif end.isascii() and end.isdigit() and len(end) < 5:
            numbers.append(int(end))
        else:
            return f'failed to parse int from {end}: strconv.Atoi: parsing "{end}": invalid syntax'
    if numbers[0] < low:
        return f"beginning of range ({numbers[0]}) below minimum ({low}): {part}"
    if numbers[-1] > high:
        return f"end of range ({numbers[-1]}) above maximum ({high}): {part}"
    if numbers[0] > numbers[-1]:
        return f"beginning of range ({numbers[0]}) beyond end of range ({numbers[-1]}): {part}"
    return ""


def _check_zone(problems: Problems, zone: str) -> None:
    if not zone:
        problems.invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")
    elif zone.lower() == "local" or not _is_zone(zone[:100]):
        problems.invalid("spec.timeZone", zone, f"unknown time zone {zone}")


@functools.lru_cache(maxsize=256)
def _is_zone(zone: str) -> bool:
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


RULES: Mapping[str, Rules] = {
    "CronJob": Rules(check_cron_job),
    "Job": Rules(check_job, check_job_update),
}
