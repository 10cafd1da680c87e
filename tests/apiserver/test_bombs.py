"""F-API-4: what is made to hurt a server, fifty at once; each is refused, and nobody waits long for the loop."""

import asyncio
import gc
import time
from collections.abc import Iterator
from typing import Any

import pytest

APPLY, JSON_PATCH = "application/apply-patch+yaml", "application/json-patch+json"
MAPS = "/api/v1/namespaces/default/configmaps"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
ROUNDS = 5
MOST_S = 0.5
"""Of this thread's CPU; what it guards against took whole seconds."""


def aliases() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return "\n".join(lines).encode()


def definition(schema: Any) -> Any:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": "b.example.com", "scope": "Namespaced", "names": {"plural": "bs", "kind": "B"}}
    return {"metadata": {"name": "bs.b.example.com"}, "spec": {**spec, "versions": [version]}}


def policy(expression: str) -> Any:
    rules = [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}]
    spec = {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": expression}]}
    return {"metadata": {"name": "p"}, "spec": spec}


def deep(levels: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


LOOPS = {
    "type": "object",
    "properties": {"spec": {"type": "array", "items": {"type": "string"}}},
    "x-kubernetes-validations": [{"rule": "self.spec.all(a, self.spec.all(b, self.spec.all(c, a == b + c)))"}],
}
DOUBLING = [{"op": "copy", "from": "/data", "path": f"/data/c{number}"} for number in range(40)]
BOMBS: list[tuple[str, str, Any, str]] = [
    ("POST", MAPS, aliases(), "application/yaml"),
    ("PATCH", f"{MAPS}/m?fieldManager=t", aliases(), APPLY),
    ("POST", MAPS, b"a: " + b"[" * 100_000 + b"]" * 100_000, "application/yaml"),
    ("POST", MAPS, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json"),
    ("POST", MAPS, b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "application/json"),
    ("PATCH", f"{MAPS}/m", DOUBLING, JSON_PATCH),
    ("POST", CRDS, definition(deep(200)), "application/json"),
    ("POST", CRDS, definition(LOOPS), "application/json"),
    ("POST", POLICIES, policy("[1,2,3].all(a, " * 40 + "true" + ")" * 40), "application/json"),
    ("POST", POLICIES, policy("object.spec.replicas" + " + 1" * 50_000 + " > 0"), "application/json"),
]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The collector goes through all that other tests have left, which is not what is measured."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_f_api_4_bombs_at_once(opened, no_collector):
    async with opened() as door:
        await door.make(MAPS, {"metadata": {"name": "m"}, "data": {"a": "x" * 1000}})
        longest, turns, done = 0.0, 0, False

        async def pulse() -> None:
            nonlocal longest, turns
            while not done:
                begun = time.thread_time()
                await asyncio.sleep(0)
                longest, turns = max(longest, time.thread_time() - begun), turns + 1

        async def one(method: str, path: str, body: Any, media: str) -> int:
            reply = await door.ask(method, path, body, content_type=media)
            return int(reply.status)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pulse())
            bombs = []
            for bomb in BOMBS * ROUNDS:  # as from fifty connections: one a turn of the loop
                bombs.append(tasks.create_task(one(*bomb)))
                await asyncio.sleep(0)
            await asyncio.wait(bombs)
            done = True
        codes = [bomb.result() for bomb in bombs]
        assert all(400 <= code < 500 for code in codes), codes
        assert longest < MOST_S
        await door.make(MAPS, {"metadata": {"name": "after"}})
