"""The scale of an object: its replicas as autoscaling/v1 Scale, without knowing the kind."""

from collections.abc import Callable
from typing import Any

from bireme.api.codec.json import from_tree
from bireme.api.errors import BadRequest, Cause
from bireme.api.kinds import meta
from bireme.api.scheme import Resource
from bireme.api.selectors import LabelSelector
from bireme.registry.field_managers import Apply
from bireme.registry.kinds import Kind, kind_of
from bireme.registry.options import Call
from bireme.registry.record import Document, encode
from bireme.registry.strategy import check_preconditions, invalid
from bireme.registry.verbs import Registry

Tree = dict[str, Any]

SCALE = kind_of(
    Resource("autoscaling", "v1", "Scale", "scales", "scale", True, definition="io.k8s.api.autoscaling.v1.Scale")
)


def scale_document(document: Document) -> Document:
    """The Scale of an object with replicas, at the object's version."""
    return Document(encode(SCALE.resource, scale_of(document.tree())), document.revision, SCALE.prefix)


def scale_of(tree: Tree) -> Tree:
    """The Scale of an object with replicas."""
    metadata, spec, status = tree["metadata"], tree.get("spec") or {}, tree.get("status") or {}
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    scale: Tree = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in shown if name in metadata},
        "spec": {"replicas": spec["replicas"]} if spec.get("replicas") else {},
        "status": {"replicas": status.get("replicas", 0)},
    }
    selector = _selector_text(spec.get("selector"))
    if selector:
        scale["status"]["selector"] = selector
    return scale


async def change_scale(
    registry: Registry, kind: Kind, namespace: str, name: str, change: Callable[[Tree], Tree], call: Call
) -> Document:
    """Replace the Scale by what `change` makes of it; the new Scale. Raises Conflict, Invalid."""

    def apply(tree: Tree) -> Tree:
        scale = change(scale_of(tree))
        said = scale.get("metadata")
        if scale.get("kind", "Scale") != "Scale" or not isinstance(said, dict):
            raise BadRequest("the body must be a Scale object")
        if (said.get("name") or name) != name:
            raise BadRequest(f"the name of the object ({said['name']}) does not match the name on the URL ({name})")
        version = said.get("resourceVersion") or ""
        check_preconditions(kind.resource, name, scale, tree, uid=said.get("uid") or "", version=version)
        return {**tree, "spec": {**(tree.get("spec") or {}), "replicas": _replicas(kind, name, scale)}}

    call.owns_through = "scale"
    return scale_document(await registry.patch(kind, namespace, name, apply, call))


async def apply_scale(registry: Registry, kind: Kind, namespace: str, name: str, said: Apply, call: Call) -> Document:
    """Apply a Scale: its replicas are owned as those of the object. Raises Conflict, Invalid, NotFound."""
    registry.field_managers.spoken_of(SCALE, said.config, namespace=namespace, name=name)
    scale = said.config
    registry.item(kind, namespace, name)
    metadata = dict(scale.get("metadata") or {})
    config: Tree = {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, "metadata": metadata}
    if "replicas" in (scale.get("spec") or {}):
        config["spec"] = {"replicas": _replicas(kind, name, scale)}
    call.owns_through = "scale"
    document, _ = await registry.apply(kind, namespace, name, Apply(config, said.force, "scale"), call)
    return scale_document(document)


def _replicas(kind: Kind, name: str, scale: Tree) -> int:
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise BadRequest('Scale in version "v1" cannot be handled as a Scale: spec.replicas must be an integer')
    if replicas < 0:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid(kind.resource, name, [Cause("FieldValueInvalid", text, "spec.replicas")])
    return replicas


def _selector_text(selector: Any) -> str:
    if not selector:
        return ""
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(LabelSelector.from_struct(from_tree(meta.LabelSelector, selector)))
    return str(LabelSelector.of(selector))
