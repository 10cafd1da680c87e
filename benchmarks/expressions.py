"""What does a rule in CEL cost: compiled, evaluated, over a list, in a policy?

Expressions run in this process, on objects as they come from JSON. A policy is asked for by creating ConfigMaps
through the verbs over a store in memory, with and without one policy that allows them, in turn; the difference is
its price, and "none" is what a cluster without policies pays. Import is that of a new interpreter.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from report import Figure, report

from bireme.aio.clock import RealClock
from bireme.api.cel.declarations import type_from_schema
from bireme.api.cel.environment import Environment
from bireme.api.cel.program import compile
from bireme.api.cel.rules import compile_rules
from bireme.api.scheme import builtin
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.verbs import Registry
from bireme.registry.wiring import build_registry
from bireme.store.memory import MemoryStore

RULE = "self.spec.replicas <= 10 && self.metadata.name.startsWith('a')"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer"},
                "items": {"type": "array", "maxItems": 2000, "items": {"type": "integer"}},
            },
        }
    },
}
OBJECT = {"metadata": {"name": "abc"}, "spec": {"replicas": 3, "items": list(range(1000))}}
GROUP = "admissionregistration.k8s.io"


def timed(work: Callable[[], Any], times: int) -> list[float]:
    """Microseconds each, once for each of five rounds."""
    rounds = []
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(times):
            work()
        rounds.append((time.perf_counter() - begun) / times * 1e6)
    return rounds


async def creates(registry: Registry, names: "count[int]", times: int) -> float:
    kind = registry.kind("", "v1", "configmaps")
    begun = time.process_time()
    for _ in range(times):
        tree = {"metadata": {"name": f"c{next(names)}"}, "data": {"a": "b"}}
        await registry.create(kind, "default", tree, Call())
    return (time.process_time() - begun) / times * 1e6


async def policies(times: int) -> tuple[list[float], list[float]]:
    """What a create costs without a policy, and with one."""
    registry = build_registry(MemoryStore(clock=RealClock()), builtin(), RealClock())
    await registry.create(registry.kind("", "v1", "namespaces"), "", {"metadata": {"name": "default"}}, Call())
    names, bare, held = count(), [], []
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    claims = [{"expression": "has(object.data) && object.metadata.name.startsWith('c')"}]
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": claims}
    await registry.create(
        registry.kind(GROUP, "v1", "validatingadmissionpolicies"),
        "",
        {"metadata": {"name": "p"}, "spec": spec},
        Call(),
    )
    bindings = registry.kind(GROUP, "v1", "validatingadmissionpolicybindings")
    for turn in range(6):
        bare.append(await creates(registry, names, times))
        bound = {"policyName": "p", "validationActions": ["Deny"]}
        await registry.create(bindings, "", {"metadata": {"name": f"b{turn}"}, "spec": bound}, Call())
        held.append(await creates(registry, names, times))
        await registry.delete(bindings, "", f"b{turn}", DeleteOptions(), Call())
    return bare, held


def first_use() -> float:
    """Milliseconds that the first expression of a process takes, with all that is loaded for it."""
    code = (
        "from bireme.api.cel.program import compile; from bireme.api.cel.environment import Environment; import time;"
    )
    code += "t = time.perf_counter(); compile('1 + 1', Environment({})); print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return float(done.stdout) * 1e3


def measure(times: int) -> list[Figure]:
    """All figures."""
    kind = type_from_schema(SCHEMA, root=True)
    assert kind is not None
    environment = Environment({"self": kind})
    program, loop = compile(RULE, environment), compile("self.spec.items.all(x, x < 100000)", environment)
    rules = compile_rules({**SCHEMA, "x-kubernetes-validations": [{"rule": RULE}]})
    assert rules is not None
    bare, held = asyncio.run(policies(times // 4))
    least = "at most 50"
    return [
        Figure("the first expression of a process", "ms", [first_use() for _ in range(3)]),
        Figure("compile a rule", "us", timed(lambda: compile(RULE, environment), times // 10)),
        Figure("evaluate a rule", "us", timed(lambda: program.evaluate({"self": OBJECT}), times), least),
        Figure("hold an object against one rule", "us", timed(lambda: rules.check(OBJECT), times), least),
        Figure("all() over 1,000 items", "us", timed(lambda: loop.evaluate({"self": OBJECT}), times // 100)),
        Figure("create a ConfigMap, no policy bound", "us", bare),
        Figure(
            "create a ConfigMap: a policy adds", "us", [more - less for more, less in zip(held, bare, strict=True)]
        ),
    ]


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=2000, help="evaluations a round")
    report("expressions", measure(options.parse_args().times))


if __name__ == "__main__":
    main()
