"""From what a client sent to what may be stored: types, unknown fields, defaults, the kind's rules.

The rules themselves stand in `api/schema.py`, `api/defaults` and `api/validation`.
"""

import asyncio
from typing import Any

from bireme.api import schema as schemas
from bireme.api.cel.errors import TooLong
from bireme.api.defaults.apply import apply as apply_defaults
from bireme.api.defaults.apply import apply_to_status
from bireme.api.errors import BadRequest, Cause
from bireme.api.scheme import Gvk, Scheme
from bireme.api.shape import Node
from bireme.api.validation.validate import validate, validate_update
from bireme.registry.apart import apart
from bireme.registry.conversion import to_stored
from bireme.registry.custom import Custom
from bireme.registry.kinds import Kind
from bireme.registry.options import Call
from bireme.registry.strategy import invalid

Tree = dict[str, Any]
SHOWN_PROBLEMS = 10
_MAY_BE_EMPTY = ("labels", "annotations", "finalizers", "ownerReferences", "generateName", "namespace")


class Intake:
    """The steps for the kinds of one scheme."""

    def __init__(self, scheme: Scheme, schema: schemas.Schema | None = None) -> None:
        self._scheme = scheme
        self._schema = schema or schemas.builtin()

    def node(self, kind: Kind) -> Node:
        """The compiled definition of a kind."""
        return self._schema.node(kind.definition) if kind.custom is None else kind.custom.shape

    def take(self, kind: Kind, tree: Tree, call: Call) -> Tree:
        """`tree` checked for types and pruned (in place), in the form that is stored. Raises BadRequest.

        Unknown and repeated fields are refused, warned of or passed over, as the caller asked.
        """
        if kind.custom is None:
            self.settle(kind.resource.gvk, kind.definition, tree, call)
        else:
            _check_kind(kind.resource.gvk, tree)
            _tell(kind.resource.gvk, kind.custom.settle(tree), call)
        _drop_empty(tree.setdefault("metadata", {}))
        return to_stored(kind, tree)

    def settle(self, gvk: Gvk, definition: str, tree: Tree, call: Call) -> None:
        """Check and prune the body of any kind in place; see `take`."""
        _check_kind(gvk, tree)
        _tell(gvk, self._schema.settle(tree, definition), call)

    def fill(self, kind: Kind, tree: Tree, *, subresource: str = "") -> None:
        """Fill in the kind's defaults, in place; beside a status, everything has them already."""
        if kind.custom is not None:
            kind.custom.fill(tree)
        elif subresource == "status":
            apply_to_status(kind.stored, tree)
        else:
            apply_defaults(kind.stored, tree)

    def refill(self, kind: Kind, tree: Tree) -> None:
        """As `fill`, after somebody changed the object who may have put in what the kind doesn't know."""
        if kind.custom is not None:
            kind.custom.refill(tree)
        else:
            self.fill(kind, tree)

    async def check(self, kind: Kind, tree: Tree, call: Call) -> None:
        """Raise Invalid where a new object breaks a rule of its kind."""
        causes = await apart(call.large, validate, kind.stored, tree)
        if kind.custom is not None:
            causes = causes + await _custom_faults(kind.custom, tree, None, large=call.large)
        self._raise(kind, tree, causes)

    async def check_update(self, kind: Kind, tree: Tree, old: Tree, call: Call, *, subresource: str) -> None:
        """Raise Invalid where an updated object breaks a rule, or changes what may not change."""
        causes = await apart(call.large, validate_update, kind.stored, tree, old, subresource=subresource)
        if kind.custom is not None:
            status = subresource == "status"
            causes = causes + await _custom_faults(kind.custom, tree, old, large=call.large, status=status)
        self._raise(kind, tree, causes)

    def _raise(self, kind: Kind, tree: Tree, causes: list[Cause]) -> None:
        if causes:
            raise invalid(kind.resource, tree["metadata"].get("name") or "", causes)


async def _custom_faults(
    custom: Custom, tree: Tree, old: Tree | None, *, large: bool, status: bool = False
) -> list[Cause]:
    """Rules that take long are gone through in a thread too."""
    if large:
        return await asyncio.to_thread(custom.faults, tree, old, status=status)
    try:
        return custom.faults(tree, old, status=status, quick=True)
    except TooLong:
        return await asyncio.to_thread(custom.faults, tree, old, status=status)


def _tell(gvk: Gvk, findings: schemas.Findings, call: Call) -> None:
    """Refuse or warn of what was found in a body, as the caller asked."""
    if findings.problems:
        raise schemas.cannot_be_handled(gvk, findings.problems[0].message)
    if call.field_validation == "Ignore" or not (findings.unknown or call.duplicates):
        return
    faults = schemas.strict_faults(findings.unknown, call.duplicates)
    if call.field_validation == "Strict":
        raise schemas.cannot_be_handled(gvk, "strict decoding error: " + ", ".join(faults[:SHOWN_PROBLEMS]))
    for fault in faults:
        call.warn(fault)


def _drop_empty(metadata: Tree) -> None:
    """Metadata without what holds nothing, so that taking the last label away leaves no trace."""
    for name in _MAY_BE_EMPTY:
        if name in metadata and not metadata[name]:
            del metadata[name]


def _check_kind(gvk: Gvk, tree: Any) -> None:
    if not isinstance(tree, dict):
        raise BadRequest(f"the body must be an object of kind {gvk.kind}")
    api_version = tree.get("apiVersion") or gvk.api_version
    kind = tree.get("kind") or gvk.kind
    if kind != gvk.kind:
        raise BadRequest(
            f'{kind} in version "{api_version}" cannot be handled as a {gvk.kind}: '
            f"the kind in the data ({kind}) does not match the expected kind ({gvk.kind})"
        )
    if api_version != gvk.api_version:
        raise BadRequest(
            f"the API version in the data ({api_version}) does not match the expected API version ({gvk.api_version})"
        )
    metadata = tree.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise schemas.cannot_be_handled(gvk, "metadata must be an object")
    tree["apiVersion"], tree["kind"] = gvk.api_version, gvk.kind
