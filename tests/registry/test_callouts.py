"""Asking servers that users name: what is said where there is no answer."""

import asyncio
from random import Random
from typing import Any

import pytest

from bireme.api.errors import ApiError
from bireme.registry.callouts import Callouts

Tree = dict[str, Any]
SERVICE: Tree = {"spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 443}]}}


class Objects:
    def find(self, group: str, version: str, plural: str, namespace: str, name: str) -> Tree | None:
        return SERVICE

    def every(self, group: str, version: str, plural: str, namespace: str = "") -> list[Tree]:
        return []


def test_a_service_is_spoken_to_under_its_own_name() -> None:
    config = {"service": {"namespace": "a", "name": "hook", "path": "/convert"}}
    target = Callouts(Objects(), Random(1))._target(config)
    assert target == ("https://10.96.0.9:443/convert", "hook.a.svc", "hook.a.svc:443")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param({"url": "https://127.0.0.1:1/"}, r'Post "https://127\.0\.0\.1:1/\?timeout=1s": ', id="nobody"),
        pytest.param(
            {"url": "https://127.0.0.1:1/", "caBundle": "bm9uZQ=="}, "unable to load root cert", id="no authority"
        ),
    ],
)
async def test_nobody_at_the_other_end(config: Tree, message: str) -> None:
    callouts = Callouts(Objects(), Random(1))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(callouts.run())
        with pytest.raises(ApiError, match=message):
            await callouts.post(config, {}, 1.0)
        running.cancel()
