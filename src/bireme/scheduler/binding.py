"""What comes of a decision for a node: the pod is bound, tried again, or waits no more.

Left to others: the writes (`acting.py`), and where pods are booked (`world.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from bireme.aio.clock import Clock
from bireme.api.errors import ApiError, Conflict, NotFound
from bireme.api.kinds import core
from bireme.client.informer import Key, key_of
from bireme.scheduler.acting import Acting
from bireme.scheduler.cycle import Found
from bireme.scheduler.figures import Figures, Result
from bireme.scheduler.following import Following
from bireme.scheduler.interface import NOTHING, Rule
from bireme.scheduler.queue import SchedulingQueue, Waiting
from bireme.scheduler.world import World

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Decided:
    """A pod that waited and what was found for it."""

    waiting: Waiting
    pod: core.Pod
    found: Found


class Bindings:
    """Binds what was decided.

    `pod_at` gives pods by name; `rules` let go of a pod that is not bound; `stir` is called when it waits again.
    """

    def __init__(
        self,
        acting: Acting,
        world: World,
        queue: SchedulingQueue,
        following: Following,
        pod_at: Callable[[Key], core.Pod | None],
        *,
        rules: Sequence[Rule],
        figures: Figures,
        clock: Clock,
        stir: Callable[[], None],
    ) -> None:
        self._acting, self._queue, self._following, self._pod_at = acting, queue, following, pod_at
        self._world, self._rules, self._figures, self._clock, self._stir = world, rules, figures, clock, stir

    async def bind(self, placed: Decided) -> None:
        """Bind a pod with whose node rules have to do."""
        error: ApiError | TimeoutError | None = None
        try:
            await self._acting.bind(placed.pod, placed.found.node, placed.found.rules)
        except (ApiError, TimeoutError) as failure:
            error = failure
        self._bound(placed, error)

    async def bind_all(self, several: Sequence[Decided]) -> None:
        """Bind pods that no rule has a say about, as one call."""
        errors = await self._acting.bind_all([(placed.pod, placed.found.node) for placed in several])
        for placed, error in zip(several, errors, strict=True):
            self._bound(placed, error)

    def _bound(self, placed: Decided, error: ApiError | TimeoutError | None) -> None:
        """The binding was written, or ended with `error`."""
        waiting, pod = placed.waiting, placed.pod
        if error is None:
            self._queue.settle(waiting)
        elif isinstance(error, NotFound | Conflict):
            self._release_unless_bound(pod)
            self._forget_or_retry(waiting, pod)
        else:
            log.warning("binding failed", pod=str(waiting.key), node=placed.found.node, error=str(error))
            self._figures.attempted(pod.spec.scheduler_name, Result.ERROR, 0.0)
            self._release(pod)
            self._retry(waiting)

    def _forget_or_retry(self, waiting: Waiting, pod: core.Pod) -> None:
        """The server did not want the binding: the pod waits no more, unless as far as is known it is still there."""
        now = self._pod_at(waiting.key)
        if now is not None and now.metadata.uid == pod.metadata.uid and self._following.is_ours(now):
            self._retry(waiting)
        else:
            self._queue.settle(waiting)

    def _retry(self, waiting: Waiting) -> None:
        self._queue.give_back(waiting, NOTHING, now=self._clock.monotonic())
        self._stir()

    def _release_unless_bound(self, pod: core.Pod) -> None:
        """Somebody else bound the pod, or it is gone: the cache knows, or will tell."""
        now = self._pod_at(key_of(pod))
        if now is not None and now.metadata.uid == pod.metadata.uid and now.spec.node_name:
            self._world.place(now, now.spec.node_name)
        else:
            self._release(pod)

    def _release(self, pod: core.Pod) -> None:
        """The pod does not go where it was booked."""
        for rule in self._rules:
            rule.release(pod)
        self._following.displace(pod.metadata.uid)
