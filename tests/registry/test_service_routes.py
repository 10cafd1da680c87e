"""Where a service is reached, and what is said where it isn't."""

from typing import Any

import pytest

from bireme.api.errors import ApiError
from bireme.registry.service_routes import Place, places

Tree = dict[str, Any]
SERVICE: Tree = {"spec": {"clusterIP": "10.96.0.9", "ports": [{"name": "https", "port": 443}]}}
OUTSIDE: Tree = {"spec": {"type": "ExternalName", "externalName": "hooks.example.com"}}


def endpoint(address: str, *, ready: bool = True) -> Tree:
    return {"addresses": [address], "conditions": {"ready": ready}}


def piece(*endpoints: Tree) -> Tree:
    labels = {"kubernetes.io/service-name": "hook"}
    return {"metadata": {"labels": labels}, "ports": [{"name": "https", "port": 8443}], "endpoints": list(endpoints)}


class Objects:
    def __init__(self, service: Tree | None, *slices: Tree) -> None:
        self.service, self.slices = service, list(slices)

    def find(self, group: str, version: str, plural: str, namespace: str, name: str) -> Tree | None:
        return self.service

    def every(self, group: str, version: str, plural: str, namespace: str = "") -> list[Tree]:
        return self.slices


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param(
            Objects(SERVICE, piece(endpoint("10.0.0.1", ready=False), endpoint("10.0.0.2"))),
            [Place("10.0.0.2", 8443)],
            id="at a ready endpoint",
        ),
        pytest.param(Objects(SERVICE), [Place("10.96.0.9", 443)], id="at its address where no endpoints are known"),
        pytest.param(Objects(OUTSIDE), [Place("hooks.example.com", 443)], id="at the name that it stands for"),
        pytest.param(
            Objects(SERVICE, piece(endpoint("127.0.0.1"), endpoint("169.254.169.254"), endpoint("fd00::1"))),
            [Place("fd00::1", 8443)],
            id="never on this machine, nor on the link",
        ),
    ],
)
def test_a_service_is_reached(objects: Objects, expected: list[Place]) -> None:
    assert places(objects, "a", "hook", 443) == expected


@pytest.mark.parametrize(
    ("objects", "port", "message"),
    [
        pytest.param(Objects(None), 443, 'service "hook" not found', id="no service"),
        pytest.param(Objects(SERVICE), 80, 'no service port 80 found for service "hook"', id="no such port"),
        pytest.param(
            Objects(SERVICE, piece(endpoint("10.0.0.1", ready=False))),
            443,
            'no endpoints available for service "hook"',
            id="nothing ready",
        ),
    ],
)
def test_services_that_are_not_reached(objects: Objects, port: int, message: str) -> None:
    with pytest.raises(ApiError, match=message):
        places(objects, "a", "hook", port)


def test_an_address_is_written_as_in_a_url() -> None:
    assert (str(Place("fd00::1", 1)), str(Place("10.0.0.1", 2))) == ("[fd00::1]:1", "10.0.0.1:2")
