"""Custom kinds are there again after a start, and stay cheap when there are many."""

import time
from random import Random
from typing import Any

from bireme.aio.clock import VirtualClock
from bireme.api.scheme import builtin
from bireme.registry.custom_kinds import DEFINITIONS
from bireme.registry.options import Call
from bireme.registry.verbs import Registry
from bireme.registry.wiring import build_registry
from bireme.store.interface import Store
from bireme.store.memory import MemoryStore

Tree = dict[str, Any]
DEAD = {
    "strategy": "Webhook",
    "webhook": {"clientConfig": {"url": "https://127.0.0.1:1/"}, "conversionReviewVersions": ["v1"]},
}


def definition(number: int, **spec: Any) -> Tree:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [
        {"name": name, "served": True, "storage": name == "v1", "schema": schema, "subresources": {"status": {}}}
        for name in ("v1", "v2")
    ]
    names = {"plural": f"tabs{number}", "kind": f"Tab{number}"}
    said = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": versions, **spec}
    return {"metadata": {"name": f"tabs{number}.example.com"}, "spec": said}


def registry_over(store: Store) -> Registry:
    return build_registry(store, builtin(), VirtualClock(), random=Random(1))


async def test_served_after_a_start_though_their_webhook_is_dead() -> None:
    store = MemoryStore(clock=VirtualClock())
    first = registry_over(store)
    await first.create(first.kind(*DEFINITIONS), "", definition(1, conversion=DEAD), Call())
    await first.create(first.kind("", "v1", "namespaces"), "", {"metadata": {"name": "default"}}, Call())
    kind = first.kind("example.com", "v1", "tabs1")
    await first.create(kind, "default", {"metadata": {"name": "a"}, "x": 1}, Call())
    second = registry_over(store)
    again = second.kind("example.com", "v1", "tabs1")
    assert again.resource.has_status
    assert (await second.get(again, "default", "a")).tree()["x"] == 1


async def test_the_builtin_scheme_is_left_alone() -> None:
    registry = registry_over(MemoryStore(clock=VirtualClock()))
    await registry.create(registry.kind(*DEFINITIONS), "", definition(1), Call())
    assert registry.scheme.resource("example.com", "v1", "tabs1") is not None
    assert builtin().resource("example.com", "v1", "tabs1") is None


async def test_a_thousand_definitions_cost_no_more_each_than_the_first() -> None:
    registry = registry_over(MemoryStore(clock=VirtualClock()))
    kind, spent = registry.kind(*DEFINITIONS), []
    for number in range(600):
        began = time.process_time()
        await registry.create(kind, "", definition(number), Call())
        spent.append(time.process_time() - began)
    early, late = sorted(spent[50:100])[25], sorted(spent[550:])[25]
    assert late < early * 3 + 0.002
