from typing import Any

import pytest

from bireme.registry.pod_security.policy import (
    Standard,
    checks_of,
    faults_of,
    is_stricter,
    policy_of,
    told,
    warnings_of,
)

Tree = dict[str, Any]
PREFIX = "pod-security.kubernetes.io/"
SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def faults(level: str, spec: Tree, *, version: str = "latest", annotations: dict[str, str] | None = None) -> str:
    return told(faults_of(Standard(level, version), {"annotations": annotations or {}}, spec))


def one(context: Tree | None = None, **container: Any) -> Tree:
    return {"containers": [{"name": "c", "securityContext": context or {}, **container}]}


def restricted(*, pod: Tree | None = None, **changes: Any) -> Tree:
    context = {name: value for name, value in {**SAFE, **changes}.items() if value is not None}
    return {**one(context), **(pod or {})}


def test_a_plain_pod_against_the_restricted_level() -> None:
    assert faults("restricted", one()) == (
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )
    assert faults("restricted", restricted()) == ""
    assert faults("baseline", one()) == ""


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"hostPID": True, "hostNetwork": True}, "host namespaces (hostNetwork, hostPID)"),
        (one({"privileged": True}), 'privileged (container "c" must not set securityContext.privileged=true)'),
        (
            one({"capabilities": {"add": ["NET_RAW", "CHOWN", "BPF"]}}),
            'non-default capabilities (container "c" must not include "BPF", "NET_RAW" in '
            "securityContext.capabilities.add)",
        ),
        ({"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "a")'),
        (one(ports=[{"hostPort": 80}, {"hostPort": 8}]), 'hostPort (container "c" uses hostPorts 8, 80)'),
        (
            one(livenessProbe={"httpGet": {"host": "192.0.2.1"}}),
            'probe or lifecycle host (container "c" uses probe or lifecycle host "192.0.2.1")',
        ),
        (
            one(lifecycle={"preStop": {"tcpSocket": {"host": "a"}}}),
            'probe or lifecycle host (container "c" uses probe or lifecycle host "a")',
        ),
        (
            one({"procMount": "Unmasked"}),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            {"securityContext": {"seLinuxOptions": {"type": "x"}}, **one({"seLinuxOptions": {"user": "u"}})},
            'seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: type "x"; '
            "user may not be set)",
        ),
        (
            one({"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}, "forbidden sysctls (kernel.msgmax)"),
        (
            {"securityContext": {"windowsOptions": {"hostProcess": True}}},
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            one({"appArmorProfile": {"type": "Unconfined"}}),
            'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
        ),
    ],
)
def test_baseline(spec: Tree, text: str) -> None:
    assert faults("baseline", spec) == text


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            restricted(runAsNonRoot=False),
            'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
        ),
        (restricted(runAsUser=0), 'runAsUser=0 (container "c" must not set runAsUser=0)'),
        (
            restricted(capabilities={"drop": ["ALL"], "add": ["CHOWN", "NET_BIND_SERVICE"]}),
            'unrestricted capabilities (container "c" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
        (
            restricted(pod={"volumes": [{"name": "a", "nfs": {}}, {"name": "b", "hostPath": {}}]}),
            'restricted volume types (volumes "a", "b" use restricted volume types "hostPath", "nfs")',
        ),
        (restricted(runAsNonRoot=None, pod={"securityContext": {"runAsNonRoot": True}}), ""),
        (restricted(seccompProfile=None, pod={"securityContext": {"seccompProfile": {"type": "Localhost"}}}), ""),
        (restricted(pod={"volumes": [{"name": "a", "image": {}}]}), ""),
        (
            restricted(procMount="Unmasked", pod={"hostUsers": False}),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
    ],
)
def test_restricted(spec: Tree, text: str) -> None:
    assert faults("restricted", spec) == text


ROOT = restricted(runAsNonRoot=None, runAsUser=0, pod={"hostUsers": False})
WINDOWS = restricted(allowPrivilegeEscalation=None, capabilities=None, pod={"os": {"name": "windows"}})


@pytest.mark.parametrize(
    ("level", "spec", "since"),
    [
        pytest.param("baseline", one(livenessProbe={"httpGet": {"host": "a"}}), 33, id="hosts of probes"),
    ],
)
def test_controls_that_came(level: str, spec: Tree, since: int) -> None:
    assert faults(level, spec, version=f"v1.{since}") == ""
    assert faults(level, spec, version=f"v1.{since + 1}") != ""


@pytest.mark.parametrize(
    ("level", "spec", "since"),
    [
        pytest.param("restricted", ROOT, 35, id="root in a user namespace"),
        pytest.param("baseline", {**one({"procMount": "Unmasked"}), "hostUsers": False}, 35, id="procMount there"),
        pytest.param("restricted", WINDOWS, 25, id="Windows"),
        pytest.param("baseline", one({"seLinuxOptions": {"type": "container_engine_t"}}), 31, id="an SELinux type"),
        *(
            pytest.param("baseline", {"securityContext": {"sysctls": [{"name": f"net.ipv4.{name}"}]}}, since, id=name)
            for name, since in (
                ("ip_local_reserved_ports", 27),
                ("tcp_fin_timeout", 29),
                ("tcp_rmem", 32),
                ("tcp_notsent_lowat", 37),
            )
        ),
    ],
)
def test_controls_that_were_loosened(level: str, spec: Tree, since: int) -> None:
    assert faults(level, spec, version=f"v1.{since - 1}") != ""
    assert faults(level, spec, version=f"v1.{since}") == ""


def test_seccomp_was_an_annotation_once() -> None:
    annotations = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    text = 'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    assert faults("restricted", restricted(), version="v1.18", annotations=annotations) == text
    assert faults("restricted", restricted(), version="v1.19", annotations=annotations) == ""


def test_versions_to_come_are_the_newest() -> None:
    assert checks_of(Standard("restricted", "v1.99")) == checks_of(Standard("restricted", "latest"))


def test_labels_are_read() -> None:
    policy = policy_of(
        {PREFIX + "enforce": "baseline", PREFIX + "enforce-version": "v1.30", PREFIX + "warn": "restricted"}
    )
    assert (str(policy.enforce), str(policy.audit), str(policy.warn)) == (
        "baseline:v1.30",
        "privileged:latest",
        "restricted:latest",
    )


def test_labels_that_cannot_be_read_are_taken_at_their_strictest() -> None:
    policy = policy_of({PREFIX + "enforce": "high", PREFIX + "warn": "high", PREFIX + "enforce-version": "1.2"})
    assert (policy.enforce, policy.warn.level) == (Standard("restricted", "latest"), "privileged")
    assert [cause.message for cause in policy.faults] == [
        'Invalid value: "high": must be one of privileged, baseline, restricted',
        'Invalid value: "1.2": must be "latest" or "v1.x"',
        'Invalid value: "high": must be one of privileged, baseline, restricted',
    ]


@pytest.mark.parametrize(
    ("old", "new", "stricter"),
    [
        (("baseline", "latest"), ("restricted", "latest"), True),
        (("restricted", "latest"), ("baseline", "latest"), False),
        (("restricted", "latest"), ("baseline", "v1.30"), True),
        (("restricted", "v1.2"), ("privileged", "latest"), False),
    ],
)
def test_when_pods_are_looked_at_again(old: tuple[str, str], new: tuple[str, str], stricter: bool) -> None:
    assert is_stricter(Standard(*new), Standard(*old)) is stricter


def test_what_is_said_of_pods_that_are_there() -> None:
    pods = [{"metadata": {"name": name}, "spec": {"hostPID": name != "z"}} for name in ("b", "a", "c", "z")]
    assert warnings_of("n", Standard("baseline"), pods, total=9) == [
        "new PodSecurity enforce level only checked against the first 4 of 9 existing pods",
        'existing pods in namespace "n" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 2 other pods): host namespaces",
    ]
