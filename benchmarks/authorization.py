"""How long does it take to say who may do what?

A cluster with 1,000 roles and bindings in 100 namespaces beside the default ones; asked by an administrator, a user
of a namespaced role, a service account with nothing, and with every decision remembered or none. Prints microseconds.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial

from bireme.aio.clock import RealClock
from bireme.assembly.api import serve_api
from bireme.http.interface import Identity
from bireme.registry.access import Attempt, Authorizer, Decision
from bireme.registry.options import Call
from bireme.registry.verbs import Registry
from bireme.store.memory import MemoryStore

GROUP = "rbac.authorization.k8s.io"
ROLES, SPACES, TIMES = 1000, 100, 20_000


async def main() -> None:
    clock = RealClock()
    async with serve_api(MemoryStore(clock=clock), clock=clock) as api:
        await fill(api.registry)
        await asyncio.sleep(0.2)
        authorizer, roles = api.registry.authorizer, api.registry.roles
        assert roles is not None
        account = Identity("system:serviceaccount:n1:a", ("system:serviceaccounts", "system:authenticated"))
        asked = {
            "administrator": (Identity("admin", ("system:masters", "system:authenticated")), "n1"),
            "user of a role": (Identity("user-1", ("system:authenticated",)), "n1"),
            "nobody in particular": (account, "n1"),
            "controller manager": (Identity("system:kube-controller-manager", ("system:authenticated",)), "n1"),
        }
        for name, (user, namespace) in asked.items():
            same = Attempt("create", "", "v1", "pods", namespace=namespace)
            report(name, "remembered", partial(authorizer.decide, user, same))
            others = iter([Attempt("create", "", "v1", f"k{n}", namespace=namespace) for n in range(TIMES)])
            report(name, "for the first time", partial(decide_next, authorizer, user, others))


def decide_next(authorizer: Authorizer, user: Identity, attempts: Iterator[Attempt]) -> Decision:
    return authorizer.decide(user, next(attempts))


def report(name: str, how: str, ask: Callable[[], object]) -> None:
    print(f"{name}, {how}: {timed(ask):.2f} us")


def timed(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(TIMES):
        ask()
    return (time.perf_counter() - began) / TIMES * 1e6


async def fill(registry: Registry) -> None:
    rule = {"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["get", "list", "create"]}
    spaces, roles, bindings = (
        registry.kind("", "v1", "namespaces"),
        registry.kind(GROUP, "v1", "roles"),
        registry.kind(GROUP, "v1", "rolebindings"),
    )
    for number in range(SPACES):
        await registry.create(spaces, "", {"metadata": {"name": f"n{number}"}}, Call())
    for number in range(ROLES):
        namespace, name = f"n{number % SPACES}", f"r{number}"
        await registry.create(roles, namespace, {"metadata": {"name": name}, "rules": [rule]}, Call())
        subject = {"kind": "User", "apiGroup": GROUP, "name": f"user-{number}"}
        reference = {"kind": "Role", "apiGroup": GROUP, "name": name}
        tree = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        await registry.create(bindings, namespace, tree, Call())


if __name__ == "__main__":
    asyncio.run(main())
