"""The objects of a custom kind whose definition is being deleted are deleted first, then the definition lets go.

Source: the finalizer controller of Kubernetes' apiextensions server.
"""

import asyncio
from typing import Any

import structlog

from bireme.api.errors import ApiError, NotFound
from bireme.api.times import rfc3339
from bireme.http.interface import Identity
from bireme.registry import custom_names
from bireme.registry.custom_kinds import DEFINITIONS, CustomKinds
from bireme.registry.kinds import Kind
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.verbs import Raced, Registry

log = structlog.get_logger(__name__)

Tree = dict[str, Any]
LOOK_AGAIN_S = 1.0
ITSELF = Identity("system:apiserver", ("system:masters",))


class Cleanup:
    """Empties the kinds that go; `run` works until cancelled."""

    def __init__(self, registry: Registry, kinds: CustomKinds) -> None:
        self._registry = registry
        self._kinds = kinds
        self._wanted = asyncio.Event()
        kinds.going = lambda _: self._wanted.set()

    async def run(self) -> None:
        """Look at the definitions that go whenever one begins to, and again while something holds them."""
        while True:
            self._wanted.clear()
            left = False
            for name in self._kinds.waiting():
                try:
                    left = not await self._empty(name) or left
                except ApiError as error:
                    log.info("definition cannot be emptied", name=name, error=error.message)
                    left = True
            if left:
                await self._registry.clock.sleep(LOOK_AGAIN_S)
            else:
                await self._wanted.wait()

    async def _empty(self, name: str) -> bool:
        """Delete what is left of a kind; whether the definition has been let go."""
        definition = self._registry.find(*DEFINITIONS, "", name)
        if definition is None or custom_names.FINALIZER not in (definition["metadata"].get("finalizers") or ()):
            return True
        call = Call(user=ITSELF)
        kind = self._storage_kind(name)
        if kind is not None:
            if self._registry.store.count(kind.key_prefix):
                text = "CustomResource deletion is in progress"
                await self._say(name, "InstanceDeletionInProgress", text, call)
            for item in self._registry.store.range(kind.key_prefix):
                namespace, _, own = item.key.removeprefix(kind.key_prefix).rpartition("/")
                try:
                    await self._registry.delete(kind, namespace, own, DeleteOptions(), call)
                except NotFound:
                    continue
            if self._registry.store.count(kind.key_prefix):
                return False
        await self._let_go(name, call)
        return True

    def _storage_kind(self, name: str) -> Kind | None:
        """The kind to delete objects by: the version they are stored in, if it is served."""
        kinds = self._kinds.kinds_of(name)
        return next((kind for kind in kinds if kind.custom and kind.custom.is_storage), kinds[0] if kinds else None)

    async def _let_go(self, name: str, call: Call) -> None:
        kind = self._registry.kind(*DEFINITIONS)

        def change(tree: Tree) -> Tree:
            metadata = dict(tree["metadata"])
            kept = [each for each in metadata.get("finalizers") or () if each != custom_names.FINALIZER]
            return {**tree, "metadata": {**metadata, "finalizers": kept}}

        try:
            await self._registry.patch(kind, "", name, change, call)
        except NotFound:
            return

    async def _say(self, name: str, reason: str, text: str, call: Call) -> None:
        kind = self._registry.kind(*DEFINITIONS)
        item, tree = self._registry.read(kind, "", name)
        before = tree.get("status")
        tree["status"] = {**(before or {})}
        custom_names.set_terminating(tree, reason, text, now=rfc3339(self._registry.clock.now()))
        if tree["status"] != before:
            try:
                await self._registry.write(kind, item, tree, call)
            except Raced:
                return
