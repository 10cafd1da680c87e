"""Who a container's processes are."""

from pathlib import Path

import pytest
from kubelet_pods import container, pod

from bireme.kubelet.security import (
    SecurityProblem,
    container_security,
    forbidden_sysctls,
    namespaces,
    sandbox_security,
)
from bireme.runtime.interface import Image, Share

ROOT = Path("/seccomp")


def image(user=None, username=""):
    return Image("i", (), (), 1, user, username)


def made(own=None, shared=None, of=None):
    wanted = pod(container(securityContext=own or {}), securityContext=shared or {})
    return container_security(wanted, wanted.spec.containers[0], of or image(), ROOT)


def test_a_containers_words_go_over_its_pods():
    found = made({"runAsUser": 5}, {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4, 3]})
    assert (found.user, found.group, found.groups) == (5, 2, (4, 3))


@pytest.mark.parametrize(
    "of",
    [image(), image(0), image(1 << 32), image(username="www")],
    ids=["no user", "root", "wraps round to root", "a name"],
)
def test_c22_run_as_non_root_is_not_passed_by(of):
    with pytest.raises(SecurityProblem):
        made({"runAsNonRoot": True}, of=of)


def test_run_as_non_root_takes_a_number_that_is_not_root():
    assert made({"runAsNonRoot": True}, of=image(1000)).user is None
    assert made({"runAsUser": 7}, {"runAsNonRoot": True}).user == 7
    with pytest.raises(SecurityProblem):
        made({"runAsUser": 0, "runAsNonRoot": True}, of=image(1000))


@pytest.mark.parametrize(
    ("profile", "expected"),
    [({"type": "RuntimeDefault"}, "RuntimeDefault"), ({"type": "Unconfined"}, ""), ({}, "")],
)
def test_seccomp(profile, expected):
    assert made({"seccompProfile": profile}).seccomp == expected


@pytest.mark.parametrize("name", ["", "../x", "/etc/x", "a/../../b"])
def test_c21_a_localhost_profile_stays_below_its_folder(name):
    with pytest.raises(SecurityProblem):
        made({"seccompProfile": {"type": "Localhost", "localhostProfile": name}})


def test_privileges_and_capabilities():
    found = made(
        {
            "privileged": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"add": ["CAP_NET_ADMIN"], "drop": ["ALL"]},
        }
    )
    assert found.privileged
    assert found.no_new_privileges
    assert found.read_only_root
    assert (found.add_capabilities, found.drop_capabilities) == (("NET_ADMIN",), ("ALL",))


def test_namespaces():
    shared = namespaces(pod(hostNetwork=True, hostPID=True, hostIPC=True))
    assert (shared.network, shared.pid, shared.ipc) == (Share.NODE, Share.NODE, Share.NODE)
    assert namespaces(pod(shareProcessNamespace=True)).pid is Share.POD


def test_a_sandbox_is_privileged_when_a_container_is():
    assert sandbox_security(pod(container(securityContext={"privileged": True}))).privileged


def test_unsafe_sysctls_are_named():
    sysctls = [{"name": "net.ipv4.tcp_rmem", "value": "1"}, {"name": "kernel.msgmax", "value": "1"}]
    assert forbidden_sysctls(pod(securityContext={"sysctls": sysctls})) == ["kernel.msgmax"]
