"""What an object of a kind may hold: types checked, unknown fields found and taken out, merge keys told.

A definition is compiled when first asked for (`shape.py`). Nearly every object is right, and the type that takes
nothing else (`strict.py`) tells that in some 15 us; only one that is not, or that holds a null, is walked field
by field (`decoding.py`) to say why. Nulls stand for "unset" and are taken out with the unknown fields.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from bireme.api import definitions
from bireme.api.decoding import Problem, Walk
from bireme.api.definitions import Definition
from bireme.api.errors import BadRequest
from bireme.api.scheme import Gvk
from bireme.api.shape import Field, Form, Node, Shapes
from bireme.api.strict import StrictTypes


@dataclass(frozen=True, slots=True)
class Findings:
    """What one look at an object brought up: values of a wrong type, and paths of unknown fields."""

    problems: tuple[Problem, ...] = ()
    unknown: tuple[str, ...] = ()


FINE = Findings()


class Schema:
    """The definitions of many kinds, each compiled when it is first used."""

    def __init__(self, definition: Callable[[str], Definition]) -> None:
        self._shapes = Shapes(definition)
        self._strict = StrictTypes()

    def check(self, tree: Any, definition: str) -> list[Problem]:
        """Values that their fields can't hold; unknown fields are no problem. The tree stays as it is."""
        return list(self._look(tree, definition, prune=False).problems)

    def prune(self, tree: Any, definition: str) -> list[str]:
        """Take unknown fields and nulls out of a tree; the paths of the unknown ones."""
        return list(self.settle(tree, definition).unknown)

    def settle(self, tree: Any, definition: str) -> Findings:
        """`check` and `prune` in one look: types are checked, unknown fields and nulls taken out."""
        return self._look(tree, definition, prune=True)

    def node(self, definition: str) -> Node:
        """The compiled definition; KeyError if there is none."""
        return self._shapes.node(definition)

    def field(self, definition: str, path: Iterable[str]) -> Field | None:
        """How a field is merged; the path has field names only, and goes through lists and maps unasked."""
        node: Node | None = self._shapes.node(definition)
        found: Field | None = None
        for name in path:
            while node is not None and node.form in (Form.LIST, Form.MAP):
                node = node.items
            found = node.fields.get(name) if node is not None else None
            if found is None:
                return None
            node = found.node
        return found

    def _look(self, tree: Any, definition: str, *, prune: bool) -> Findings:
        node = self._shapes.node(definition)
        strict = self._strict.of(node)
        if strict is not None:
            try:
                msgspec.convert(tree, strict)
            except msgspec.ValidationError:
                pass
            else:
                return FINE
        walk = Walk(prune)
        walk.over(node, tree)
        return Findings(tuple(walk.problems), tuple(walk.unknown))


@functools.cache
def builtin() -> Schema:
    """The schema of every kind that is built in."""
    return Schema(definitions.builtin().get)


def cannot_be_handled(gvk: Gvk, message: str) -> BadRequest:
    """The error for a body that does not fit its kind, in the words that clients know."""
    return BadRequest(f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: {message}')


def strict_faults(unknown: Iterable[str], duplicates: Iterable[str]) -> list[str]:
    """What fieldValidation warns of, or refuses after `strict decoding error: ` joined by commas."""
    return [f'duplicate field "{path}"' for path in duplicates] + [f'unknown field "{path}"' for path in unknown]
