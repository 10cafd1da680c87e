import pytest
from controller_objects import pod, service

from bireme.api.kinds import core
from bireme.controllers import endpoints
from bireme.controllers import service_endpoints as common


def test_ready_and_unready_addresses_stand_apart() -> None:
    pods = [pod("b", ip="10.0.0.10"), pod("a", ip="10.0.0.9"), pod("c", ip="10.0.0.3", ready=False)]
    (subset,) = endpoints.subsets(service(), pods)
    assert [item.ip for item in subset.addresses] == ["10.0.0.9", "10.0.0.10"]
    assert [item.ip for item in subset.not_ready_addresses] == ["10.0.0.3"]
    assert subset.ports == [core.EndpointPort(name="http", port=8080, protocol="TCP")]
    assert subset.addresses[0].target_ref is not None
    assert subset.addresses[0].target_ref.uid == "uid-a"
    assert subset.addresses[0].node_name == "n1"


@pytest.mark.parametrize(
    ("fields", "publish", "listed"),
    [
        pytest.param({}, False, True, id="an ordinary pod"),
        pytest.param({"going": True}, False, False, id="one that goes"),
        pytest.param({"going": True}, True, True, id="one that goes, where unready ones count"),
        pytest.param({"ip": ""}, True, False, id="one without address"),
        pytest.param({"phase": "Failed"}, True, False, id="one that ended"),
        pytest.param({"labels": {"app": "b"}}, False, False, id="a stranger"),
    ],
)
def test_who_is_listed(fields: dict[str, object], publish: bool, listed: bool) -> None:
    there = service(publish_not_ready_addresses=publish)
    chosen = common.selected(there, [pod(**fields)])  # type: ignore[arg-type]
    assert bool(endpoints.subsets(there, chosen)) == listed


def test_publish_not_ready_counts_all_as_ready() -> None:
    (subset,) = endpoints.subsets(service(publish_not_ready_addresses=True), [pod(ready=False)])
    assert len(subset.addresses) == 1


def named(name: str, number: int) -> core.Pod:
    made = pod(name, ip=f"10.0.0.{number}")
    made.spec.containers[0].ports = [core.ContainerPort(name="web", container_port=number)]
    return made


def test_named_ports_split_subsets() -> None:
    there = service(ports=[core.ServicePort(name="http", port=80, target_port="web")])
    found = endpoints.subsets(there, [named("a", 1), named("b", 2), pod("c", ip="10.0.0.3")])
    assert [[port.port for port in item.ports] for item in found] == [[1], [2]]


def test_a_sidecar_may_serve_a_named_port() -> None:
    made = pod()
    port = core.ContainerPort(name="web", container_port=99, protocol="TCP")
    made.spec.init_containers = [core.Container(name="s", restart_policy="Always", ports=[port])]
    there = service(ports=[core.ServicePort(port=80, target_port="web")])
    assert common.ports(there, made) == (("", "TCP", 99, ""),)
    made.spec.init_containers[0].restart_policy = ""
    assert common.ports(there, made) == ()


def test_a_headless_service_without_ports_lists_addresses_all_the_same() -> None:
    there = service(ports=[], cluster_ip="None")
    (subset,) = endpoints.subsets(there, [pod()])
    assert subset.ports == []
    assert endpoints.wanted(there, [pod()]).metadata.labels[common.HEADLESS] == ""


def test_hostname_needs_the_subdomain() -> None:
    inside = pod("a", spec={"hostname": "h", "subdomain": "s"})
    (subset,) = endpoints.subsets(service("s"), [inside])
    assert subset.addresses[0].hostname == "h"
    (subset,) = endpoints.subsets(service("t"), [inside])
    assert subset.addresses[0].hostname == ""


def test_too_many_addresses_are_cut_and_ready_ones_kept() -> None:
    pods = [pod(f"p{i}", ip=f"10.1.{i // 250}.{i % 250}", ready=i % 3 > 0) for i in range(1500)]
    made = endpoints.wanted(service(), pods)
    assert made.metadata.annotations[endpoints.OVER_CAPACITY] == "truncated"
    assert sum(len(item.addresses) + len(item.not_ready_addresses) for item in made.subsets) == 1000
    assert sum(len(item.addresses) for item in made.subsets) == 1000


def test_is_same_does_not_mind_the_time() -> None:
    one, two = (endpoints.wanted(service(), [pod(ready_for=age)]) for age in (5, 50))
    assert one.metadata.annotations != two.metadata.annotations
    assert endpoints.is_same(one, two)
    assert not endpoints.is_same(one, endpoints.wanted(service(), []))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, True, id="with a selector"),
        pytest.param({"selector": {}}, False, id="without a selector"),
        pytest.param({"type": "ExternalName"}, False, id="an outer name"),
    ],
)
def test_is_ours(spec: dict[str, object], expected: bool) -> None:
    assert common.is_ours(service(**spec)) is expected
