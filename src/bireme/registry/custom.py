"""One version of a kind that a user brought: what its definition says, compiled when it is first needed.

`Family` is what the versions of one definition share: which of them objects are stored in, and how they are
converted. Left to others: making kinds of definitions (`custom_kinds.py`), conversion (`custom_conversion.py`).
Source: the Kubernetes documentation of CustomResourceDefinitions.
"""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bireme.api import schema as schemas
from bireme.api.cel.errors import CelError
from bireme.api.cel.rules import Rules, compile_rules
from bireme.api.decoding import Problem, has_room, note
from bireme.api.definitions import META
from bireme.api.errors import Cause
from bireme.api.schema import Findings
from bireme.api.scheme import Resource
from bireme.api.shape import Node
from bireme.api.structural.checks import Check, compile_check
from bireme.api.structural.paths import at_path, simple_path
from bireme.api.structural.places import Faults, Place, text_of
from bireme.api.structural.ratchet import Ratchet
from bireme.api.structural.settling import Embedded, Settler, compile_settler, embedded_places
from bireme.api.structural.shapes import shape_of
from bireme.api.validation.field import Enough, Problems, and_more
from bireme.api.validation.meta import check_metadata

Tree = dict[str, Any]
OBJECT_META = f"{META}ObjectMeta"
REMEMBERED = 4096
NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)
_BLOCKING = frozenset(
    f"FieldValue{each}" for each in ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid")
)


@dataclass(slots=True, eq=False)
class Family:
    """The versions of one definition. `webhook` is its conversion webhook; None where only the version changes."""

    name: str
    group: str
    storage: str
    webhook: Tree | None
    terminating: bool
    versions: "dict[str, Custom]" = field(default_factory=dict)


