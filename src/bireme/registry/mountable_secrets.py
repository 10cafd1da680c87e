"""Which secrets a pod refers to, and those that its service account does not let it have.

An account that says so (`kubernetes.io/enforce-mountable-secrets`) lists every secret that its pods may use. Plain
functions. Source: the Kubernetes documentation on service accounts; CVE-2023-2728, CVE-2024-3177.
"""

from collections.abc import Iterator
from typing import Any

Tree = dict[str, Any]
ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_CONTAINERS = (
    ("initContainers", "init container"),
    ("containers", "container"),
    ("ephemeralContainers", "ephemeral container"),
)


def is_enforced(account: Tree) -> bool:
    """Whether the account's list of secrets binds."""
    return str((account["metadata"].get("annotations") or {}).get(ENFORCE, "")).lower() in ("true", "1", "t")


def first_fault(spec: Tree, account: Tree) -> str:
    """Why the pod may not run as the account; "" where it may."""
    name = account["metadata"]["name"]
    mountable = {one.get("name") for one in account.get("secrets") or ()}
    for what, secret in secrets_of(spec):
        if secret not in mountable:
            return (
                f'{what} secret.secretName="{secret}" is not allowed because service account {name} '
                "does not reference that secret"
            )
    pullable = {one.get("name") for one in account.get("imagePullSecrets") or ()}
    for number, one in enumerate(spec.get("imagePullSecrets") or ()):
        if one.get("name") not in pullable:
            return (
                f'imagePullSecrets[{number}].name="{one.get("name", "")}" is not allowed because service account '
                f"{name} does not reference that imagePullSecret"
            )
    return ""


def secrets_of(spec: Tree) -> Iterator[tuple[str, str]]:
    """Each secret that volumes and containers refer to, after the words for what refers to it."""
    for volume in spec.get("volumes") or ():
        if volume.get("secret"):
            yield "volume with", volume["secret"].get("secretName") or ""
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("secret"):
                yield "volume with", source["secret"].get("name") or ""
    for field, title in _CONTAINERS:
        for container in spec.get(field) or ():
            yield from _of_container(container, f"{title} {container.get('name', '')}")


def _of_container(container: Tree, who: str) -> Iterator[tuple[str, str]]:
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
        if reference:
            yield f"{who} with envVar {variable.get('name', '')} referencing", reference.get("name") or ""
    for source in container.get("envFrom") or ():
        if source.get("secretRef"):
            yield f"{who} with envFrom referencing", source["secretRef"].get("name") or ""
