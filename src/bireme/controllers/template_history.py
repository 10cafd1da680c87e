"""What StatefulSets and DaemonSets share: pods and revisions are claimed, the history is kept."""

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from bireme.api.errors import NotFound
from bireme.api.kinds import apps, core
from bireme.api.kinds.meta import Object
from bireme.api.selectors import LabelSelector
from bireme.controllers import acting, changes, histories, ownership
from bireme.controllers.controller import Context, Controller

W = TypeVar("W", bound=apps.StatefulSet | apps.DaemonSet)
K = TypeVar("K", bound=Object)


class KeepsHistory(Controller, Generic[W]):
    """A controller of pods whose templates are kept as ControllerRevisions."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._deleted: dict[str, None] = {}

    async def claim(self, owner: W, kind: type[K], *, means: Callable[[K], bool] = lambda _: True) -> list[K]:
        """The objects that the owner controls, once it took those it means and let go of the others."""
        selector = LabelSelector.from_struct(owner.spec.selector)
        claims = ownership.claim(owner, selector, self.cache.candidates(kind, owner=owner))
        adopted = [obj for obj in claims.adopt if means(obj)]
        if adopted and not await acting.still_there(self.client, owner):
            adopted = []
        for change in (
            *(ownership.release(obj, owner) for obj in claims.release),
            *(ownership.adoption(obj, owner) for obj in adopted),
        ):
            try:
                await self.carry_out((change,))
            except NotFound:
                continue
        return [*claims.owned, *adopted]

    async def stand(self, owner: W) -> histories.Standing | None:
        """Where the owner stands in its history; None where that was just written, and wakes us when seen."""
        there = histories.standing(owner, await self.claim(owner, apps.ControllerRevision))
        if there.write and not owner.metadata.deletion_timestamp:
            await self.carry_out(there.write)
            return None
        return there

    async def forget(self, owner: W, there: histories.Standing, live: Collection[str]) -> None:
        """Delete revisions that nobody uses and that are beyond the limit."""
        await self.carry_out(changes.Delete(item) for item in histories.beyond_limit(owner, there, live))

    async def delete_once(self, pod: core.Pod) -> bool:
        """Delete a pod; whether that is news, since the cache shows it for a while."""
        await acting.carry_out(self.client, changes.Delete(pod))
        if pod.metadata.uid in self._deleted:
            return False
        self._deleted[pod.metadata.uid] = None
        if len(self._deleted) > _REMEMBERED:
            del self._deleted[next(iter(self._deleted))]
        return True


_REMEMBERED = 10_000
