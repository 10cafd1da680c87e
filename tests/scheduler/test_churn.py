"""Pods, nodes and labels that come and go leave nothing behind: what is kept is as much after many as after some.

SCHEDULER_CHURN=20000 plays that many pods.
"""

import gc
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, cast

import msgspec
import numpy as np
from tests.scheduler.small_pods import HOST, pod

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import core, meta
from bireme.client.client import Client
from bireme.client.informer import Informer, key_of
from bireme.ledger.ledger import Ledger
from bireme.scheduler import demand, nodes, spreading, templates
from bireme.scheduler.caches import Caches
from bireme.scheduler.configuration import Settings
from bireme.scheduler.cycle import Cold, Cycle, Found, Refused
from bireme.scheduler.following import Following
from bireme.scheduler.queue import SchedulingQueue
from bireme.scheduler.spreading import Spreading
from bireme.scheduler.world import World

PODS = int(os.environ.get("SCHEDULER_CHURN", "500"))
AT_ONCE = 60
BOUNDED = frozenset(("_log", "_changes"))
"""Logs of changes, which are cut at a length of their own."""


class Churn:
    """A scheduler without an API: every decision is as good as written."""

    def __init__(self) -> None:
        self.caches = Caches.of(cast("Client", None), clock=VirtualClock())
        self.world, self.queue, clock = World(Ledger()), SchedulingQueue(), VirtualClock()
        self.cycle = Cycle(self.world, Settings(), default_selector=Spreading(self.caches).selector)
        self.following = Following(self.caches, self.cycle, self.queue, clock, stir=lambda: None)
        self.random, self.alive, self.count = Random(1), list[core.Pod](), 0
        self.node("stays")
        self.say(self.caches.pods, self._pod("never", cpu=1 << 20))
        old = self._pod("old", app="stable")
        old.spec.node_name = "stays"
        self.say(self.caches.pods, old)

    def say(self, informer: Informer[Any], obj: Any) -> None:
        informer.have([obj])

    def node(self, name: str) -> core.Node:
        made = core.Node(metadata=meta.ObjectMeta(name=name, labels={HOST: name, f"only-{name}": "x"}))
        made.spec.taints = [core.Taint(key="soft", value=name, effect="PreferNoSchedule")]
        made.status.allocatable = {"cpu": "64", "memory": "64Gi", "pods": "500"}
        self.say(self.caches.nodes, made)
        return made

    def play(self, pods: int) -> None:
        """So many more pods, each unlike all others; nodes are replaced, and long-lived pods relabelled."""
        for _ in range(pods):
            self.count += 1
            self._come(self._unlike(self.count))
            if len(self.alive) > AT_ONCE:
                self._go(self.alive.pop(self.random.randrange(len(self.alive))))
            if self.count % 4 == 0:
                self.caches.nodes._take([(key_of(self.node(f"n{self.count // 4 - 1}")), None)])
                self.node(f"n{self.count // 4}")
        while self.alive:
            self._go(self.alive.pop())

    def _pod(self, name: str, **wanted: Any) -> core.Pod:
        made = pod(name, **wanted)
        made.spec.scheduler_name = "default-scheduler"
        return made

    def _unlike(self, number: int) -> core.Pod:
        app = f"a{number}" if number % 2 else "stable"
        near = {0: {"apart": f"z{number}"}, 1: {"apart": "stable"}, 2: {"near": app}}.get(number % 5, {})
        made = self._pod(f"p{number}", cpu=10 + number % 400, priority=number % 700, app=app, **near)
        if number % 3 == 1:
            made.spec.node_selector = {f"key-{number}": "x"}
        if number % 3 == 0:
            selector = meta.LabelSelector(
                match_labels={"app": "stable", **({"n": str(number)} if number % 2 else {})}
            )
            made.spec.topology_spread_constraints = [
                core.TopologySpreadConstraint(
                    max_skew=5, topology_key=HOST, when_unsatisfiable="DoNotSchedule", label_selector=selector
                )
            ]
        if number % 11 == 0:
            made.status.nominated_node_name = "stays"
        return made

    def _come(self, new: core.Pod) -> None:
        self.say(self.caches.pods, new)
        while (waiting := self.queue.take(now=0.0)) is not None:
            wanted = self.caches.pods.get(waiting.key)
            assert wanted is not None
            try:
                decision: Found | Refused = self.cycle.decide(wanted)
            except Cold as cold:
                list(cold.steps)
                decision = self.cycle.decide(wanted)
            if isinstance(decision, Refused):
                waiting.group = decision.twins
                self.queue.give_back(waiting, decision.lack, now=0.0)
            else:
                self.queue.bind(waiting)
                bound = msgspec.structs.replace(wanted, spec=msgspec.structs.replace(wanted.spec))
                bound.spec.node_name = decision.node
                self.say(self.caches.pods, bound)
        self.following.tell_queue()
        self.alive.append(new)

    def _go(self, old: core.Pod) -> None:
        self.caches.pods._take([(key_of(old), None)])
        self.following.tell_queue()


def sizes(*roots: Any) -> Counter[str]:
    """Entries of all containers that can be reached, by the type and the attribute that hold them."""
    gc.collect()  # templates go in circles, and what they count with them
    found: Counter[str] = Counter()
    seen: set[int] = set()
    left: list[tuple[str, Any]] = [("", root) for root in roots]
    while left:
        holder, each = left.pop()
        if id(each) in seen or isinstance(each, str | bytes | int | float | type | np.ndarray | msgspec.Struct):
            continue
        seen.add(id(each))
        if isinstance(each, Mapping):
            found[holder] += len(each)
            left += [(holder, part) for pair in each.items() for part in pair]
        elif isinstance(each, list | set | tuple | frozenset):
            found[holder] += len(each)
            left += [(holder, part) for part in each]
        elif type(each).__module__.startswith(("bireme.scheduler", "bireme.ledger")):
            left += attributes(each)
    return found


def attributes(each: object) -> Iterator[tuple[str, Any]]:
    names = {*getattr(each, "__dict__", ()), *getattr(type(each), "__slots__", ())} - BOUNDED - {"__weakref__"}
    yield from ((f"{type(each).__name__}.{name}", getattr(each, name)) for name in names if hasattr(each, name))


def test_what_is_kept_does_not_grow(monkeypatch: Any) -> None:
    monkeypatch.setattr(nodes, "STALE_VALUES", 20)
    monkeypatch.setattr(nodes, "LABELS", 20)
    monkeypatch.setattr(spreading, "LIMIT", 100)
    monkeypatch.setitem(demand.Demands.__init__.__kwdefaults__, "limit", 100)
    monkeypatch.setitem(templates.Templates.__init__.__kwdefaults__, "limit", 50)
    churn = Churn()
    churn.play(PODS // 2)
    before = sizes(churn.cycle, churn.queue, churn.following)
    churn.play(PODS // 2)
    after = sizes(churn.cycle, churn.queue, churn.following)
    grown = {holder: (before[holder], size) for holder, size in after.items() if size > 1.2 * before[holder] + 30}
    assert grown == {}
    assert set(churn.world.placed) == {"old"}
    assert len(churn.queue._waiting) == 1
