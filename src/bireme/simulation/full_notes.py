"""What the full player measures: read off the Pods and Nodes as the API shows them, with the loop's time.

A node counts while it is Ready, a pod while it is bound to such a node and has not ended; a deployment's availability
is the part of its pods that are Ready, as its controller sees it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bireme.aio.clock import Clock
from bireme.api import resources
from bireme.api.kinds import core
from bireme.kubelet.status import TERMINAL
from bireme.simulation.machines import Machine
from bireme.simulation.recorder import Placement, Recorder

APP = "app"


@dataclass(slots=True)
class Seen:
    """One pod as it was seen last. `counted` says that it holds what it requests of a node that is Ready."""

    pod: core.Pod
    created: float
    requests: dict[str, int]
    counted: bool = False
    ready: bool = False


class Notes:
    """Takes notes for a recorder. `wanted(app)` is how many replicas a deployment should have, 0 for what is none."""

    def __init__(self, machines: dict[str, Machine], clock: Clock, wanted: Callable[[str], int]) -> None:
        self.recorder = Recorder()
        self._machines, self._clock, self._wanted = machines, clock, wanted
        self._seen: dict[str, Seen] = {}
        self._ready: set[str] = set()
        self._serving: dict[str, int] = {}
        self._began = clock.monotonic()

    def now(self) -> float:
        """Seconds since the beginning of the play; what was before counts for nothing."""
        now = self._clock.monotonic() - self._began
        self.recorder.at(now)
        return now

    def begin(self) -> None:
        """The play begins now."""
        self._began = self._clock.monotonic()
        self.recorder.now = 0.0

    def waiting(self) -> list[tuple[core.Pod, float]]:
        """Pods without a node, and how long they had waited when something was noted last."""
        now = self.recorder.now
        found = [each for each in self._seen.values() if not each.pod.spec.node_name]
        return [(each.pod, now - each.created) for each in found if each.pod.status.phase not in TERMINAL]

    def node_changed(self, old: core.Node | None, new: core.Node | None) -> None:
        """For an informer of Nodes."""
        self.now()
        name = (new or old).metadata.name  # type: ignore[union-attr]
        ready = new is not None and any(c.type == "Ready" and c.status == "True" for c in new.status.conditions)
        machine = self._machines.get(name)
        if machine is None or ready == (name in self._ready):
            return
        self.recorder.capacity(machine.allocatable, 1 if ready else -1)
        if ready:
            self._ready.add(name)
        else:
            self._ready.discard(name)
            self.recorder.count("nodes lost")
        for seen in self._seen.values():
            if seen.pod.spec.node_name == name:
                self._count(seen)

    def pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        """For an informer of Pods."""
        now = self.now()
        if new is None:
            if old is not None and (seen := self._seen.pop(old.metadata.uid, None)) is not None:
                if not seen.pod.spec.node_name:
                    self.recorder.gave_up(seen.pod.metadata.namespace)
                self._let_go(seen)
            return
        seen = self._seen.get(new.metadata.uid)
        if seen is None:
            requests = {"pods": 1, **resources.pod_requests(new.spec)}
            seen = self._seen[new.metadata.uid] = Seen(new, now, requests)
            self.recorder.came(new.metadata.namespace)
            if new.spec.node_name:
                self._placed(seen, new, now)
        elif new.spec.node_name and not seen.pod.spec.node_name:
            self._placed(seen, new, now)
        if new.status.phase in TERMINAL and seen.pod.status.phase not in TERMINAL:
            self.recorder.count("completed" if new.status.phase == "Succeeded" else "failed")
        seen.pod = new
        self._count(seen)
        self._serve(seen, ready=any(c.type == "Ready" and c.status == "True" for c in new.status.conditions))

    def _placed(self, seen: Seen, pod: core.Pod, now: float) -> None:
        meta = pod.metadata
        app = meta.labels.get(APP, "")
        placement = Placement(now, meta.namespace, meta.name, app, pod.spec.node_name, now - seen.created, 1)
        self.recorder.was_placed(placement, seen.requests)
        seen.counted = True

    def _count(self, seen: Seen) -> None:
        pod = seen.pod
        counts = pod.spec.node_name in self._ready and pod.status.phase not in TERMINAL
        if counts != seen.counted:
            seen.counted = counts
            self.recorder.holds(pod.metadata.namespace, seen.requests, 1 if counts else -1)

    def _serve(self, seen: Seen, *, ready: bool) -> None:
        app = seen.pod.metadata.labels.get(APP, "")
        wanted = self._wanted(app)
        if ready == seen.ready or not wanted:
            return
        seen.ready = ready
        serving = self._serving[app] = self._serving.get(app, 0) + (1 if ready else -1)
        if app in self.recorder.least_available or serving >= wanted:
            self.recorder.available(app, min(1.0, serving / wanted))

    def _let_go(self, seen: Seen) -> None:
        if seen.counted:
            seen.counted = False
            self.recorder.holds(seen.pod.metadata.namespace, seen.requests, -1)
        self._serve(seen, ready=False)
