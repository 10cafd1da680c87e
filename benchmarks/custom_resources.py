"""What a custom resource costs: pruning, defaults and checks alone, and a whole create in the process.

One object of 2 KB with 40 fields in nested lists and maps, whose schema has types, bounds, patterns, enums, defaults
and two rules.
"""

import asyncio
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import orjson

from bireme.aio.clock import RealClock
from bireme.api.scheme import Resource
from bireme.assembly.api import serve_api
from bireme.http.interface import Identity, Peer, Query, Request, Response
from bireme.registry.custom import Custom, Family
from bireme.store.memory import MemoryStore

Tree = dict[str, Any]
ROUNDS = 2_000
ADMIN = Peer(identity=Identity("admin", ("system:masters",)))
TEXT: Tree = {"type": "string", "maxLength": 64}
PART: Tree = {
    "type": "object",
    "required": ["name", "kind"],
    "properties": {
        "name": {**TEXT, "pattern": "^[a-z][a-z0-9-]*$"},
        "kind": {"type": "string", "enum": ["red", "green", "blue"]},
        "size": {"type": "integer", "minimum": 0, "maximum": 100, "default": 1},
        "ratio": {"type": "number"},
        "labels": {"type": "object", "additionalProperties": TEXT},
    },
}
SPEC: Tree = {
    "type": "object",
    "required": ["title", "parts"],
    "properties": {
        "title": TEXT,
        "replicas": {"type": "integer", "default": 1},
        "paused": {"type": "boolean", "default": False},
        "port": {"x-kubernetes-int-or-string": True},
        "at": {"type": "string", "format": "date-time"},
        "parts": {
            "type": "array",
            "maxItems": 20,
            "items": PART,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        "notes": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
RULES = [{"rule": "self.replicas <= 100"}, {"rule": "!self.paused || self.replicas == 0"}]


def schema(*, rules: bool) -> Tree:
    """The schema, with rules or without."""
    spec = {**SPEC, "x-kubernetes-validations": RULES} if rules else SPEC
    return {"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}


def widget(name: str) -> Tree:
    """An object of some 2 KB with 40 fields."""
    parts = [
        {"name": f"part-{n}", "kind": "red", "size": n, "ratio": 0.5, "labels": {"role": "x" * 40, "zone": "y" * 40}}
        for n in range(5)
    ]
    return {
        "apiVersion": "bench.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {
            "title": "a widget",
            "replicas": 3,
            "port": "http",
            "at": "2026-01-01T00:00:00Z",
            "parts": parts,
            "notes": {f"note-{n}": "z" * 80 for n in range(9)},
        },
    }


def custom(*, rules: bool) -> Custom:
    """The version of a kind, compiled."""
    resource = Resource("bench.example.com", "v1", "Widget", "widgets", "widget", True, list_kind="WidgetList")
    family = Family("widgets.bench.example.com", resource.group, "v1", None, terminating=False)
    made = Custom(resource, {"name": "v1", "schema": {"openAPIV3Schema": schema(rules=rules)}}, family)
    family.versions["v1"] = made
    return made


def microseconds(deed: Callable[[Tree], object]) -> float:
    """CPU time of one deed on a fresh object."""
    trees = [deepcopy(widget("a")) for _ in range(ROUNDS)]
    for tree in trees[:50]:
        deed(tree)
    began = time.process_time()
    for tree in trees:
        deed(tree)
    return (time.process_time() - began) / ROUNDS * 1e6


async def created(*, rules: bool) -> float:
    """CPU time of one POST in the process, parse to answer, over a store in memory."""
    clock = RealClock()
    store = MemoryStore(clock=clock)
    async with serve_api(store, clock=clock) as api:
        names = {"plural": "widgets", "kind": "Widget"}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema(rules=rules)}}
        spec = {"group": "bench.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
        definition = {"metadata": {"name": "widgets.bench.example.com"}, "spec": spec}

        async def post(path: str, body: Tree) -> None:
            request = Request("POST", path, Query.parse(""), {}, orjson.dumps(body), ADMIN, path)
            answer = await api.server.handle(request)
            assert isinstance(answer, Response)
            assert answer.status == 201, answer.body

        await post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        path = "/apis/bench.example.com/v1/namespaces/default/widgets"
        bodies = [widget(f"w{number}") for number in range(ROUNDS)]
        began = time.process_time()
        for body in bodies:
            await post(path, body)
        return (time.process_time() - began) / ROUNDS * 1e6


def main() -> None:
    """Print the figures."""
    print(f"object: {len(orjson.dumps(widget('a')))} bytes")
    for rules in (False, True):
        kind = custom(rules=rules)
        text = "with rules" if rules else "without rules"
        print(f"prune      {text:14} {microseconds(kind.settle):7.1f} us")
        print(f"default    {text:14} {microseconds(kind.fill):7.1f} us")
        print(f"check      {text:14} {microseconds(lambda tree, kind=kind: kind.faults(tree, None)):7.1f} us")  # type: ignore[misc]
        print(f"POST       {text:14} {asyncio.run(created(rules=rules)):7.1f} us")


if __name__ == "__main__":
    main()
