"""What this process wrote and its cache does not show yet, so that nothing is made or deleted twice.

Laid over the cache, it gives the state that follows from one's own writes. An entry goes when the change comes
back through the watch. One that does not within the settled time is to be looked up on the server: it may have been
made and deleted again while the watch was broken.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Generic, TypeVar

from bireme.api.errors import NotFound
from bireme.api.kinds.meta import Object
from bireme.client.client import Client
from bireme.client.informer import Informer, key_of
from bireme.client.parts import METADATA

K = TypeVar("K", bound=Object)


class OwnWrites(Generic[K]):
    """Objects made for each owner (its uid) and deleted, until the informer has seen them."""

    def __init__(self, informer: Informer[K]) -> None:
        self._made: dict[str, dict[str, tuple[float, K]]] = defaultdict(dict)
        self._owners: dict[str, str] = {}
        self._gone: set[str] = set()
        self._informer = informer
        informer.on_change(self._seen, reads=METADATA)

    def made(self, owner: str, obj: K, *, at: float) -> None:
        """`obj` was created; `at` is monotonic."""
        uid = obj.metadata.uid
        cached = self._informer.get(key_of(obj))
        if cached is None or cached.metadata.uid != uid:
            self._made[owner][uid] = (at, obj)
            self._owners[uid] = owner

    def deleted(self, obj: K) -> None:
        """`obj` was deleted, or asked to end."""
        uid = obj.metadata.uid
        cached = self._informer.get(key_of(obj))
        shown = cached is not None and cached.metadata.uid == uid and not cached.metadata.deletion_timestamp
        if shown or uid in self._owners:
            self._gone.add(uid)

    def laid_over(self, owner: str, cached: Iterable[K]) -> list[K]:
        """The owner's objects: those in the cache that were not deleted, and those made since."""
        present = [obj for obj in cached if obj.metadata.uid not in self._gone] if self._gone else list(cached)
        made = self._made.get(owner)
        if made:
            present += [obj for uid, (_, obj) in made.items() if uid not in self._gone]
        return present

    def unseen(self, owner: str) -> list[K]:
        """The owner's objects that were made and are not in the cache yet."""
        return [obj for _, obj in self._made.get(owner, {}).values()]

    def hidden(self, owner: str, cached: Iterable[K]) -> list[K]:
        """The owner's objects that `laid_over` leaves out: they were deleted, which the cache has yet to show."""
        if not self._gone:
            return []
        made = self._made.get(owner, {}).values()
        return [obj for obj in (*cached, *(obj for _, obj in made)) if obj.metadata.uid in self._gone]

    def is_hidden(self, obj: K) -> bool:
        """The object was deleted, which the cache has yet to show."""
        return obj.metadata.uid in self._gone

    @property
    def has_deleted(self) -> bool:
        """Something that was deleted is in the cache still."""
        return bool(self._gone)

    def overdue(self, owner: str, *, before: float) -> list[K]:
        """Objects made before that time and still not seen."""
        return [obj for at, obj in self._made.get(owner, {}).values() if at < before]

    def waits(self, owner: str) -> bool:
        """Something made has not been seen yet."""
        return bool(self._made.get(owner))

    async def look_up(self, client: Client, owner: str, *, before: float) -> None:
        """Ask the server for objects made before that time and still not seen, and drop those that don't exist."""
        for obj in self.overdue(owner, before=before):
            metadata = obj.metadata
            try:
                fresh = await client.get(type(obj), metadata.name, namespace=metadata.namespace)
            except NotFound:
                self.forget(obj)
            else:
                if fresh.metadata.uid != metadata.uid:
                    self.forget(obj)

    def forget(self, obj: K) -> None:
        """Drop an object that turned out not to exist."""
        self._gone.discard(obj.metadata.uid)
        self._came_back(obj.metadata.uid)

    def _came_back(self, uid: str) -> None:
        owner = self._owners.pop(uid, None)
        if owner is not None:
            made = self._made[owner]
            made.pop(uid, None)
            if not made:
                del self._made[owner]

    def _seen(self, old: K | None, new: K | None) -> None:
        if not (self._owners or self._gone):
            return
        if new is not None:
            self._came_back(new.metadata.uid)
            if new.metadata.deletion_timestamp:
                self._gone.discard(new.metadata.uid)
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._gone.discard(old.metadata.uid)
