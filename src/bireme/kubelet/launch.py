"""From a pod to what the engine is told: sandbox and container specs.

Source: Kubernetes' pod spec on one side, CRI on the other; everything that has rules of its own (names, security,
cgroups, environment, volumes) is worked out in its module and only put together here.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bireme.api.kinds import core
from bireme.kubelet import dns, labels, logs, mesos_sandbox
from bireme.kubelet.cgroups import cgroup_parent, container_resources
from bireme.kubelet.environment import expand
from bireme.kubelet.security import container_security, namespaces, sandbox_security
from bireme.kubelet.settings import KubeletSettings
from bireme.runtime.interface import GRACE, ContainerSpec, Image, Mount, PortMapping, SandboxSpec, Security

TERMINATION_LOG = "/dev/termination-log"


def sandbox_spec(pod: core.Pod, attempt: int, settings: KubeletSettings) -> SandboxSpec:
    """The sandbox of `pod`."""
    cluster = dns.Cluster(settings.cluster_dns, settings.cluster_domain)
    context = pod.spec.security_context or core.PodSecurityContext()
    return SandboxSpec(
        name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        uid=pod.metadata.uid,
        attempt=attempt,
        # On the node's network the name is the node's too, and may not be set.
        hostname="" if pod.spec.host_network else dns.hostname(pod, settings.cluster_domain),
        log_directory=str(settings.log_root / logs.pod_folder(pod)),
        dns=dns.resolv_conf(pod, cluster, dns.parse_resolv_conf(_read(settings.resolv_conf))),
        ports=() if pod.spec.host_network else host_ports(pod),
        labels=labels.pod_labels(pod),
        annotations=dict(pod.metadata.annotations),
        cgroup_parent=cgroup_parent(settings.cgroup_root, pod),
        sysctls={item.name: item.value for item in context.sysctls},
        namespaces=namespaces(pod),
        security=_for_host(pod, sandbox_security(pod)),
    )


def host_ports(pod: core.Pod) -> tuple[PortMapping, ...]:
    """The host ports that lead into the pod."""
    return tuple(
        PortMapping(port.container_port, port.host_port, port.protocol or "TCP", port.host_ip)
        for container in [*pod.spec.init_containers, *pod.spec.containers]
        for port in container.ports
        if port.host_port and port.container_port
    )


def container_spec(
    pod: core.Pod,
    container: core.Container,
    attempt: int,
    *,
    image: Image,
    variables: Sequence[tuple[str, str]],
    mounts: Sequence[Mount],
    termination_file: Path,
    settings: KubeletSettings,
    node_memory: int,
    target: str = "",
) -> ContainerSpec:
    """One instance of `container`; `target` is the instance whose processes it sees. Raises SecurityProblem."""
    known = dict(variables)
    annotations = {
        labels.SPEC_HASH: labels.spec_hash(container),
        labels.RESTART_COUNT: str(attempt),
        labels.TERMINATION_FILE: str(termination_file),
        labels.TERMINATION_POLICY: container.termination_message_policy or "File",
        GRACE: str(pod.spec.termination_grace_period_seconds or 0),
    }
    return ContainerSpec(
        name=container.name,
        image=container.image,
        attempt=attempt,
        command=tuple(expand(word, known) for word in container.command),
        args=tuple(expand(word, known) for word in container.args),
        working_dir=container.working_dir,
        environment=tuple(variables),
        mounts=tuple(mounts),
        labels=labels.container_labels(pod, container),
        annotations=annotations,
        log_path=logs.container_log(container.name, attempt),
        stdin=bool(container.stdin),
        stdin_once=bool(container.stdin_once),
        tty=bool(container.tty),
        namespaces=namespaces(pod, target=target),
        security=_for_host(pod, container_security(pod, container, image, settings.root / "seccomp")),
        resources=container_resources(pod, container, node_memory=node_memory),
    )


def own_mounts(container: core.Container, hosts: Path, termination_file: Path, taken: Sequence[Mount]) -> list[Mount]:
    """What every container gets: /etc/hosts, unless the pod mounts its own, and where it leaves its last words."""
    paths = {mount.container_path.rstrip("/") for mount in taken}
    mounts = []
    if "/etc/hosts" not in paths:
        mounts.append(Mount("/etc/hosts", str(hosts)))
    place = container.termination_message_path or TERMINATION_LOG
    if place not in paths:
        mounts.append(Mount(place, str(termination_file)))
    return mounts


def write_hosts(pod: core.Pod, path: Path, addresses: Sequence[str], settings: KubeletSettings) -> None:
    """Make the pod's /etc/hosts. It is written in place, since containers may have it mounted already."""
    node_hosts = _read(settings.hosts_file) if pod.spec.host_network else ""
    text = dns.hosts_file(pod, addresses, settings.cluster_domain, node_hosts)
    path.parent.mkdir(parents=True, exist_ok=True)
    if _read(path) != text:
        path.write_text(text)
        os.chmod(path, 0o644)


def make_termination_file(path: Path) -> None:
    """An empty file that any user may write to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.chmod(path, 0o666)


def _for_host(pod: core.Pod, security: Security) -> Security:
    """A task that enters the host's root is the host's own process: nothing is taken from it."""
    return replace(security, privileged=True) if mesos_sandbox.wants_host_root(pod) else security


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
