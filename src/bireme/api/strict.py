"""Types that take exactly what a definition allows, for the quick way through `schema.py`.

msgspec converts a tree to such a type in some 15 us; if that succeeds, nothing in it is unknown, null or of a
wrong type. The values it makes are thrown away. A definition that holds itself gets no such type.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from bireme.api.shape import Form, Node

QUANTITY = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_LEAVES: dict[Form, Any] = {
    Form.STRING: str,
    Form.INT32: Int32,
    Form.INT64: Int64,
    Form.NUMBER: float,
    Form.BOOLEAN: bool,
    Form.BYTES: bytes,
    Form.TIME: Time,
    Form.QUANTITY: Annotated[str, msgspec.Meta(pattern=QUANTITY)] | int | float,
    Form.INT_OR_STRING: Int32 | str,
    Form.ANY: Any,
}


class HoldsItself(Exception):
    """The definition is recursive."""


class StrictTypes:
    """The strict type of each node, made once."""

    def __init__(self) -> None:
        self._types: dict[Node, Any] = {}

    def of(self, node: Node) -> Any:
        """The type of a node, or None if it has to be walked."""
        if node not in self._types:
            try:
                self._make(node, set())
            except HoldsItself:
                self._types[node] = None
        return self._types[node]

    def _make(self, node: Node, above: set[Node]) -> Any:
        if node in self._types:
            if self._types[node] is None:
                raise HoldsItself
            return self._types[node]
        if node in above:
            raise HoldsItself
        made = self._types[node] = self._type(node, above | {node})
        return made

    def _type(self, node: Node, above: set[Node]) -> Any:
        match node.form:
            case Form.LIST:
                assert node.items is not None
                return list[self._make(node.items, above)]  # type: ignore[misc]
            case Form.MAP:
                assert node.items is not None
                return dict[str, self._make(node.items, above)]  # type: ignore[misc]
            case Form.OBJECT:
                return self._struct(node, above)
        return _LEAVES[node.form]

    def _struct(self, node: Node, above: set[Node]) -> Any:
        names = {f"f{place}": name for place, name in enumerate(node.fields)}
        types = [
            (short, self._make(field.node, above), msgspec.UNSET)
            for short, field in zip(names, node.fields.values(), strict=True)
        ]
        return msgspec.defstruct(
            node.go_type.replace(".", "_"),
            [(short, kind | msgspec.UnsetType if kind is not Any else kind, unset) for short, kind, unset in types],
            rename=names,
            forbid_unknown_fields=True,
            gc=False,
        )
