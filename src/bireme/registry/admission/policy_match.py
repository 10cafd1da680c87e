"""Which requests a policy, or a binding of one, applies to: `matchConstraints` and `matchResources`.

Made once for each policy, then asked for each request. With matchPolicy Equivalent a rule for one version of a
kind also covers requests for the others. Source: the MatchResources of the Kubernetes API.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bireme.api.errors import BadRequest
from bireme.api.kinds.meta import LabelSelector as LabelSelectorStruct
from bireme.api.selectors import LabelSelector
from bireme.registry.admission.chain import Attributes
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
Versions = Callable[[Kind], Sequence[Kind]]

# What a policy could lock everybody out with.
_EXEMPT_GROUP = "admissionregistration.k8s.io"


@dataclass(frozen=True, slots=True)
class Match:
    """Whom rules and selectors leave in. A selector that is None leaves everything in."""

    rules: tuple[Tree, ...] | None
    excluded: tuple[Tree, ...]
    exact: bool
    namespace_selector: LabelSelector | None
    object_selector: LabelSelector | None

    def version(self, attributes: Attributes, versions: Versions) -> Kind | None:
        """The version of the kind in which the request is meant, or None if it isn't; says nothing of selectors."""
        kind = attributes.kind
        candidates = [kind] if self.exact else [kind, *(each for each in versions(kind) if each is not kind)]
        if any(_covers(rule, attributes, each) for each in candidates for rule in self.excluded):
            return None
        if self.rules is None:
            return kind
        return next(
            (each for each in candidates if any(_covers(rule, attributes, each) for rule in self.rules)), None
        )

    def selects(self, attributes: Attributes, namespace: Tree | None) -> bool:
        """Whether the selectors mean the object, as it is or as it was, and its namespace."""
        if self.namespace_selector is not None and not _namespace_meant(
            self.namespace_selector, attributes, namespace
        ):
            return False
        if self.object_selector is None:
            return True
        trees = (attributes.tree, attributes.old)
        return any(tree is not None and self.object_selector.matches(_labels(tree)) for tree in trees)


EVERYTHING = Match(None, (), exact=False, namespace_selector=None, object_selector=None)


def match_of(said: Tree | None) -> Match:
    """A match from its structure."""
    if said is None:
        return EVERYTHING
    return Match(
        tuple(said["resourceRules"]) if said.get("resourceRules") else None,
        tuple(said.get("excludeResourceRules") or ()),
        said.get("matchPolicy") == "Exact",
        selector_of(said.get("namespaceSelector")),
        selector_of(said.get("objectSelector")),
    )


def selector_of(said: Tree | None) -> LabelSelector | None:
    """A selector from its structure; None where it leaves nothing out."""
    if not said:
        return None
    try:
        selector = LabelSelector.from_struct(msgspec.convert(said, LabelSelectorStruct))
    except (BadRequest, msgspec.ValidationError):
        return LabelSelector(nothing=True)
    return None if selector.everything else selector


def is_exempt(kind: Kind) -> bool:
    """Whether no policy applies to a kind: those that configure admission."""
    return kind.resource.group == _EXEMPT_GROUP


def _namespace_meant(selector: LabelSelector, attributes: Attributes, namespace: Tree | None) -> bool:
    if attributes.kind.is_a("Namespace"):
        tree = attributes.tree if attributes.tree is not None else attributes.old
        return selector.matches(_labels(tree or {}))
    if not attributes.kind.resource.namespaced:
        return True
    return namespace is not None and selector.matches(_labels(namespace))


def _labels(tree: Tree) -> dict[str, str]:
    labels: dict[str, str] = (tree.get("metadata") or {}).get("labels") or {}
    return labels


def _covers(rule: Tree, attributes: Attributes, kind: Kind) -> bool:
    resource = kind.resource
    if not _holds(rule.get("operations"), attributes.operation):
        return False
    if not _holds(rule.get("apiGroups"), resource.group) or not _holds(rule.get("apiVersions"), resource.version):
        return False
    scope = rule.get("scope") or "*"
    if scope != "*" and (scope == "Namespaced") != resource.namespaced:
        return False
    names = rule.get("resourceNames")
    if names and attributes.name not in names:
        return False
    return any(_means(each, resource.plural, attributes.subresource) for each in rule.get("resources") or ())


def _holds(allowed: list[str] | None, value: str) -> bool:
    return bool(allowed) and ("*" in allowed or value in allowed)  # type: ignore[operator]


def _means(pattern: str, plural: str, subresource: str) -> bool:
    name, slash, part = pattern.partition("/")
    if name not in ("*", plural):
        return False
    return part in ("*", subresource) if slash else not subresource
