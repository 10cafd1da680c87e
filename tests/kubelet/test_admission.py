"""Whether a node can take a pod."""

import pytest
from kubelet_pods import container, pod

from bireme.kubelet.admission import refusal

NODE = {"cpu": 4000, "memory": 8 << 30, "pods": 2, "example.com/nic": 0}


def wants(port=0, **requests):
    ports = [{"containerPort": 80, "hostPort": port}] if port else []
    return pod(container(resources={"requests": requests}, ports=ports))


@pytest.mark.parametrize(
    ("wanted", "others", "reason"),
    [
        pytest.param(wants(cpu="4"), [], None, id="fits"),
        pytest.param(wants(cpu="2"), [wants(cpu="3")], "OutOfcpu", id="no cpu left"),
        pytest.param(wants(memory="9Gi"), [], "OutOfmemory", id="too big"),
        pytest.param(wants(), [wants(), wants()], "OutOfpods", id="too many"),
        pytest.param(wants(**{"example.com/gpu": "1"}), [], None, id="what the node keeps no account of"),
        pytest.param(wants(**{"example.com/nic": "1"}), [], "OutOfexample.com/nic", id="none of its own left"),
        pytest.param(wants(80), [wants(80)], "NodePorts", id="port taken"),
        pytest.param(wants(81), [wants(80)], None, id="another port"),
        pytest.param(
            pod(securityContext={"sysctls": [{"name": "kernel.x", "value": "1"}]}), [], "SysctlForbidden", id="sysctl"
        ),
    ],
)
def test_refusal(wanted, others, reason):
    found = refusal(wanted, others, NODE)
    assert (found.reason if found else None) == reason
