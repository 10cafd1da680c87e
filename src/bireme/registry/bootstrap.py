"""The objects that every cluster has from the first moment on, made if they are missing.

Source: the Kubernetes documentation on start-up objects. Roles come with the part that uses them.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_address
from typing import Any

from bireme.api.errors import AlreadyExists
from bireme.registry.admission.priority import SYSTEM_CLASSES
from bireme.registry.flow_defaults import keep_flow_objects
from bireme.registry.identity import tell_identity
from bireme.registry.options import Call
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
MANAGER = "kube-apiserver"
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def make_start_objects(
    registry: Registry, *, service_range: IPv4Network, advertise_address: str, port: int
) -> None:
    """Make what is missing; `advertise_address:port` is where pods find this server."""
    for namespace in NAMESPACES:
        await _ensure(registry, "", "v1", "namespaces", "", {"metadata": {"name": namespace}})
    for tree in _priority_classes():
        await _ensure(registry, "scheduling.k8s.io", "v1", "priorityclasses", "", tree)
    await keep_flow_objects(registry)
    await tell_identity(registry)
    cidr = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": [str(service_range)]}}
    await _ensure(registry, "networking.k8s.io", "v1", "servicecidrs", "", cidr)
    service = _service(str(service_range.network_address + 1), port)
    await _ensure(registry, "", "v1", "services", "default", service)
    if ip_address(advertise_address).is_loopback:
        return  # no pod could reach it, and endpoints may not say it
    await _put(registry, "", "v1", "endpoints", _endpoints(advertise_address, port))
    await _put(registry, "discovery.k8s.io", "v1", "endpointslices", _endpoint_slice(advertise_address, port))


async def _ensure(registry: Registry, group: str, version: str, plural: str, namespace: str, tree: Tree) -> None:
    kind = registry.kind(group, version, plural)
    if registry.find(group, version, plural, namespace, tree["metadata"]["name"]) is not None:
        return
    try:
        await registry.create(kind, namespace, tree, Call(field_manager=MANAGER))
    except AlreadyExists:
        return


async def _put(registry: Registry, group: str, version: str, plural: str, tree: Tree) -> None:
    """Have the object of that name in `default` be as in `tree`: the address may have changed."""
    kind = registry.kind(group, version, plural)
    name = tree["metadata"]["name"]
    if registry.find(group, version, plural, "default", name) is None:
        await registry.create(kind, "default", tree, Call(field_manager=MANAGER))
    else:
        await registry.update(kind, "default", name, tree, Call(field_manager=MANAGER))


def _priority_classes() -> Iterator[Tree]:
    purposes = {
        "system-cluster-critical": "Used for system critical pods that must run in the cluster, but can be moved to "
        "another node if necessary.",
        "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
    }
    for name, value in SYSTEM_CLASSES.items():
        yield {"metadata": {"name": name}, "value": value, "description": purposes[name]}


def _service(address: str, port: int) -> Tree:
    ports = [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}]
    return {
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": ports},
    }


def _endpoints(address: str, port: int) -> Tree:
    return {
        "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    }


def _endpoint_slice(address: str, port: int) -> Tree:
    return {
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
