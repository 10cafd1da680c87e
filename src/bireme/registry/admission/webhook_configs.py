"""The admission webhooks that there are: read from their configurations once, then asked for each request.

Configurations count in the order of their names, the webhooks of one in theirs. What rules say depends on the
operation and the kind alone, so it is worked out once for each; without any webhook a request costs one look-up.
Left to others: asking them (`webhooks.py`). Source: the Kubernetes documentation on admission webhooks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bireme.api.cel.admission import compile_condition
from bireme.api.cel.errors import CelError
from bireme.api.cel.program import Program
from bireme.registry.admission.chain import Attributes, Objects, Operation, Place
from bireme.registry.admission.policy_match import Match, is_exempt, match_of
from bireme.registry.kinds import Kind, KindsOf, Versions

Tree = dict[str, Any]
GROUP = "admissionregistration.k8s.io"
REVIEWS = ("v1", "v1beta1")
TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of a configuration. `fault` says why its conditions don't compile."""

    configuration: str
    number: int
    said: Tree
    match: Match
    conditions: tuple[tuple[str, Program], ...] = field(repr=False)
    fault: str = ""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.said.get("name") or "")

    @property
    def key(self) -> str:
        """What tells it from every other one."""
        return f"{self.configuration}/{self.name}/{self.number}"

    @property
    def client_config(self) -> Tree:
        """Whom to ask."""
        return self.said.get("clientConfig") or {}

    @property
    def timeout_s(self) -> float:
        """How long it may take."""
        return float(self.said.get("timeoutSeconds") or TIMEOUT_S)

    @property
    def fails(self) -> bool:
        """Whether a webhook that can't be asked refuses the request."""
        return (self.said.get("failurePolicy") or "Fail") == "Fail"

    @property
    def again(self) -> bool:
        """Whether it wants to see what others made of an object."""
        return self.said.get("reinvocationPolicy") == "IfNeeded"

    @property
    def review(self) -> str:
        """The version of the reviews that it takes."""
        wanted = self.said.get("admissionReviewVersions") or ("v1",)
        return next((each for each in wanted if each in REVIEWS), "")


Meant = tuple[Hook, Kind]


class Webhooks:
    """The webhooks of one of the two kinds of configurations."""

    def __init__(self, objects: Objects, kinds: KindsOf, plural: str) -> None:
        self._objects = objects
        self._kinds = kinds
        self._plural = plural
        self._versions = Versions(kinds)
        self._seen: list[Tree] | None = None
        self._generation = -1
        self._hooks: list[Hook] = []
        self._by_configuration: dict[int, tuple[Tree, list[Hook]]] = {}
        self._placed: dict[tuple[Operation, Kind, str], tuple[Meant, ...]] = {}

    @property
    def places(self) -> tuple[Place, ...]:
        """The kind that tells which webhooks there are."""
        return ((GROUP, "v1", self._plural),)

    def for_request(self, attributes: Attributes) -> Sequence[Meant]:
        """Those whose rules mean a request, with the version of the kind that each is to see."""
        trees = self._objects.every(GROUP, "v1", self._plural)
        if not trees:
            return ()
        if trees is not self._seen or self._generation != self._kinds.generation:
            self._read(trees)
        if not self._hooks or is_exempt(attributes.kind):
            return ()
        place = (attributes.operation, attributes.kind, attributes.subresource)
        found = self._placed.get(place)
        if found is None:
            found = self._placed[place] = tuple(self._meant(attributes))
        return found

    def _meant(self, attributes: Attributes) -> list[Meant]:
        versions = [(hook, hook.match.version(attributes, self._versions.of)) for hook in self._hooks]
        return [(hook, kind) for hook, kind in versions if kind is not None]

    def _read(self, trees: list[Tree]) -> None:
        known = self._by_configuration
        ordered = sorted(trees, key=lambda tree: str(tree["metadata"]["name"]))
        # A tree is made anew with each revision, and kept here so that its id stays its own.
        self._by_configuration = {id(tree): known.get(id(tree)) or (tree, hooks_of(tree)) for tree in ordered}
        hooks = [hook for _, found in self._by_configuration.values() for hook in found]
        if hooks != self._hooks or self._generation != self._kinds.generation:
            self._placed = {}
        self._hooks, self._seen, self._generation = hooks, trees, self._kinds.generation


def hooks_of(tree: Tree) -> list[Hook]:
    """The webhooks of a configuration, but for those that no rule leads to."""
    name = str(tree["metadata"]["name"])
    return [_hook(name, number, said) for number, said in enumerate(tree.get("webhooks") or ()) if said.get("rules")]


def _hook(configuration: str, number: int, said: Tree) -> Hook:
    match = match_of({**said, "resourceRules": said["rules"]})
    conditions: list[tuple[str, Program]] = []
    fault = ""
    for condition in said.get("matchConditions") or ():
        try:
            conditions.append((condition.get("name") or "", compile_condition(condition.get("expression") or "")))
        except CelError as error:
            fault = fault or f"compilation failed: {error}"
    return Hook(configuration, number, said, match, tuple(conditions), fault)
