"""What may be applied to an object of a kind: the checks that come before an apply is worked out.

Left to others: the merge and its conflicts (`field_managers.py`), storing the result (`verbs.py`).
Source: the apply patcher and the `managedfields` package of Kubernetes.
"""

from typing import Any

from bireme.api.apply_check import faults, told
from bireme.api.errors import ApiError, BadRequest, Conflict
from bireme.api.managed_types import Typed
from bireme.registry.kinds import Kind

Tree = dict[str, Any]


class NotTyped(ApiError):
    """The configuration does not fit its kind; Kubernetes answers this without a reason."""

    code, reason = 500, ""


def check_config(kind: Kind, typed: Typed, config: Any, *, namespace: str, name: str) -> Tree:
    """The configuration, if it is one for that kind. Raises BadRequest, NotTyped."""
    if not isinstance(config, dict):
        raise BadRequest("error decoding YAML: the body must be an object")
    group, _, version = str(config.get("apiVersion") or "").rpartition("/")
    gvk = kind.resource.gvk
    if (group, version, config.get("kind")) != tuple(gvk):
        shown = f"{config.get('apiVersion') or '/'}, Kind={config.get('kind') or ''}"
        raise BadRequest(f"invalid object type: {shown}")
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise BadRequest("metadata must be an object")
    if metadata.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    found = faults(typed, config)
    if found:
        place = f"{metadata.get('namespace') or namespace}/{metadata.get('name') or name}"
        what = f"{gvk.api_version}, Kind={gvk.kind}"
        raise NotTyped(f"failed to create typed patch object ({place}; {what}): {told(found)}")
    return config


def check_absent(kind: Kind, name: str, config: Tree) -> None:
    """Raise Conflict where the configuration means an object of a certain uid, and there is none."""
    uid = (config.get("metadata") or {}).get("uid")
    if uid:
        raise Conflict(
            f'Operation cannot be fulfilled on {kind.resource.title} "{name}": uid mismatch: '
            f"the provided object specified uid {uid}, and no existing object was found",
            details={"name": name, "group": kind.resource.group, "kind": kind.resource.plural},
        )
