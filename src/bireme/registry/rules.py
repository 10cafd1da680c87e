"""What a kind keeps beside its objects: a place for it in the verbs (Services and their addresses, for one)."""

from collections.abc import Callable
from typing import Any

from bireme.registry.options import Call

Tree = dict[str, Any]


class Rules:
    """Called around the writes of one kind. Every method may be left as it is."""

    def before_create(self, tree: Tree, call: Call) -> Callable[[], None]:
        """Fill in what is given out; the answer gives it back if the write fails."""
        return _nothing

    def before_update(self, tree: Tree, old: Tree, call: Call) -> Callable[[], None]:
        """As `before_create`, for an update of `old`."""
        return _nothing

    def before_delete(self, tree: Tree) -> None:
        """Change the object, in place, that is about to be deleted or marked."""

    async def after_mark(self, tree: Tree) -> None:
        """The object is marked: something still holds it."""

    async def after_write(self, tree: Tree, old: Tree | None) -> None:
        """The write stands."""

    async def after_delete(self, old: Tree) -> None:
        """The object is gone."""


def _nothing() -> None:
    """Nothing to give back."""
