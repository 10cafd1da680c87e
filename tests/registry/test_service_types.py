import copy
from typing import Any

import pytest

from bireme.registry.service_types import carry_over

BALANCED: dict[str, Any] = {
    "type": "LoadBalancer",
    "clusterIP": "10.0.0.1",
    "clusterIPs": ["10.0.0.1"],
    "ports": [{"port": 80, "nodePort": 30001}],
    "externalTrafficPolicy": "Local",
    "healthCheckNodePort": 30002,
    "allocateLoadBalancerNodePorts": True,
    "loadBalancerClass": "a.b/c",
}
PLAIN = {"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]}


@pytest.mark.parametrize(
    ("old", "change", "expected"),
    [
        pytest.param(BALANCED, {"type": "ClusterIP"}, PLAIN, id="what only a balancer uses goes with its type"),
        pytest.param(
            {
                **PLAIN,
                "type": "NodePort",
                "ports": [{"port": 80, "nodePort": 30001}],
                "externalTrafficPolicy": "Local",
            },
            {"type": "ClusterIP"},
            PLAIN,
            id="a local policy goes with the node ports",
        ),
        pytest.param(
            PLAIN,
            {"type": "ExternalName", "externalName": "a.example"},
            {"type": "ExternalName", "externalName": "a.example", "ports": [{"port": 80}]},
            id="a name needs no address",
        ),
        pytest.param(PLAIN, {"clusterIP": "", "clusterIPs": []}, PLAIN, id="an address left out stays"),
        pytest.param(
            BALANCED, {"ports": [{"port": 80}], "healthCheckNodePort": None}, BALANCED, id="node ports left out stay"
        ),
        pytest.param(
            PLAIN,
            {"ports": [{"port": 80, "nodePort": 30009}]},
            {**PLAIN, "ports": [{"port": 80, "nodePort": 30009}]},
            id="what a user sets against the type is left to be refused",
        ),
    ],
)
def test_carry_over(old: dict[str, Any], change: dict[str, Any], expected: dict[str, Any]) -> None:
    said = {**copy.deepcopy(old), **copy.deepcopy(change)}
    new = {"spec": {name: value for name, value in said.items() if value is not None}}
    carry_over(new, {"spec": old})
    assert new["spec"] == expected
