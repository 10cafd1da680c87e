"""What Endpoints and EndpointSlices share: which pods stand behind a service, on which ports, in what state."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from bireme.api.kinds import core
from bireme.api.times import parse_time
from bireme.client.informer import Key, key_of
from bireme.controllers import pods
from bireme.controllers.informers import Informers
from bireme.controllers.selecting import filed, may_select

HEADLESS = "service.kubernetes.io/headless"
LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"
REST_PER_POD_S = 50e-6
REST_FROM = 200

PodPort = tuple[str, str, int, str]
"""Name, protocol, number and application protocol, as a pod serves a port of a service."""


def services_of(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """The services whose endpoints a change of a pod may touch."""
    services = may_select(cache, core.Service, old, new)
    if not services or (old is not None and new is not None and _looks(old) == _looks(new)):
        return ()
    labels = [pod.metadata.labels.items() for pod in (old, new) if pod is not None]
    return [
        key_of(service)
        for service in services
        if service.spec.selector and any(service.spec.selector.items() <= items for items in labels)
    ]


def filed_service(service: core.Service) -> Iterable[str]:
    """Index values: where a service is found by pods that it may mean."""
    return filed(service.metadata.namespace, service.spec.selector) if service.spec.selector else ()


def _looks(pod: core.Pod) -> tuple[object, ...]:
    """Everything of a pod that endpoints show."""
    return (
        pod.metadata.labels,
        pod.metadata.deletion_timestamp,
        pod.status.phase,
        pods.is_ready(pod),
        pod.status.pod_ip,
        pod.status.pod_ips,
        pod.spec.node_name,
        pod.spec.hostname,
        pod.spec.subdomain,
    )


def is_ours(service: core.Service) -> bool:
    """Endpoints follow the service's selector; without one they are somebody else's."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def is_headless(service: core.Service) -> bool:
    """The service has no address of its own."""
    return service.spec.cluster_ip == "None"


def selected(service: core.Service, candidates: Iterable[core.Pod]) -> list[core.Pod]:
    """The pods that the service means and that have not ended."""
    wanted = service.spec.selector.items()
    return [pod for pod in candidates if wanted <= pod.metadata.labels.items() and not pods.is_ended(pod)]


def hostname(service: core.Service, pod: core.Pod) -> str:
    """The name that the pod has within the service's domain, if any."""
    return pod.spec.hostname if pod.spec.subdomain == service.metadata.name else ""


def target_ref(pod: core.Pod) -> core.ObjectReference:
    """The reference to the pod that stands behind an address."""
    return core.ObjectReference(
        kind="Pod", name=pod.metadata.name, namespace=pod.metadata.namespace, uid=pod.metadata.uid
    )


def ports(service: core.Service, pod: core.Pod) -> tuple[PodPort, ...]:
    """The service's ports as the pod serves them; one whose name the pod does not know is left out."""
    found = ((port, _number(pod, port)) for port in service.spec.ports)
    return tuple(
        (port.name, port.protocol or "TCP", number, port.app_protocol) for port, number in found if number is not None
    )


def _number(pod: core.Pod, port: core.ServicePort) -> int | None:
    target = port.target_port
    if target is None or target == "" or target == 0:
        return port.port
    if isinstance(target, int):
        return target
    sidecars = [item for item in pod.spec.init_containers if item.restart_policy == "Always"]
    for container in (*pod.spec.containers, *sidecars):
        for item in container.ports:
            if item.name == target and (item.protocol or "TCP") == (port.protocol or "TCP"):
                return item.container_port
    return None


def last_change(service: core.Service, chosen: Sequence[core.Pod]) -> datetime:
    """When the newest thing happened that the endpoints show."""
    moments = [service.metadata.creation_timestamp]
    for pod in chosen:
        ready = pods.condition(pod, "Ready")
        if ready is not None and ready.last_transition_time:
            moments.append(ready.last_transition_time)
    return max(parse_time(moment) for moment in moments if moment)


def rest(chosen: Sequence[core.Pod]) -> float:
    """Seconds for which a service of so many pods gathers changes before each look."""
    return len(chosen) * REST_PER_POD_S if len(chosen) >= REST_FROM else 0.0
