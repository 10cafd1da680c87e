"""Whether the names of a custom kind are free, and what its definition's status says of that.

Plain functions over trees. Names that others hold in the same group are refused one by one; a kind is served once
all of its names are its own, and stays so. Source: the naming controller of Kubernetes' apiextensions server.
"""

from collections.abc import Iterable
from typing import Any

Tree = dict[str, Any]

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
APPROVED = "api-approved.kubernetes.io"
_NAMES = ("plural", "singular", "shortNames", "kind", "listKind", "categories")


def is_true(tree: Tree, condition: str) -> bool:
    """Whether a condition of a definition is true."""
    conditions = (tree.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == condition and item.get("status") == "True" for item in conditions)


def is_protected(group: str) -> bool:
    """Whether a group belongs to Kubernetes itself."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def settle_status(tree: Tree, others: Iterable[Tree], reserved: tuple[set[str], set[str]], *, now: str) -> Tree:
    """The status of a definition beside `others`; `reserved` are the resources and kinds that are built in."""
    spec = tree.get("spec") or {}
    status: Tree = dict(tree.get("status") or {})
    resources, kinds = set(reserved[0]), set(reserved[1])
    for other in others:
        if (other.get("spec") or {}).get("group") == spec.get("group"):
            held = (other.get("status") or {}).get("acceptedNames") or {}
            resources.update(
                filter(None, (held.get("plural"), held.get("singular"), *(held.get("shortNames") or ())))
            )
            kinds.update(filter(None, (held.get("kind"), held.get("listKind"))))
    accepted, conflict = _accept(spec.get("names") or {}, status.get("acceptedNames") or {}, resources, kinds)
    status["acceptedNames"] = accepted
    reason, message = conflict or ("NoConflicts", "no conflicts found")
    _set(status, "NamesAccepted", "False" if conflict else "True", reason, message, now)
    if not conflict:
        if not is_true({"status": status}, "Established"):
            _set(status, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now)
    elif not is_true({"status": status}, "Established"):
        _set(status, "Established", "False", "NotAccepted", "not all names are accepted", now)
    _settle_approval(tree, status, now)
    storage = next((each["name"] for each in spec.get("versions") or () if each.get("storage")), None)
    stored = list(status.get("storedVersions") or ())
    if storage is not None and storage not in stored:
        stored.append(storage)
    status["storedVersions"] = stored
    return status


def _accept(wanted: Tree, held: Tree, resources: set[str], kinds: set[str]) -> tuple[Tree, tuple[str, str] | None]:
    accepted = {name: held[name] for name in _NAMES if name in held}
    conflict: tuple[str, str] | None = None
    for name, reason, taken in (
        ("plural", "PluralConflict", resources),
        ("singular", "SingularConflict", resources),
        ("shortNames", "ShortNamesConflict", resources),
        ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
    ):
        value = wanted.get(name)
        texts = value if isinstance(value, list) else [value] if value else []
        clash = [text for text in texts if text in taken]
        if clash:
            shown = ", ".join(f'"{text}" is already in use' for text in clash)
            conflict = conflict or (reason, f"[{shown}]" if len(clash) > 1 else shown)
        elif value:
            accepted[name] = value
        else:
            accepted.pop(name, None)
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    else:
        accepted.pop("categories", None)
    return accepted, conflict


def _settle_approval(tree: Tree, status: Tree, now: str) -> None:
    if not is_protected((tree.get("spec") or {}).get("group") or ""):
        return
    said = ((tree.get("metadata") or {}).get("annotations") or {}).get(APPROVED) or ""
    condition = "KubernetesAPIApprovalPolicyConformant"
    if said.startswith("unapproved"):
        _set(status, condition, "False", "UnapprovedAnnotation", f'not approved: "{said}"', now)
    elif "://" in said:
        _set(status, condition, "True", "ApprovedAnnotation", f"approved in {said}", now)
    else:
        missing = f'protected groups must have approval annotation "{APPROVED}", see https://github.com/kubernetes/enhancements/pull/1111'
        _set(status, condition, "False", "MissingAnnotation", missing, now)


def set_terminating(tree: Tree, reason: str, message: str, *, now: str) -> None:
    """Say in the status, in place, how far the deletion has come."""
    status = tree.setdefault("status", {})
    _set(status, "Terminating", "True", reason, message, now)


def _set(status: Tree, type: str, value: str, reason: str, message: str, now: str) -> None:
    conditions = list(status.get("conditions") or ())
    made = {"type": type, "status": value, "lastTransitionTime": now, "reason": reason, "message": message}
    for index, item in enumerate(conditions):
        if item.get("type") == type:
            if item.get("status") == value and item.get("lastTransitionTime"):
                made["lastTransitionTime"] = item["lastTransitionTime"]
            conditions[index] = made
            break
    else:
        conditions.append(made)
    status["conditions"] = conditions
