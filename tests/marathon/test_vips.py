"""Virtual addresses as Services and EndpointSlices."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent)]

from marathon_build import app, instance  # noqa: E402

from bireme.api.kinds import core, discovery  # noqa: E402
from bireme.marathon.instances import Health  # noqa: E402
from bireme.marathon.model import App  # noqa: E402
from bireme.marathon.vips import Vip, service_name, vips_of, wanted  # noqa: E402


def on_host(*labels: str) -> App:
    ports = [{"port": 0, "labels": {f"VIP_{place}": label}} for place, label in enumerate(labels)]
    return app(portDefinitions=ports)


def test_one_service_holds_several_ports() -> None:
    spec = on_host("/cart:80", "/cart:443")
    one = instance(spec, "a")
    found = wanted([spec], {spec.id: [one]}, framework="marathon")
    service = found[core.Service, "mesos-default", "cart"]
    assert isinstance(service, core.Service)
    assert [(port.name, port.port) for port in service.spec.ports] == [("tcp-80", 80), ("tcp-443", 443)]
    assert service.metadata.annotations == {"mesos.bireme.dev/vip": "cart.marathon"}
    [ends] = [obj for obj in found.values() if isinstance(obj, discovery.EndpointSlice)]
    assert [(port.name, port.port) for port in ends.ports] == [("tcp-443", 31001), ("tcp-80", 31000)]
    assert [each.addresses for each in ends.endpoints] == [["10.0.0.1"]]
    assert ends.metadata.labels["kubernetes.io/service-name"] == "cart"


def test_only_instances_that_serve_are_endpoints() -> None:
    spec = App({**on_host("/cart:80").tree, "healthChecks": app(healthChecks=[{}]).tree["healthChecks"]})
    well, ill, staging = instance(spec, "a"), instance(spec, "b"), instance(spec, "c", state="TASK_STAGING")
    well.mesos_healthy = None
    well.health[0], ill.health[0] = Health(alive=True), Health(alive=False)
    ill.host_ports = (31005,)
    found = wanted([spec], {spec.id: [well, ill, staging]}, framework="marathon")
    slices = [obj for obj in found.values() if isinstance(obj, discovery.EndpointSlice)]
    assert [port.port for each in slices for port in each.ports] == [31000]


def test_containers_are_reached_by_their_own_address() -> None:
    container = {
        "type": "DOCKER",
        "docker": {"image": "x"},
        "portMappings": [{"containerPort": 80, "labels": {"VIP_0": "/shop/cart:80"}}],
    }
    spec = app(container=container, networks=[{"mode": "container/bridge"}])
    pair = [instance(spec, name, addresses=[f"10.244.0.{place}"]) for place, name in enumerate("ab")]
    found = wanted([spec], {spec.id: pair}, framework="marathon")
    assert (core.Service, "mesos-default", "shopcart") in found
    [ends] = [obj for obj in found.values() if isinstance(obj, discovery.EndpointSlice)]
    assert [port.port for port in ends.ports] == [80]
    assert [each.addresses[0] for each in ends.endpoints] == ["10.244.0.0", "10.244.0.1"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("/cart:80", [Vip("cart", "", 80, 0, "TCP")]),
        ("cart:80", [Vip("cart", "", 80, 0, "TCP")]),
        ("1.2.3.4:80", [Vip("", "1.2.3.4", 80, 0, "TCP")]),
        ("/cart", []),
        ("/cart:http", []),
        (":80", []),
        ("/cart:70000", []),
    ],
)
def test_labels(label: str, expected: list[Vip]) -> None:
    assert list(vips_of(on_host(label))) == expected


@pytest.mark.parametrize("name", ["cart", "Cart", "1cart", "a.b", "x" * 100])
def test_names_of_services_are_valid_and_differ(name: str) -> None:
    made = service_name(Vip(name, "", 80, 0, "TCP"))
    assert made.replace("-", "").isalnum()
    assert made == made.lower()
    assert made[0].isalpha()
    assert len(made) <= 63
    assert made != service_name(Vip(name + "2", "", 80, 0, "TCP"))
