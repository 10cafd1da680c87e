"""A namespace's pod security policy: what its labels ask for, and what a pod does against it.

Plain functions. The checks themselves stand in `checks.py`. Source: the Kubernetes documentation on pod security
admission.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bireme.api.errors import Cause
from bireme.registry.pod_security.checks import CHECKS, CheckPod, Fault

Tree = dict[str, Any]
PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
LATEST = "latest"
NEWEST_MINOR = 37
MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)", re.ASCII)


class Standard(NamedTuple):
    """A level in the form of one version."""

    level: str = "privileged"
    version: str = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


ALLOW_ALL = Standard()


@dataclass(frozen=True, slots=True)
class Policy:
    """What is refused, what is put in the audit log, what is warned of; and what is wrong with the labels."""

    enforce: Standard = ALLOW_ALL
    audit: Standard = ALLOW_ALL
    warn: Standard = ALLOW_ALL
    faults: tuple[Cause, ...] = field(default=(), compare=False)

    @property
    def restricts(self) -> bool:
        """Whether anything at all is held to a standard."""
        return any(standard.level != "privileged" for standard in (self.enforce, self.audit, self.warn))


PRIVILEGED = Policy()


@dataclass(frozen=True, slots=True)
class Exempt:
    """Who is held to no standard: what these users write, pods of these runtime classes, all in these namespaces."""

    users: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()


NOBODY = Exempt()


def policy_of(labels: Mapping[str, str] | None, default: Policy = PRIVILEGED) -> Policy:
    """The policy that the labels of a namespace ask for; what cannot be read is taken at its strictest.

    Where they say nothing the `default` holds.
    """
    if not labels or not any(label.startswith(PREFIX) for label in labels):
        return default
    faults: list[Cause] = []
    standards = {}
    for mode, usual in zip(MODES, (default.enforce, default.audit, default.warn), strict=True):
        level = labels.get(PREFIX + mode, usual.level)
        if level not in LEVELS:
            faults.append(_fault(PREFIX + mode, level, "must be one of privileged, baseline, restricted"))
            level = "restricted" if mode == "enforce" else "privileged"
        version = labels.get(f"{PREFIX}{mode}-version", usual.version)
        if version != LATEST and not _VERSION.fullmatch(version):
            faults.append(_fault(f"{PREFIX}{mode}-version", version, 'must be "latest" or "v1.x"'))
            version = LATEST
        standards[mode] = Standard(level, version)
    return Policy(standards["enforce"], standards["audit"], standards["warn"], tuple(faults))


def _fault(label: str, value: str, text: str) -> Cause:
    return Cause("FieldValueInvalid", f'Invalid value: "{value}": {text}', f"metadata.labels[{label}]")


@functools.cache
def checks_of(standard: Standard) -> tuple[CheckPod, ...]:
    """The checks of a standard, in the order in which their faults are told."""
    if standard.level == "privileged":
        return ()
    minor = NEWEST_MINOR if standard.version == LATEST else min(int(standard.version[3:]), NEWEST_MINOR)
    chosen: dict[str, CheckPod] = {}
    for check in CHECKS:
        if check.restricted and standard.level != "restricted":
            continue
        forms = [form for since, form in check.forms if since <= minor]
        if forms:
            chosen[check.id] = forms[-1]
            chosen.pop(check.replaces, None)
    return tuple(chosen.values())


def faults_of(standard: Standard, metadata: Tree, spec: Tree) -> list[Fault]:
    """What the pod does against the standard."""
    return [fault for check in checks_of(standard) if (fault := check(metadata, spec)) is not None]


def told(faults: Sequence[Fault]) -> str:
    """The faults with their details, as refusals and warnings say them."""
    return ", ".join(f"{fault.reason} ({fault.detail})" for fault in faults)


def is_stricter(new: Standard, old: Standard) -> bool:
    """Whether pods that `old` let in may be against `new`."""
    if new == old or new.level == "privileged":
        return False
    return new.version != old.version or LEVELS.index(new.level) > LEVELS.index(old.level)


def warnings_of(namespace: str, standard: Standard, pods: Sequence[Tree], *, total: int) -> list[str]:
    """What to warn of when `standard` is to be enforced in a namespace with `pods` (the first of `total`)."""
    offenders: dict[str, list[str]] = {}
    for pod in pods:
        faults = faults_of(standard, pod["metadata"], pod.get("spec") or {})
        if faults:
            offenders.setdefault(", ".join(fault.reason for fault in faults), []).append(pod["metadata"]["name"])
    warnings = []
    if len(pods) < total:
        warnings.append(
            f"new PodSecurity enforce level only checked against the first {len(pods)} of {total} existing pods"
        )
    if offenders:
        warnings.append(
            f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{standard}"'
        )
    return warnings + sorted(f"{_pods(names)}: {reasons}" for reasons, names in offenders.items())


def one_of_each_first(pods: Iterable[Tree]) -> list[Tree]:
    """The pods, the first of each controller before the others of its kind, which are like it."""
    first: list[Tree] = []
    others: list[Tree] = []
    seen = set()
    for pod in pods:
        owners = pod["metadata"].get("ownerReferences") or ()
        owner = next((one["uid"] for one in owners if one.get("controller")), None)
        (others if owner in seen else first).append(pod)
        if owner is not None:
            seen.add(owner)
    return first + others


def ignored(namespace: str, policy: Policy, labels: Mapping[str, str]) -> str:
    """What to warn of when a namespace that is held to no standard asks for one."""
    standards = zip(MODES, (policy.enforce, policy.audit, policy.warn), strict=True)
    said = [
        f"{mode}={standard}"
        for mode, standard in standards
        if standard.level != "privileged" and not labels.keys().isdisjoint((PREFIX + mode, f"{PREFIX}{mode}-version"))
    ]
    return f'namespace "{namespace}" is exempt from Pod Security, and the policy ({", ".join(said)}) will be ignored'


def _pods(names: list[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{min(names)} (and {others} other pod{'' if others == 1 else 's'})"
