"""The objects of a request as a webhook sees them, and what its patch makes of them.

A webhook sees the version that its rules speak of, a Scale where the scale is written, and the resource version of
what is there. What it gives back is checked, pruned and defaulted like what a client sends, and may touch no more
than the request may: not the name, not what the server alone says, and beside a status nothing else.
Left to others: asking (`webhooks.py`).
"""

from typing import Any

from bireme.api.errors import ApiError
from bireme.api.patch import PatchFailed, clone, json_patch
from bireme.registry import scale
from bireme.registry.admission.chain import Attributes
from bireme.registry.conversion import from_stored
from bireme.registry.custom_conversion import Converter
from bireme.registry.intake import Intake
from bireme.registry.kinds import Kind
from bireme.registry.options import Call
from bireme.registry.updates import prepare_update

Tree = dict[str, Any]
_FIXED = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)


class Shown:
    """Turns objects to and fro; one for all requests."""

    def __init__(self, intake: Intake, converter: Converter) -> None:
        self._intake = intake
        self._converter = converter

    async def new(self, attributes: Attributes, matched: Kind) -> Tree | None:
        """The object to be, in the version of `matched`."""
        return await self._shown(attributes, matched, attributes.tree)

    async def old(self, attributes: Attributes, matched: Kind) -> Tree | None:
        """The object that is, in the version of `matched`."""
        return await self._shown(attributes, matched, attributes.old)

    async def _shown(self, attributes: Attributes, matched: Kind, tree: Tree | None) -> Tree | None:
        if tree is None or is_other_body(attributes, tree):
            return tree
        if attributes.revision:
            metadata = {**tree["metadata"], "resourceVersion": str(attributes.revision)}
            tree = {**tree, "metadata": metadata}
        if attributes.subresource == "scale":
            return scale.scale_of(tree, scale.paths_of(attributes.kind))
        return await self._converted(attributes.kind, matched, tree)

    async def _converted(self, kind: Kind, wanted: Kind, tree: Tree) -> Tree:
        if wanted.custom is None:
            return from_stored(wanted, tree)
        if wanted is kind:
            return tree
        return await self._converter.to_version(wanted.custom, tree)

    async def put(self, attributes: Attributes, matched: Kind, shown: Tree, patch: list[Any]) -> bool:
        """Have the object be what a patch makes of `shown`; whether that changed it. Raises ApiError."""
        try:
            made = json_patch(shown, patch)
        except PatchFailed as error:
            raise ApiError(f"Internal error occurred: {error.message}") from error
        if made == shown:
            return False
        if not isinstance(made, dict):
            raise ApiError("Internal error occurred: the patch leaves no object")
        return await self.become(attributes, matched, made)

    async def become(self, attributes: Attributes, matched: Kind, made: Tree) -> bool:
        """Have the object be `made`, which is in the version of `matched`; True. Raises ApiError."""
        tree = attributes.tree
        assert tree is not None
        if is_other_body(attributes, tree):
            taken = {**made, "apiVersion": tree["apiVersion"], "kind": tree["kind"]}
        elif attributes.subresource == "scale":
            taken = scale.with_replicas(attributes.kind, tree, _replicas(made))
        else:
            taken = await self._taken(attributes, matched, made, tree)
        tree.clear()
        tree.update(taken)
        return True

    async def _taken(self, attributes: Attributes, matched: Kind, made: Tree, before: Tree) -> Tree:
        kind, part = attributes.kind, attributes.subresource
        try:
            taken = self._intake.take(matched, clone(made), Call(field_validation="Ignore"))
        except ApiError as error:
            raise ApiError(f"Internal error occurred: {error.message}") from error
        if matched.custom is not None and matched is not kind:
            taken = await self._converted(matched, kind, taken)
        said = taken["metadata"]
        for name in ("resourceVersion", *_FIXED):
            said.pop(name, None)
            if name in before["metadata"]:
                said[name] = before["metadata"][name]
        if attributes.old is not None:
            owners = said.get("managedFields")
            taken = prepare_update(kind.stored, taken, attributes.old, subresource=part)
            if owners:
                taken["metadata"]["managedFields"] = owners
        elif kind.resource.has_status and not kind.strategy.keeps_status_on_create:
            taken.pop("status", None)
        self._intake.fill(kind, taken, subresource=part)
        whole: Tree = clone(taken)  # what an update keeps of the old object stays the old one's
        return whole


def _replicas(made: Tree) -> int:
    spec = made.get("spec") or {}
    wanted = spec.get("replicas") or 0 if isinstance(spec, dict) else None
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
        raise ApiError("Internal error occurred: the patch leaves no number of replicas")
    return wanted


def is_other_body(attributes: Attributes, tree: Tree) -> bool:
    """Whether the body is of a kind of its own: a Binding, an Eviction, the options of a tunnel."""
    return bool(attributes.subresource) and tree.get("kind") not in (
        attributes.kind.resource.kind,
        attributes.kind.stored.kind,
    )
