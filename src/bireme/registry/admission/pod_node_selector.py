"""PodNodeSelector: the pods of a namespace go to its nodes. Off unless asked for.

A namespace names its nodes in an annotation; where it has none, the cluster's selector holds. An operator may also
say for a namespace which labels its pods may select by at all. Source: the Kubernetes documentation on admission
control.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bireme.api.errors import BadRequest
from bireme.api.validation.names import label_value, qualified_name
from bireme.registry.admission.chain import Attributes, Objects, Operation, Place, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind

Labels = Mapping[str, str]
ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
CLUSTER = "clusterDefaultNodeSelector"


class PodNodeSelector(Plugin):
    """`selectors`: the cluster's own under `clusterDefaultNodeSelector`, by namespace what its pods may use."""

    name = "PodNodeSelector"

    def __init__(self, objects: Objects, selectors: Mapping[str, Labels]) -> None:
        self._objects, self._selectors = objects, selectors

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and kind.is_a("Pod") and not subresource

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return (("", "v1", "namespaces"),)

    async def admit(self, attributes: Attributes) -> None:
        wanted = self._wanted(attributes)
        _check_conflict(attributes, wanted)
        if wanted and attributes.tree is not None:
            spec = attributes.tree.setdefault("spec", {})
            spec["nodeSelector"] = {**wanted, **(spec.get("nodeSelector") or {})}

    async def validate(self, attributes: Attributes) -> None:
        _check_conflict(attributes, self._wanted(attributes))
        allowed = self._selectors.get(attributes.namespace)
        if allowed and not _said(attributes).items() <= allowed.items():
            raise refused(attributes, "pod node label selector labels conflict with its namespace whitelist")

    def _wanted(self, attributes: Attributes) -> Labels:
        namespace = self._objects.find("", "v1", "namespaces", "", attributes.namespace) or {"metadata": {}}
        said = (namespace["metadata"].get("annotations") or {}).get(ANNOTATION)
        if said is None:
            return self._selectors.get(CLUSTER, {})
        try:
            return labels_of(said)
        except ValueError as error:
            raise BadRequest(f"the annotation {ANNOTATION} of the namespace cannot be read: {error}") from error


def labels_of(text: str) -> dict[str, str]:
    """The labels of a selector of the form `key=value,key=value`. Raises ValueError."""
    labels = {}
    for term in text.split(",") if text else ():
        key, equals, value = (part.strip() for part in term.partition("="))
        if not equals or qualified_name(key) or label_value(value):
            raise ValueError(f"invalid selector: {text}")
        labels[key] = value
    return labels


def _said(attributes: Attributes) -> Labels:
    said: Labels = ((attributes.tree or {}).get("spec") or {}).get("nodeSelector") or {}
    return said


def _check_conflict(attributes: Attributes, wanted: Labels) -> None:
    said: dict[str, Any] = dict(_said(attributes))
    if any(said.get(key, value) != value for key, value in wanted.items()):
        raise refused(attributes, "pod node label selector conflicts with its namespace node label selector")
