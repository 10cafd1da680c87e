"""What a node forwards, from Services and their endpoints."""

import pytest

from bireme.api.kinds import core, discovery, meta
from bireme.network.nftables import selection
from bireme.network.ruleset import NodeNetwork, render
from bireme.network.services import Backend, Flow, Forward, HostPort, Plan, plan, stale_flows

NETWORK = NodeNetwork("bireme", "bireme0", "10.244.0.0/16", "10.96.0.0/16")


def service(**spec: object) -> core.Service:
    port = core.ServicePort(name="http", port=80, protocol="TCP")
    return core.Service(
        metadata=meta.ObjectMeta(name="echo", namespace="default"),
        spec=core.ServiceSpec(**{"cluster_ip": "10.96.0.9", "ports": [port], "type": "ClusterIP", **spec}),  # type: ignore[arg-type]
    )


def endpoints(*ready: tuple[str, bool], serving: bool = False, node: str = "n1") -> discovery.EndpointSlice:
    return discovery.EndpointSlice(
        metadata=meta.ObjectMeta(name="echo-1", namespace="default", labels={"kubernetes.io/service-name": "echo"}),
        address_type="IPv4",
        ports=[discovery.EndpointPort(name="http", port=8080, protocol="TCP")],
        endpoints=[
            discovery.Endpoint(
                addresses=[ip],
                node_name=node,
                conditions=discovery.EndpointConditions(ready=is_ready, serving=is_ready or serving),
            )
            for ip, is_ready in ready
        ],
    )


def test_ready_endpoints_are_the_backends() -> None:
    made = plan([service()], [endpoints(("10.244.0.2", True), ("10.244.0.3", False))], [], node="n1")
    (forward,) = made.forwards
    assert forward.addresses == ("10.96.0.9",)
    assert forward.backends == (Backend("10.244.0.2", 8080, local=True),)


def test_with_none_ready_those_that_still_serve_are_used() -> None:
    made = plan([service()], [endpoints(("10.244.0.2", False), serving=True)], [], node="n1")
    assert made.forwards[0].backends == (Backend("10.244.0.2", 8080, local=True),)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"cluster_ip": "None"}, id="headless"),
        pytest.param({"type": "ExternalName", "external_name": "x"}, id="external name"),
        pytest.param({"cluster_ip": ""}, id="no address yet"),
    ],
)
def test_services_without_an_address_are_not_forwarded(spec: dict[str, object]) -> None:
    assert plan([service(**spec)], [], [], node="n1").forwards == ()


def test_a_service_of_another_proxy_is_left_alone() -> None:
    other = service()
    other.metadata.labels = {"service.kubernetes.io/service-proxy-name": "else"}
    assert plan([other], [], [], node="n1").forwards == ()


def test_local_policy_keeps_to_this_nodes_backends() -> None:
    wanted = service(external_traffic_policy="Local", type="NodePort")
    made = plan([wanted], [endpoints(("10.244.1.2", True), node="n2")], [], node="n1")
    assert made.forwards[0].external == ()
    assert made.forwards[0].internal == (Backend("10.244.1.2", 8080),)


def test_host_ports_lead_to_the_pod_unless_it_is_on_the_hosts_network() -> None:
    port = core.ContainerPort(container_port=8080, host_port=31005)
    pod = core.Pod(spec=core.PodSpec(containers=[core.Container(name="c", ports=[port])]))
    pod.status.pod_ip = "10.244.0.7"
    wanted = (HostPort("tcp", 31005, Backend("10.244.0.7", 8080, local=True)),)
    assert plan([], [], [pod], node="n1").host_ports == wanted
    pod.spec.host_network = True
    assert plan([], [], [pod], node="n1").host_ports == ()


def test_a_service_without_backends_is_refused_not_lost() -> None:
    script = render(Plan((Forward("d/a:http/TCP", "tcp", 80, ("10.96.0.9",), 30080),)), NETWORK).script
    assert "add element ip bireme closed-ips { 10.96.0.9 . tcp . 80 }" in script
    assert "add element ip bireme closed-ports { tcp . 30080 }" in script


def test_an_update_removes_what_is_no_longer_needed_and_starts_nothing_anew() -> None:
    backends = (Backend("10.244.0.2", 8080), Backend("10.244.0.3", 8080))
    forward = Forward("d/a:http/TCP", "tcp", 80, ("10.96.0.9",), backends=backends, affinity_s=60)
    first = render(Plan((forward,)), NETWORK)
    second = render(Plan(), NETWORK, known=first)
    assert "delete table" in first.script
    assert "delete table" not in second.script
    assert second.script.count("delete chain") == 3
    assert second.script.count("delete set") == 2


def test_affinity_is_looked_up_before_the_dice_are_thrown() -> None:
    backends = (Backend("10.244.0.2", 8080), Backend("10.244.0.3", 8080))
    forward = Forward("d/a:http/TCP", "tcp", 80, ("10.96.0.9",), backends=backends, affinity_s=60)
    script = render(Plan((forward,)), NETWORK).script
    assert script.index("ip saddr @bound-") < script.index("numgen random mod 2")


def udp(*backends: str, node_port: int = 0) -> Plan:
    found = tuple(Backend(ip, 53) for ip in backends)
    return Plan((Forward("a", "udp", 53, ("10.96.0.9",), node_port=node_port, backends=found),))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(udp("10.244.0.2"), Plan(), {Flow(backend="10.244.0.2")}, id="a backend that is gone"),
        pytest.param(udp("10.244.0.2"), udp("10.244.0.2"), set(), id="nothing changed"),
        pytest.param(udp("10.244.0.2"), udp("10.244.0.2", "10.244.0.3"), set(), id="one more backend"),
        pytest.param(
            udp(node_port=30053),
            udp("10.244.0.2", node_port=30053),
            {Flow(address="10.96.0.9", port=53), Flow(port=30053)},
            id="doors that led nowhere before",
        ),
        pytest.param(
            Plan(),
            Plan(host_ports=(HostPort("udp", 5300, Backend("10.244.0.2", 53)),)),
            {Flow(port=5300)},
            id="a host port that is new",
        ),
        pytest.param(
            Plan((Forward("a", "tcp", 53, ("10.96.0.9",), backends=(Backend("10.244.0.2", 53),)),)),
            Plan(),
            set(),
            id="TCP needs no help",
        ),
    ],
)
def test_udp_flows_that_would_go_past_the_rules(old: Plan, new: Plan, expected: set[Flow]) -> None:
    assert stale_flows(old, new) == expected


def test_flows_as_conntrack_names_them() -> None:
    assert selection(Flow(backend="10.244.0.2")) == ["--dst-nat", "10.244.0.2"]
    assert selection(Flow(address="10.96.0.9", port=53)) == ["--orig-dst", "10.96.0.9", "--orig-port-dst", "53"]
    assert selection(Flow(port=53)) == ["--orig-port-dst", "53"]


def test_service_addresses_that_lead_nowhere_are_refused() -> None:
    script = render(Plan(), NETWORK).script
    assert "filter-forward ip daddr 10.96.0.0/16 fib daddr type != local reject" in script
    assert "filter-input fib daddr type local meta l4proto . th dport @closed-ports reject" in script
