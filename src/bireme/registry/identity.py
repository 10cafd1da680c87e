"""The Lease by which this API server tells that it is alive. Source: the Kubernetes documentation on leases."""

import base64
import hashlib
import platform
import re
from typing import Any

from bireme.api.errors import AlreadyExists, Conflict, NotFound
from bireme.api.times import rfc3339_micro
from bireme.registry.options import Call
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
LIFETIME_S = 3600
_NAMESPACE = "kube-system"


def identity_of(host: str) -> str:
    """The name of the API server on a machine, and of its Lease."""
    digest = base64.b32encode(hashlib.sha256(host.encode()).digest()).decode().lower().rstrip("=")
    return f"apiserver-{digest[:26]}"


async def tell_identity(registry: Registry) -> None:
    """Make the Lease, or renew it."""
    host = platform.node()
    kind, name = registry.kind("coordination.k8s.io", "v1", "leases"), identity_of(host)
    now, call = rfc3339_micro(registry.clock.now()), Call(field_manager="kube-apiserver")
    found = registry.find("coordination.k8s.io", "v1", "leases", _NAMESPACE, name)
    try:
        if found is None:
            await registry.create(kind, _NAMESPACE, _lease(name, host, now), call)
        else:
            renewed = {**found, "spec": {**found["spec"], "renewTime": now}}
            await registry.update(kind, _NAMESPACE, name, renewed, call)
    except (AlreadyExists, Conflict, NotFound):
        return  # the next round looks again


def _lease(name: str, host: str, now: str) -> Tree:
    label = re.sub(r"[^A-Za-z0-9_.-]", "-", host)[:63].strip("-_.")
    labels = {"apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": label}
    spec = {"holderIdentity": name, "leaseDurationSeconds": LIFETIME_S, "renewTime": now}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}
