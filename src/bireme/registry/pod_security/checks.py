"""The checks of the pod security standards, each a plain function of a pod's metadata and spec.

A check says what is wrong, as reason and detail in the words that clients know, or None. `CHECKS` is the whole
standard: at which level a check applies, from which version on in which form, and which check it replaces.
Source: the Kubernetes documentation on pod security standards.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

Tree = dict[str, Any]


class Fault(NamedTuple):
    """What a pod does that a level forbids."""

    reason: str
    detail: str


CheckPod = Callable[[Tree, Tree], Fault | None]


@dataclass(frozen=True, slots=True)
class Check:
    """One control: its forms by the minor version from which on they hold, and the check that it replaces."""

    id: str
    restricted: bool
    forms: tuple[tuple[int, CheckPod], ...]
    replaces: str = ""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _containers(spec: Tree) -> Iterator[Tree]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _context(part: Tree) -> Tree:
    return part.get("securityContext") or {}


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _named(names: list[str], one: str = "container", several: str = "containers") -> str:
    return f"{one if len(names) == 1 else several} {_quoted(names)}"


def _setters(pod: bool, containers: list[str]) -> str:
    parts = (["pod"] if pod else []) + ([_named(containers)] if containers else [])
    return " and ".join(parts)


def _who(spec: Tree, is_bad: Callable[[Tree], bool]) -> tuple[bool, list[str]]:
    """Whether the pod's own security context is bad, and the containers whose context is."""
    return is_bad(_context(spec)), [c.get("name", "") for c in _containers(spec) if is_bad(_context(c))]


def _in_user_namespace(spec: Tree) -> bool:
    return spec.get("hostUsers") is False


def _is_windows(spec: Tree) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def _unless(exempt: Callable[[Tree], bool], check: CheckPod) -> CheckPod:
    return lambda metadata, spec: None if exempt(spec) else check(metadata, spec)


# Baseline

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def app_armor(metadata: Tree, spec: Tree) -> Fault | None:
    bad: set[str] = set()

    def is_bad(context: Tree) -> bool:
        kind = (context.get("appArmorProfile") or {}).get("type")
        if kind in (None, "RuntimeDefault", "Localhost"):
            return False
        bad.add(kind)
        return True

    pod, containers = _who(spec, is_bad)
    annotations = sorted(
        f'{name}="{value}"'
        for name, value in (metadata.get("annotations") or {}).items()
        if name.startswith(_APPARMOR) and value and value != "runtime/default" and not value.startswith("localhost/")
    )
    setters = [part for part in (_setters(pod, containers),) if part]
    if annotations:
        setters.append("annotation" if len(annotations) == 1 else "annotations")
    if not setters:
        return None
    values = [*sorted(bad), *annotations]
    reason = "forbidden AppArmor profile" if len(values) == 1 else "forbidden AppArmor profiles"
    return Fault(reason, f"{' and '.join(setters)} must not set AppArmor profile type to {_quoted(values)}")


_DEFAULT_CAPABILITIES = _words("""
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT
""")


def _adding(spec: Tree, allowed: frozenset[str]) -> str:
    names, added = [], set()
    for container in _containers(spec):
        over = set((_context(container).get("capabilities") or {}).get("add") or ()) - allowed
        if over:
            names.append(container.get("name", ""))
            added |= over
    if not names:
        return ""
    return f"{_named(names)} must not include {_quoted(sorted(added))} in securityContext.capabilities.add"


def default_capabilities(metadata: Tree, spec: Tree) -> Fault | None:
    detail = _adding(spec, _DEFAULT_CAPABILITIES)
    return Fault("non-default capabilities", detail) if detail else None


def host_namespaces(metadata: Tree, spec: Tree) -> Fault | None:
    shared = [name for name in ("hostIPC", "hostNetwork", "hostPID") if spec.get(name)]
    return Fault("host namespaces", ", ".join(shared)) if shared else None


