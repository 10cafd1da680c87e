"""What an update may touch: the main resource all but the status, each subresource its own part.

Plain functions over trees. Source: the Kubernetes documentation on writing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bireme.api.errors import Cause
from bireme.api.scheme import Resource
from bireme.registry import template_generation
from bireme.registry.strategy import Strategy, invalid

Tree = dict[str, Any]

_OWNED_BY_SERVER = frozenset(
    (
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "namespace",
        "name",
        "generateName",
    )
)
_KEPT_BY_PARTS = _OWNED_BY_SERVER | {"ownerReferences"}
_KEPT_BY_PODS = _KEPT_BY_PARTS | {"finalizers"}
_APART = frozenset(("resourceVersion", "managedFields"))
APPROVALS = ("Approved", "Denied")
RESIZABLE = ("cpu", "memory")


def prepare_update(resource: Resource, tree: Tree, old: Tree, *, subresource: str) -> Tree:
    """The tree to store when `old` is updated with `tree`: only what the (sub)resource may touch is taken.

    What was in the metadata stays in its place, so that an update changes no more bytes than it has to.
    """
    new = _PARTS.get(subresource, _main)(resource, tree, old)
    kept = _OWNED_BY_SERVER
    if subresource:
        kept = _KEPT_BY_PODS if resource.kind == "Pod" else _KEPT_BY_PARTS
    new["metadata"] = _metadata(tree["metadata"], old["metadata"], kept)
    if _is_daemon_set(resource):
        template_generation.keep(new, old)
    return new


def _metadata(said: Tree, old: Tree, kept: frozenset[str]) -> Tree:
    made = {
        name: value if name in kept else said[name]
        for name, value in old.items()
        if (name in kept or name in said) and name not in _APART
    }
    made.update((name, value) for name, value in said.items() if name not in kept and name not in _APART)
    return made


def _main(resource: Resource, tree: Tree, old: Tree) -> Tree:
    new = dict(tree)
    if resource.has_status:
        _restore(new, old, "status")
    if resource.kind in ("Namespace", "CertificateSigningRequest"):
        _restore(new, old, "spec")
    return new


def _status(resource: Resource, tree: Tree, old: Tree) -> Tree:
    new = dict(old)
    _restore(new, tree, "status")
    if resource.kind == "CertificateSigningRequest":
        _keep_approvals(new, old)
    return new


def _keep_approvals(new: Tree, old: Tree) -> None:
    """Whether a request was approved is said through its approval alone, which needs a right of its own."""
    status = dict(new.get("status") or {})
    kept = [c for c in (old.get("status") or {}).get("conditions") or () if c.get("type") in APPROVALS]
    conditions = kept + [c for c in status.get("conditions") or () if c.get("type") not in APPROVALS]
    if conditions:
        status["conditions"] = conditions
    else:
        status.pop("conditions", None)
    if status:
        new["status"] = status
    else:
        new.pop("status", None)


def _finalize(resource: Resource, tree: Tree, old: Tree) -> Tree:
    return {**old, "spec": tree.get("spec") or {}}


def _approval(resource: Resource, tree: Tree, old: Tree) -> Tree:
    status = dict(old.get("status") or {})
    kept = [c for c in status.get("conditions") or () if c.get("type") not in APPROVALS]
    said = (tree.get("status") or {}).get("conditions") or ()
    status["conditions"] = kept + [c for c in said if c.get("type") in APPROVALS]
    return {**old, "status": status}


def _ephemeral_containers(resource: Resource, tree: Tree, old: Tree) -> Tree:
    spec = dict(old["spec"])
    _restore(spec, tree.get("spec") or {}, "ephemeralContainers")
    present = {c.get("name"): c for c in spec.get("ephemeralContainers") or ()}
    for container in old["spec"].get("ephemeralContainers") or ():
        if present.get(container["name"]) != container:
            text = "Forbidden: existing ephemeral containers may not be changed or removed"
            cause = Cause("FieldValueForbidden", text, "spec.ephemeralContainers")
            raise invalid(resource, old["metadata"]["name"], [cause])
    return {**old, "spec": spec}


def _resize(resource: Resource, tree: Tree, old: Tree) -> Tree:
    spec = dict(old["spec"])
    for field in ("containers", "initContainers"):
        said = {c.get("name"): c for c in (tree.get("spec") or {}).get(field) or ()}
        if field in spec:
            spec[field] = [_resized(container, said.get(container["name"])) for container in spec[field]]
    return {**old, "spec": spec}


def _resized(container: Tree, said: Tree | None) -> Tree:
    if said is None:
        return container
    made = dict(container)
    resources = {name: dict(amounts or {}) for name, amounts in (container.get("resources") or {}).items() if amounts}
    for part in ("requests", "limits"):
        wanted = (said.get("resources") or {}).get(part) or {}
        amounts = {k: v for k, v in (resources.get(part) or {}).items() if k not in RESIZABLE}
        amounts.update((k, v) for k, v in wanted.items() if k in RESIZABLE)
        if amounts:
            resources[part] = amounts
        else:
            resources.pop(part, None)
    made["resources"] = resources
    return made


_PARTS: Mapping[str, Callable[[Resource, Tree, Tree], Tree]] = {
    "status": _status,
    "finalize": _finalize,
    "approval": _approval,
    "ephemeralcontainers": _ephemeral_containers,
    "resize": _resize,
}


def _restore(tree: Tree, source: Tree, name: str) -> None:
    tree.pop(name, None)
    if name in source:
        tree[name] = source[name]


def count_generations(
    resource: Resource, strategy: Strategy, new: Tree, old: Tree, *, has_status: bool = True
) -> None:
    """Raise the generation of `new` if anything but metadata and status (where that is a thing apart) differs.

    DaemonSets count their templates too.
    """
    if not strategy.counts_generations:
        return
    ignored = ("metadata", "status", "kind", "apiVersion") if has_status else ("metadata", "kind", "apiVersion")
    if {k: v for k, v in new.items() if k not in ignored} != {k: v for k, v in old.items() if k not in ignored}:
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    if _is_daemon_set(resource):
        template_generation.count(new, old)


def _is_daemon_set(resource: Resource) -> bool:
    return resource.kind == "DaemonSet" and resource.api_version == "apps/v1"


def check_finalizers(resource: Resource, new: Tree, old: Tree) -> None:
    """Raise Invalid where a finalizer is added to an object that is going."""
    if "deletionTimestamp" not in old["metadata"]:
        return
    added = set(new["metadata"].get("finalizers") or ()) - set(old["metadata"].get("finalizers") or ())
    if added:
        shown = ", ".join(f'"{name}"' for name in sorted(added))
        text = (
            "Forbidden: no new finalizers can be added if the object is being deleted, "
            f"found new finalizers []string{{{shown}}}"
        )
        raise invalid(resource, new["metadata"]["name"], [Cause("FieldValueForbidden", text, "metadata.finalizers")])
