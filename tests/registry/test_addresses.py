from ipaddress import IPv4Network
from random import Random
from typing import Any

import pytest

from bireme.api.errors import Invalid
from bireme.registry.numbers import Full, Numbers, OutOfRange, Taken
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.wiring import build_registry


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def make(registry: Any, tree: dict[str, Any]) -> dict[str, Any]:
    document = await registry.create(registry.kind("", "v1", "services"), "default", tree, Call())
    return document.tree()


def test_numbers_are_given_once_and_the_lower_ones_last():
    numbers = Numbers(1, 10, reserved=5, random=Random(1))
    given = [numbers.take_any() for _ in range(10)]
    assert sorted(given) == list(range(1, 11))
    assert set(given[:5]) == {6, 7, 8, 9, 10}
    with pytest.raises(Full):
        numbers.take_any()
    with pytest.raises(Taken):
        numbers.take(3)
    with pytest.raises(OutOfRange):
        numbers.take(11)
    numbers.give_back(3)
    assert numbers.take_any() == 3


async def test_the_api_itself_has_the_first_address(opened):
    async with opened() as registry:
        tree = registry.find("", "v1", "services", "default", "kubernetes")
        assert tree["spec"]["clusterIP"] == "10.96.0.1"
        shown = registry.find("networking.k8s.io", "v1", "ipaddresses", "", "10.96.0.1")
        assert shown["spec"]["parentRef"]["name"] == "kubernetes"


async def test_addresses_and_ports_are_given_and_come_back(opened):
    async with opened() as registry:
        made = await make(registry, service("a", type="NodePort"))
        address, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
        assert made["spec"]["clusterIPs"] == [address]
        assert 30000 <= port <= 32767
        with pytest.raises(Invalid, match="provided IP is already allocated"):
            await make(registry, service("b", clusterIP=address))
        with pytest.raises(Invalid, match="provided port is already allocated"):
            await make(registry, service("b", type="NodePort", ports=[{"port": 1, "nodePort": port}]))
        kind = registry.kind("", "v1", "services")
        await registry.delete(kind, "default", "a", DeleteOptions(), Call())
        assert registry.find("networking.k8s.io", "v1", "ipaddresses", "", address) is None
        again = await make(
            registry, service("b", type="NodePort", clusterIP=address, ports=[{"port": 1, "nodePort": port}])
        )
        assert again["spec"]["clusterIP"] == address


@pytest.mark.parametrize("address", ["10.97.0.1", "10.96.0.0", "10.96.255.255", "nonsense"])
async def test_addresses_outside_the_range(opened, address):
    async with opened() as registry:
        with pytest.raises(Invalid):
            await make(registry, service("a", clusterIP=address))


async def test_headless_and_external_services_have_no_address(opened):
    async with opened() as registry:
        headless = await make(registry, service("a", clusterIP="None"))
        assert headless["spec"]["clusterIPs"] == ["None"]
        external = await make(registry, service("b", type="ExternalName", externalName="example.com"))
        assert "clusterIP" not in external["spec"]


async def test_one_service_may_share_a_port_between_protocols(opened):
    async with opened() as registry:
        ports = [
            {"name": "t", "port": 53, "protocol": "TCP", "nodePort": 30053},
            {"name": "u", "port": 53, "protocol": "UDP", "nodePort": 30053},
        ]
        made = await make(registry, service("a", type="NodePort", ports=ports))
        assert {port["nodePort"] for port in made["spec"]["ports"]} == {30053}


async def test_an_update_keeps_what_was_given(opened):
    async with opened() as registry:
        made = await make(registry, service("a", type="NodePort"))
        kind = registry.kind("", "v1", "services")
        wanted = service("a", type="NodePort", selector={"app": "x"})
        document, _ = await registry.update(kind, "default", "a", wanted, Call())
        now = document.tree()["spec"]
        assert now["clusterIP"] == made["spec"]["clusterIP"]
        assert now["ports"][0]["nodePort"] == made["spec"]["ports"][0]["nodePort"]
        document, _ = await registry.update(kind, "default", "a", service("a", type="ClusterIP"), Call())
        assert "nodePort" not in document.tree()["spec"]["ports"][0]
        freed = made["spec"]["ports"][0]["nodePort"]
        await make(registry, service("b", type="NodePort", ports=[{"port": 1, "nodePort": freed}]))


async def test_a_failed_create_gives_the_address_back(opened):
    async with opened() as registry:
        await make(registry, service("a"))
        for address in ("10.96.0.77", "10.96.0.77"):
            with pytest.raises(Exception, match="already exists"):
                await make(registry, service("a", clusterIP=address))
        await make(registry, service("b", clusterIP="10.96.0.77"))


async def test_what_is_taken_is_read_from_the_services_at_start(opened):
    async with opened() as registry:
        made = await make(registry, service("a", type="NodePort"))
        second = build_registry(
            registry.store, registry.scheme, registry.clock, service_range=IPv4Network("10.96.0.0/16")
        )
        with pytest.raises(Invalid, match="provided IP is already allocated"):
            await make(second, service("b", clusterIP=made["spec"]["clusterIP"]))


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        pytest.param(
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for '
            "dual-stack services",
            id="both families or none",
        ),
        pytest.param(
            {"ipFamilies": ["IPv6"]},
            'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
            id="the other family",
        ),
    ],
)
async def test_a_family_that_is_not_here_is_refused(opened, spec, fault):
    async with opened() as registry:
        with pytest.raises(Invalid) as refused:
            await make(registry, service("s", **spec))
        assert fault in str(refused.value)


async def test_both_families_are_taken_where_they_are_had(opened):
    async with opened() as registry:
        tree = await make(registry, service("s", ipFamilyPolicy="PreferDualStack"))
        assert tree["spec"]["ipFamilies"] == ["IPv4"]