def host_paths(metadata: Tree, spec: Tree) -> Fault | None:
    names = [volume.get("name", "") for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    return Fault("hostPath volumes", _named(names, "volume", "volumes")) if names else None


def host_ports(metadata: Tree, spec: Tree) -> Fault | None:
    names, taken = [], set()
    for container in _containers(spec):
        ports = {str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")}
        if ports:
            names.append(container.get("name", ""))
            taken |= ports
    if not names:
        return None
    use, ports_word = _uses(names), "hostPort" if len(taken) == 1 else "hostPorts"
    return Fault("hostPort", f"{_named(names)} {use} {ports_word} {', '.join(sorted(taken))}")


def _uses(names: list[str]) -> str:
    return "uses" if len(names) == 1 else "use"


def probe_hosts(metadata: Tree, spec: Tree) -> Fault | None:
    names, hosts = set(), set()
    for container in _containers(spec):
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [lifecycle.get("postStart"), lifecycle.get("preStop")]
        asked = {
            host
            for handler in handlers
            for action in ("httpGet", "tcpSocket")
            if (host := ((handler or {}).get(action) or {}).get("host"))
        }
        if asked:
            names.add(container.get("name", ""))
            hosts |= asked
    if not names:
        return None
    word = "probe or lifecycle host" if len(hosts) == 1 else "probe or lifecycle hosts"
    listed = sorted(names)
    return Fault("probe or lifecycle host", f"{_named(listed)} {_uses(listed)} {word} {_quoted(sorted(hosts))}")


def privileged(metadata: Tree, spec: Tree) -> Fault | None:
    names = [c.get("name", "") for c in _containers(spec) if _context(c).get("privileged")]
    return Fault("privileged", f"{_named(names)} must not set securityContext.privileged=true") if names else None


def proc_mount(metadata: Tree, spec: Tree) -> Fault | None:
    names, kinds = [], set()
    for container in _containers(spec):
        kind = _context(container).get("procMount")
        if kind not in (None, "Default"):
            names.append(container.get("name", ""))
            kinds.add(kind)
    if not names:
        return None
    return Fault("procMount", f"{_named(names)} must not set securityContext.procMount to {_quoted(sorted(kinds))}")


def _selinux(*allowed: str) -> CheckPod:
    def check(metadata: Tree, spec: Tree) -> Fault | None:
        types: set[str] = set()
        said: set[str] = set()

        def is_bad(context: Tree) -> bool:
            options = context.get("seLinuxOptions") or {}
            kind = options.get("type") or ""
            given = {name for name in ("user", "role") if options.get(name)}
            said.update(given)
            if kind and kind not in allowed:
                types.add(kind)
                return True
            return bool(given)

        pod, containers = _who(spec, is_bad)
        if not (pod or containers):
            return None
        faults = [_named(sorted(types), "type", "types")] if types else []
        faults += [f"{name} may not be set" for name in ("user", "role") if name in said]
        setters = _setters(pod, containers)
        detail = f"{setters} set forbidden securityContext.seLinuxOptions: {'; '.join(faults)}"
        return Fault("seLinuxOptions", detail)

    return check


_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"


def seccomp_annotations(metadata: Tree, spec: Tree) -> Fault | None:
    annotations = metadata.get("annotations") or {}
    keys = [_SECCOMP_POD, *(_SECCOMP_CONTAINER + c.get("name", "") for c in _containers(spec))]
    bad = sorted(
        {
            f'{key}="{annotations[key]}"'
            for key in keys
            if key in annotations
            and annotations[key] not in ("runtime/default", "docker/default")
            and not annotations[key].startswith("localhost/")
        }
    )
    if not bad:
        return None
    word = "annotation" if len(bad) == 1 else "annotations"
    return Fault("seccompProfile", f"forbidden {word} {', '.join(bad)}")


def seccomp(metadata: Tree, spec: Tree) -> Fault | None:
    bad: set[str] = set()

    def is_bad(context: Tree) -> bool:
        profile = context.get("seccompProfile")
        if not profile or profile.get("type") in ("RuntimeDefault", "Localhost"):
            return False
        bad.add(profile.get("type") or "")
        return True

    pod, containers = _who(spec, is_bad)
    if not bad:
        return None
    setters = _setters(pod, containers)
    return Fault(
        "seccompProfile", f"{setters} must not set securityContext.seccompProfile.type to {_quoted(sorted(bad))}"
    )


_SYSCTLS_0 = _words("""
    kernel.shm_rmid_forced
    net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range net.ipv4.ip_unprivileged_port_start
""")
_SYSCTLS_27 = _SYSCTLS_0 | {"net.ipv4.ip_local_reserved_ports"}
_SYSCTLS_29 = _SYSCTLS_27 | {
    f"net.ipv4.tcp_{name}" for name in ("keepalive_time", "fin_timeout", "keepalive_intvl", "keepalive_probes")
}
_SYSCTLS_32 = _SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
_SYSCTLS_37 = _SYSCTLS_32 | {"net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat"}


def _sysctls(allowed: frozenset[str]) -> CheckPod:
    def check(metadata: Tree, spec: Tree) -> Fault | None:
        names = [one.get("name", "") for one in _context(spec).get("sysctls") or ()]
        bad = [name for name in names if name not in allowed]
        return Fault("forbidden sysctls", ", ".join(bad)) if bad else None

    return check


def host_process(metadata: Tree, spec: Tree) -> Fault | None:
    setters = _setters(*_who(spec, lambda context: bool((context.get("windowsOptions") or {}).get("hostProcess"))))
    if not setters:
        return None
    return Fault("hostProcess", f"{setters} must not set securityContext.windowsOptions.hostProcess=true")


# Restricted


def privilege_escalation(metadata: Tree, spec: Tree) -> Fault | None:
    names = [c.get("name", "") for c in _containers(spec) if _context(c).get("allowPrivilegeEscalation") is not False]
    if not names:
        return None
    detail = f"{_named(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Fault("allowPrivilegeEscalation != false", detail)


def no_capabilities(metadata: Tree, spec: Tree) -> Fault | None:
    keeping = [
        container.get("name", "")
        for container in _containers(spec)
        if "ALL" not in ((_context(container).get("capabilities") or {}).get("drop") or ())
    ]
    details = [f'{_named(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    if adding := _adding(spec, frozenset({"NET_BIND_SERVICE"})):
        details.append(adding)
    return Fault("unrestricted capabilities", "; ".join(details)) if details else None


_VOLUMES = _words("""
    configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret
""")


def volume_types(metadata: Tree, spec: Tree) -> Fault | None:
    names, kinds = [], set()
    for volume in spec.get("volumes") or ():
        sources = [field for field, source in volume.items() if field != "name" and source is not None]
        if not _VOLUMES.intersection(sources):
            names.append(volume.get("name", ""))
            kinds.update(sources or ["unknown"])
    if not names:
        return None
    word = "restricted volume type" if len(kinds) == 1 else "restricted volume types"
    who = _named(names, "volume", "volumes")
    return Fault("restricted volume types", f"{who} {_uses(names)} {word} {_quoted(sorted(kinds))}")


def non_root(metadata: Tree, spec: Tree) -> Fault | None:
    reason = "runAsNonRoot != true"
    setters = _setters(*_who(spec, lambda context: context.get("runAsNonRoot") is False))
    if setters:
        return Fault(reason, f"{setters} must not set securityContext.runAsNonRoot=false")
    if _context(spec).get("runAsNonRoot"):
        return None
    silent = [c.get("name", "") for c in _containers(spec) if _context(c).get("runAsNonRoot") is None]
    return Fault(reason, f"pod or {_named(silent)} must set securityContext.runAsNonRoot=true") if silent else None


def user_zero(metadata: Tree, spec: Tree) -> Fault | None:
    setters = _setters(*_who(spec, lambda context: context.get("runAsUser") == 0))
    return Fault("runAsUser=0", f"{setters} must not set runAsUser=0") if setters else None


def seccomp_set(metadata: Tree, spec: Tree) -> Fault | None:
    if (fault := seccomp(metadata, spec)) is not None:
        return fault
    if _context(spec).get("seccompProfile"):
        return None
    silent = [c.get("name", "") for c in _containers(spec) if not _context(c).get("seccompProfile")]
    if not silent:
        return None
    wanted = 'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Fault("seccompProfile", f"pod or {_named(silent)} must set {wanted}")


_SELINUX = ("container_t", "container_init_t", "container_kvm_t")

# In the order in which faults are told: the baseline's by id, then the restricted level's.
CHECKS = (
    Check("appArmorProfile", False, ((0, app_armor),)),
    Check("capabilities_baseline", False, ((0, default_capabilities),)),
    Check("hostNamespaces", False, ((0, host_namespaces),)),
    Check("hostPathVolumes", False, ((0, host_paths),)),
    Check("hostPorts", False, ((0, host_ports),)),
    Check("hostProbesAndHostLifecycle", False, ((34, probe_hosts),)),
    Check("privileged", False, ((0, privileged),)),
    Check("procMount", False, ((0, proc_mount), (35, _unless(_in_user_namespace, proc_mount)))),
    Check("seLinuxOptions", False, ((0, _selinux(*_SELINUX)), (31, _selinux(*_SELINUX, "container_engine_t")))),
    Check("seccompProfile_baseline", False, ((0, seccomp_annotations), (19, seccomp))),
    Check(
        "sysctls",
        False,
        (
            (0, _sysctls(_SYSCTLS_0)),
            (27, _sysctls(_SYSCTLS_27)),
            (29, _sysctls(_SYSCTLS_29)),
            (32, _sysctls(_SYSCTLS_32)),
            (37, _sysctls(_SYSCTLS_37)),
        ),
    ),
    Check("windowsHostProcess", False, ((0, host_process),)),
    Check(
        "allowPrivilegeEscalation",
        True,
        ((8, privilege_escalation), (25, _unless(_is_windows, privilege_escalation))),
    ),
    Check(
        "capabilities_restricted",
        True,
        ((22, no_capabilities), (25, _unless(_is_windows, no_capabilities))),
        replaces="capabilities_baseline",
    ),
    Check("procMount_restricted", True, ((35, proc_mount),), replaces="procMount"),
    Check("restrictedVolumes", True, ((0, volume_types),), replaces="hostPathVolumes"),
    Check("runAsNonRoot", True, ((0, non_root), (35, _unless(_in_user_namespace, non_root)))),
    Check("runAsUser", True, ((23, user_zero), (35, _unless(_in_user_namespace, user_zero)))),
    Check(
        "seccompProfile_restricted",
        True,
        ((19, seccomp_set), (25, _unless(_is_windows, seccomp_set))),
        replaces="seccompProfile_baseline",
    ),
)
