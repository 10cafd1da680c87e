"""The scale of an object: its replicas as autoscaling/v1 Scale, without knowing the kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bireme.api.codec.json import from_tree
from bireme.api.errors import BadRequest, Cause
from bireme.api.kinds import meta
from bireme.api.scheme import Resource
from bireme.api.selectors import LabelSelector
from bireme.api.structural.paths import at_path
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


def scale_document(kind: Kind, document: Document) -> Document:
    """The Scale of an object with replicas, at the object's version."""
    return Document(
        encode(SCALE.resource, scale_of(document.tree(), paths_of(kind))), document.revision, SCALE.prefix
    )


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where an object has its wanted replicas, the actual ones and their selector."""

    wanted: tuple[str, ...] = ("spec", "replicas")
    actual: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] | None = ("spec", "selector")


USUAL = ScalePaths()


def paths_of(kind: Kind) -> ScalePaths:
    """Where objects of a kind have them."""
    custom = kind.custom.scale_paths if kind.custom is not None else None
    return ScalePaths(*custom) if custom is not None else USUAL


def scale_of(tree: Tree, paths: ScalePaths = USUAL) -> Tree:
    """The Scale of an object with replicas."""
    metadata, replicas = tree["metadata"], at_path(tree, paths.wanted)
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    scale: Tree = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in shown if name in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {"replicas": at_path(tree, paths.actual) or 0},
    }
    selector = _selector_text(at_path(tree, paths.selector) if paths.selector else None)
    if selector:
        scale["status"]["selector"] = selector
    return scale


async def change_scale(
    registry: Registry, kind: Kind, namespace: str, name: str, change: Callable[[Tree], Tree], call: Call
) -> Document:
    """Replace the Scale by what `change` makes of it; the new Scale. Raises Conflict, Invalid."""
    paths = paths_of(kind)

    def apply(tree: Tree) -> Tree:
        scale = change(scale_of(tree, paths))
        said = scale.get("metadata")
        if scale.get("kind", "Scale") != "Scale" or not isinstance(said, dict):
            raise BadRequest("the body must be a Scale object")
        if (said.get("name") or name) != name:
            raise BadRequest(f"the name of the object ({said['name']}) does not match the name on the URL ({name})")
        version = said.get("resourceVersion") or ""
        check_preconditions(kind.resource, name, scale, tree, uid=said.get("uid") or "", version=version)
        return _with(tree, paths.wanted, _replicas(kind, name, scale))

    call.owns_through = "scale"
    return scale_document(kind, await registry.patch(kind, namespace, name, apply, call))


def with_replicas(kind: Kind, tree: Tree, wanted: int) -> Tree:
    """The object with other wanted replicas; it shares all else."""
    return _with(tree, paths_of(kind).wanted, wanted)


def _with(tree: Tree, path: tuple[str, ...], value: Any) -> Tree:
    """A tree with `value` at a path of fields, that shares all else."""
    name, *rest = path
    return {**tree, name: _with(tree.get(name) or {}, tuple(rest), value) if rest else value}


async def apply_scale(registry: Registry, kind: Kind, namespace: str, name: str, said: Apply, call: Call) -> Document:
    """Apply a Scale: its replicas are owned as those of the object. Raises Conflict, Invalid, NotFound."""
    registry.field_managers.spoken_of(SCALE, said.config, namespace=namespace, name=name)
    scale = said.config
    registry.item(kind, namespace, name)
    metadata = dict(scale.get("metadata") or {})
    config: Tree = {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, "metadata": metadata}
    if "replicas" in (scale.get("spec") or {}):
        config = _with(config, paths_of(kind).wanted, _replicas(kind, name, scale))
    call.owns_through = "scale"
    document, _ = await registry.apply(kind, namespace, name, Apply(config, said.force, "scale"), call)
    return scale_document(kind, document)


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
    if isinstance(selector, str):
        return selector
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(LabelSelector.from_struct(from_tree(meta.LabelSelector, selector)))
    return str(LabelSelector.of(selector))
