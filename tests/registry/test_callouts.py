"""Where a webhook's service is reached, and what is said where it isn't."""

import asyncio
from random import Random
from typing import Any

import pytest

from bireme.api.errors import ApiError
from bireme.registry.callouts import Callouts

Tree = dict[str, Any]
SERVICE: Tree = {"spec": {"clusterIP": "10.96.0.9", "ports": [{"name": "https", "port": 443}]}}
SLICE: Tree = {
    "metadata": {"labels": {"kubernetes.io/service-name": "hook"}},
    "ports": [{"name": "https", "port": 8443}],
    "endpoints": [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": False}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": True}},
    ],
}


class Objects:
    def __init__(self, service: Tree | None, *slices: Tree) -> None:
        self.service, self.slices = service, list(slices)

    def find(self, group: str, version: str, plural: str, namespace: str, name: str) -> Tree | None:
        return self.service

    def every(self, group: str, version: str, plural: str, namespace: str = "") -> list[Tree]:
        return self.slices


CONFIG = {"service": {"namespace": "a", "name": "hook", "path": "/convert"}}


def test_a_service_is_reached_at_a_ready_endpoint_under_its_own_name() -> None:
    target = Callouts(Objects(SERVICE, SLICE), Random(1))._target(CONFIG)
    assert (target.url, target.host) == ("https://10.0.0.2:8443/convert", "hook.a.svc:443")


def test_a_service_whose_endpoints_are_not_known_is_reached_at_its_address() -> None:
    assert Callouts(Objects(SERVICE), Random(1))._target(CONFIG).url == "https://10.96.0.9:443/convert"


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        pytest.param(Objects(None), 'service "hook" not found', id="no service"),
        pytest.param(
            Objects(SERVICE, {**SLICE, "endpoints": SLICE["endpoints"][:1]}),
            'no endpoints available for service "hook"',
            id="nothing ready",
        ),
    ],
)
def test_services_that_are_not_reached(objects: Objects, message: str) -> None:
    with pytest.raises(ApiError, match=message):
        Callouts(objects, Random(1))._target(CONFIG)


async def test_nobody_at_the_other_end() -> None:
    callouts = Callouts(Objects(None), Random(1))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(callouts.run())
        with pytest.raises(ApiError, match=r'Post "https://127\.0\.0\.1:1/"'):
            await callouts.post({"url": "https://127.0.0.1:1/"}, {}, 1.0)
        running.cancel()