@dataclass(eq=False)
class Custom:
    """A version of a custom kind. Objects written after revision `since` are stored as this schema wants them."""

    resource: Resource
    said: Tree
    family: Family
    since: int = 0
    remembered: dict[tuple[str, int], bytes] = field(default_factory=dict)

    @property
    def is_storage(self) -> bool:
        """Whether objects are stored in this version."""
        return self.family.storage == self.resource.version

    @property
    def storage(self) -> "Custom":
        """The version that objects are stored in."""
        return self.family.versions[self.family.storage]

    @property
    def deprecation(self) -> str:
        """What users of this version are warned of; "" for most."""
        if not self.said.get("deprecated"):
            return ""
        return (
            self.said.get("deprecationWarning") or f"{self.resource.api_version} {self.resource.kind} is deprecated"
        )

    @functools.cached_property
    def schema(self) -> Tree:
        """The structural schema."""
        return (self.said.get("schema") or {}).get("openAPIV3Schema") or {}

    @functools.cached_property
    def settler(self) -> Settler:
        """What prunes and defaults objects."""
        return compile_settler(self.schema)

    @functools.cached_property
    def shape(self) -> Node:
        """What field ownership is read from."""
        return shape_of(self.schema)

    @functools.cached_property
    def _check(self) -> Check | None:
        return compile_check(self._own_schema())

    @functools.cached_property
    def _status_check(self) -> Check | None:
        status = (self.schema.get("properties") or {}).get("status")
        return compile_check(status) if isinstance(status, dict) else None

    def _own_schema(self) -> Tree:
        """The schema without what the rules of metadata see to."""
        properties = {
            k: v for k, v in (self.schema.get("properties") or {}).items() if k not in ("apiVersion", "kind")
        }
        return {**self.schema, "type": "object", "properties": properties} if properties else self.schema

    @functools.cached_property
    def _embedded(self) -> Callable[[Tree, Any], list[Embedded]] | None:
        return embedded_places(self.schema)

    def settle(self, tree: Tree) -> Findings:
        """Take what is unknown out of an object, in place, and tell what it was."""
        metadata = tree.get("metadata")
        findings = schemas.builtin().settle(metadata, OBJECT_META) if metadata else schemas.FINE
        unknown = [f"metadata.{path}" for path in findings.unknown]
        problems = list(findings.problems)
        self.settler.prune(tree, None, lambda place: note_text(unknown, place))
        if self._embedded is not None:
            for found in self._embedded(tree, None):
                _settle_embedded(found, unknown, problems)
        return Findings(tuple(problems), tuple(unknown)) if unknown or problems else schemas.FINE

    def fill(self, tree: Tree) -> None:
        """Fill in defaults and take out nulls, in place."""
        self.settler.fill(tree)

    def refill(self, tree: Tree) -> None:
        """Prune and fill in, after somebody changed the object."""
        self.settler.prune(tree, None, _nowhere)
        self.settler.fill(tree)

    def faults(self, tree: Tree, old: Tree | None, *, status: bool = False, quick: bool = False) -> list[Cause]:
        """What is wrong with an object by its schema; an update is excused from what it leaves as it was.

        Raises TooLong where its rules take longer than `quick` may.
        """
        if status:
            causes = self._status_faults(tree, old or {})
        else:
            causes = _checked(self._check, tree, Faults(excuse=None if old is None else Ratchet(tree, old)))
            if self._embedded is not None:
                causes = causes + self._embedded_faults(tree, old)
            causes = causes + self._scale_faults(tree)
        return causes + self._broken_rules(tree, old, causes, quick=quick) if self._has_rules else causes

    @functools.cached_property
    def _has_rules(self) -> bool:
        return "x-kubernetes-validations" in repr(self.schema)

    @functools.cached_property
    def _rules(self) -> Rules | None:
        return compile_rules(self.schema)

    def _broken_rules(self, tree: Tree, old: Tree | None, causes: list[Cause], *, quick: bool) -> list[Cause]:
        if any(cause.reason in _BLOCKING for cause in causes):
            return [Cause("FieldValueInvalid", f'Invalid value: "null": {NOT_CHECKED}', "<nil>")]
        try:
            return [] if self._rules is None else self._rules.check(tree, old, quick=quick).problems
        except CelError as error:  # of a definition that was stored by another release
            return [Cause("FieldValueInvalid", f"Invalid value: rule compile error: {error}", "<nil>")]

    def _status_faults(self, tree: Tree, old: Tree) -> list[Cause]:
        if self._status_check is None or "status" not in tree:
            return []
        ratchet = Ratchet(tree["status"], old.get("status"))
        return _checked(self._status_check, tree["status"], Faults("status", excuse=ratchet))

    def _embedded_faults(self, tree: Tree, old: Tree | None) -> list[Cause]:
        assert self._embedded is not None
        problems = Problems(bounded=True)
        try:
            for found in self._embedded(tree, old):
                if found.before != found.held:
                    _check_embedded(problems, found.held, text_of(found.place))
        except Enough:
            return and_more(problems)
        return list(problems)

    @functools.cached_property
    def columns(self) -> list[Tree]:
        """The printer columns."""
        return self.said.get("additionalPrinterColumns") or []

    @functools.cached_property
    def scale_paths(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...] | None] | None:
        """Where wanted replicas, actual replicas and the selector of pods stand; None without a scale."""
        scale = (self.said.get("subresources") or {}).get("scale")
        if not scale:
            return None
        wanted, actual = simple_path(scale["specReplicasPath"]), simple_path(scale["statusReplicasPath"])
        selector = simple_path(scale.get("labelSelectorPath") or "")
        return wanted or ("spec", "replicas"), actual or ("status", "replicas"), selector

    def _scale_faults(self, tree: Tree) -> list[Cause]:
        if self.scale_paths is None:
            return []
        wanted, _, _ = self.scale_paths
        number = at_path(tree, wanted)
        if isinstance(number, int) and number < 0:
            text = f"Invalid value: {number}: should be a non-negative integer"
            return [Cause("FieldValueInvalid", text, ".".join(wanted))]
        return []

    def stale(self, value: bytes, revision: int) -> bool:
        """Whether stored bytes have to be worked on before they are an object of this version."""
        return revision <= self.since or not self.is_storage

    def present(self, tree: Tree) -> None:
        """Make an object that is in this version by now as this schema wants it, in place."""
        tree["apiVersion"], tree["kind"] = self.resource.api_version, self.resource.kind
        self.refill(tree)


def _nowhere(place: Place) -> None:
    """Nobody is to know."""


def _settle_embedded(found: Embedded, unknown: list[str], problems: list[Problem]) -> None:
    metadata = found.held.get("metadata")
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        path = text_of((found.place, "metadata"))
        note(problems, Problem(path, f"{path} must be an object"))
        return
    findings = schemas.builtin().settle(metadata, OBJECT_META)
    for name in findings.unknown:
        note_text(unknown, ((found.place, "metadata"), name))
    for problem in findings.problems:
        note(problems, problem)


def note_text(known: list[str], place: Place) -> None:
    """Note a place by its text, which is only made while there is room."""
    if has_room(known):
        known.append(text_of(place))


def _checked(check: Check | None, value: Any, faults: Faults) -> list[Cause]:
    """The causes that a check finds in a value, of very many the first."""
    try:
        if check is not None:
            check(value, None, faults)
    except Enough:
        return and_more(faults.causes)
    return faults.causes


def _check_embedded(problems: Problems, held: Tree, path: str) -> None:
    for name in ("apiVersion", "kind"):
        if not held.get(name):
            problems.required(f"{path}.{name}", "must not be empty")
    metadata = held.get("metadata")
    if not metadata:
        return
    found = Problems(bounded=True)
    resource = Resource("", "v1", held.get("kind") or "", "", "", namespaced=bool(metadata.get("namespace")))
    with contextlib.suppress(Enough):
        check_metadata(found, resource, {"name": "unnamed", **metadata})
    problems += [Cause(cause.reason, cause.message, f"{path}.{cause.field}") for cause in found]
