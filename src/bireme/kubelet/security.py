"""Security contexts: who a container's processes are and what they may do.

A container's own words go over its pod's. Source: Kubernetes, "Configure a Security Context"; CVE-2019-11245
for why a numeric user is asked for before each start, not only the first.
"""

from collections.abc import Sequence
from pathlib import Path

from bireme.api.kinds import core
from bireme.runtime.interface import Image, Namespaces, Security, Share

SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)
MAX_UID = (1 << 31) - 1


class SecurityProblem(Exception):
    """The container may not start as it is described."""


def namespaces(pod: core.Pod, *, target: str = "") -> Namespaces:
    """What the pod's processes share, with each other or with the node; `target` is a container to look into."""
    spec = pod.spec
    pid = Share.NODE if spec.host_pid else Share.POD if spec.share_process_namespace else Share.CONTAINER
    return Namespaces(
        network=Share.NODE if spec.host_network else Share.POD,
        pid=pid,
        ipc=Share.NODE if spec.host_ipc else Share.POD,
        target=target if pid is Share.CONTAINER else "",
    )


def forbidden_sysctls(pod: core.Pod) -> list[str]:
    """Sysctls of a pod that aren't known to stay inside it."""
    context = pod.spec.security_context
    return [item.name for item in context.sysctls if item.name not in SAFE_SYSCTLS] if context else []


def sandbox_security(pod: core.Pod) -> Security:
    """The sandbox's own process; it is privileged when any container is."""
    context = pod.spec.security_context or core.PodSecurityContext()
    containers = [*pod.spec.init_containers, *pod.spec.containers]
    privileged = any(c.security_context is not None and c.security_context.privileged for c in containers)
    return Security(
        user=context.run_as_user,
        group=context.run_as_group if context.run_as_user is not None else None,
        groups=_groups(context),
        privileged=privileged,
        seccomp="RuntimeDefault" if _is_default(context.seccomp_profile) else "",
    )


def container_security(pod: core.Pod, container: core.Container, image: Image | None, seccomp_root: Path) -> Security:
    """A container's processes. Raises SecurityProblem when it would run as root and must not."""
    shared = pod.spec.security_context or core.PodSecurityContext()
    own = container.security_context or core.SecurityContext()
    user = own.run_as_user if own.run_as_user is not None else shared.run_as_user
    group = own.run_as_group if own.run_as_group is not None else shared.run_as_group
    non_root = own.run_as_non_root if own.run_as_non_root is not None else shared.run_as_non_root
    if non_root:
        _check_not_root(user, image, container)
    if group is not None and user is None:
        # The engine takes a group only with a user: the one that the image would run as anyway.
        user = image.user if image is not None and image.user is not None else 0
    capabilities = own.capabilities or core.Capabilities()
    return Security(
        user=user,
        group=group,
        groups=_groups(shared),
        privileged=bool(own.privileged),
        read_only_root=bool(own.read_only_root_filesystem),
        no_new_privileges=own.allow_privilege_escalation is False,
        add_capabilities=_names(capabilities.add),
        drop_capabilities=_names(capabilities.drop),
        seccomp=_seccomp(own.seccomp_profile or shared.seccomp_profile, seccomp_root),
        unmasked_proc=own.proc_mount == "Unmasked",
    )


def _check_not_root(user: int | None, image: Image | None, container: core.Container) -> None:
    name = container.name
    if user is not None:
        if user == 0:
            raise SecurityProblem(f"container's runAsUser breaks non-root policy (container: {name})")
        return
    if image is not None and image.username:
        text = "container has runAsNonRoot and image has non-numeric user"
        raise SecurityProblem(f"{text} ({image.username}), cannot verify user is non-root (container: {name})")
    # No number at all is root; one past 32 bits may wrap round to it (CVE-2024-40635).
    if image is None or image.user is None or not 0 < image.user <= MAX_UID:
        raise SecurityProblem(f"container has runAsNonRoot and image will run as root (container: {name})")


def _groups(context: core.PodSecurityContext) -> tuple[int, ...]:
    groups = list(context.supplemental_groups)
    if context.fs_group is not None:
        groups.append(context.fs_group)
    return tuple(dict.fromkeys(groups))


def _names(capabilities: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.removeprefix("CAP_") for name in capabilities)


def _is_default(profile: core.SeccompProfile | None) -> bool:
    return profile is not None and profile.type == "RuntimeDefault"


def _seccomp(profile: core.SeccompProfile | None, root: Path) -> str:
    if profile is None or profile.type in ("", "Unconfined"):
        return ""
    if _is_default(profile):
        return "RuntimeDefault"
    name = profile.localhost_profile
    if not name or ".." in Path(name).parts or name.startswith("/"):
        raise SecurityProblem("localhost seccomp profile must be a path below the profile folder")
    return str(root / name)
