from typing import Any

import msgspec
from controller_objects import node, pod, service
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api.kinds import core, discovery
from bireme.controllers import endpointslice, slices
from bireme.controllers.changes import Create, Delete, Update


def play(wanted: slices.Wanted, there: list[discovery.EndpointSlice]) -> list[discovery.EndpointSlice]:
    by_name = {item.metadata.name: item for item in there}
    for change in slices.plan(wanted, there):
        match change:
            case Create(object=obj):
                assert obj.metadata.name not in by_name
                by_name[obj.metadata.name] = msgspec.structs.replace(obj)  # type: ignore[assignment]
            case Update(object=obj):
                by_name[obj.metadata.name] = obj  # type: ignore[assignment]
            case Delete(object=obj):
                del by_name[obj.metadata.name]
    return list(by_name.values())


def wanted(pods: list[core.Pod], there: core.Service | None = None) -> slices.Wanted:
    return endpointslice.wanted(there or service(), pods, node=lambda name: node(name, zone="z"))


def many(numbers: Any, **fields: Any) -> list[core.Pod]:
    return [pod(f"p{i}", ip=f"10.1.{i // 250}.{i % 250}", **fields) for i in numbers]


def addresses(there: list[discovery.EndpointSlice]) -> list[str]:
    return sorted(address for item in there for endpoint in item.endpoints for address in endpoint.addresses)


def test_a_service_without_pods_has_one_empty_slice() -> None:
    (item,) = play(wanted([]), [])
    assert item.endpoints == []
    assert item.address_type == "IPv4"
    assert item.metadata.labels == {
        "team": "x",
        slices.SERVICE_NAME: "s",
        slices.MANAGED_BY: endpointslice.MANAGER,
    }
    assert slices.plan(wanted([]), [item]) == []


def test_the_empty_slice_gives_way_and_comes_back() -> None:
    empty = play(wanted([]), [])
    full = play(wanted(many(range(1))), empty)
    assert len(full) == 1
    assert full[0].ports == [discovery.EndpointPort(name="http", port=8080, protocol="TCP")]
    again = play(wanted([]), full)
    assert len(again) == 1
    assert again[0].endpoints == []


def test_a_hundred_to_a_slice() -> None:
    there = play(wanted(many(range(250))), [])
    assert sorted(len(item.endpoints) for item in there) == [50, 100, 100]
    assert len({item.metadata.name for item in there}) == 3


def test_one_change_touches_one_slice() -> None:
    there = play(wanted(many(range(250))), [])
    moved = [*many(range(249)), *many([400])]
    assert len(slices.plan(wanted(moved), there)) == 1
    unready = many(range(250))
    unready[7].status.conditions[0].status = "False"
    assert len(slices.plan(wanted(unready), there)) == 1


def test_the_same_again_changes_nothing() -> None:
    there = play(wanted(many(range(120))), [])
    assert slices.plan(wanted(many(range(120))), there) == []
    assert slices.plan(wanted(list(reversed(many(range(120))))), there) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(0, 320)), min_size=1, max_size=5))
def test_slices_hold_each_endpoint_once_after_any_history(history: list[set[int]]) -> None:
    there: list[discovery.EndpointSlice] = []
    for numbers in history:
        pods = many(sorted(numbers))
        there = play(wanted(pods), there)
        assert addresses(there) == sorted(item.status.pod_ip for item in pods)
        assert all(len(item.endpoints) <= 100 for item in there)
        assert there
        assert slices.plan(wanted(pods), there) == []


def test_states() -> None:
    def state(**fields: Any) -> tuple[bool | None, ...]:
        publish = fields.pop("publish", None)
        made = endpointslice.endpoint(service(publish_not_ready_addresses=publish), pod(**fields), "10.0.0.1")
        assert made.conditions is not None
        return made.conditions.ready, made.conditions.serving, made.conditions.terminating

    assert state() == (True, True, False)
    assert state(ready=False) == (False, False, False)
    assert state(going=True) == (False, True, True)
    assert state(going=True, ready=False) == (False, False, True)
    assert state(ready=False, publish=True) == (True, False, False)


def test_zone_node_and_families() -> None:
    there = service(ip_families=["IPv4", "IPv6"])
    both = pod()
    both.status.pod_ips.append(core.PodIP(ip="fd00::1"))
    groups = wanted([both], there).groups
    assert {group[0]: [item.addresses for item in members] for group, members in groups.items()} == {
        "IPv4": [["10.244.0.2"]],
        "IPv6": [["fd00::1"]],
    }
    (endpoint,) = next(iter(groups.values()))
    assert (endpoint.zone, endpoint.node_name) == ("z", "n1")


def test_pods_of_a_node_that_is_gone_are_left_out() -> None:
    made = endpointslice.wanted(service(), [pod()], node=lambda name: None)
    assert not made.groups
    made = endpointslice.wanted(service(publish_not_ready_addresses=True), [pod()], node=lambda name: None)
    assert made.groups


def test_named_ports_split_slices() -> None:
    one, two = pod("a", ip="10.0.0.1"), pod("b", ip="10.0.0.2")
    one.spec.containers[0].ports = [core.ContainerPort(name="web", container_port=1)]
    two.spec.containers[0].ports = [core.ContainerPort(name="web", container_port=2)]
    there = service(ports=[core.ServicePort(name="http", port=80, target_port="web")])
    made = play(wanted([one, two], there), [])
    assert sorted(port.port or 0 for item in made for port in item.ports) == [1, 2]
