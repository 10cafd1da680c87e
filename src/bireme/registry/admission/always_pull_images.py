"""AlwaysPullImages: every image is pulled anew, so that only who may pull it can run it. Off unless asked for.

An image that a node has already would else be had by any pod that knows its name. Source: the Kubernetes
documentation on admission control.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from bireme.api.errors import Cause
from bireme.registry.admission.chain import Attributes, Operation, Place, Plugin
from bireme.registry.admission.refusals import joined, refused
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
ALWAYS = "Always"
FIELDS = ("initContainers", "containers", "ephemeralContainers")


class AlwaysPullImages(Plugin):
    """Sees new pods, and updates that bring new images: those of older pods must stay possible."""

    name = "AlwaysPullImages"

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and kind.is_a("Pod") and not subresource

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return ()

    async def admit(self, attributes: Attributes) -> None:
        if not _brings_images(attributes):
            return
        spec = (attributes.tree or {}).get("spec") or {}
        for _, container in _containers(spec):
            container["imagePullPolicy"] = ALWAYS
        for volume in spec.get("volumes") or ():
            if volume.get("image") is not None:
                volume["image"]["pullPolicy"] = ALWAYS

    async def validate(self, attributes: Attributes) -> None:
        if not _brings_images(attributes):
            return
        faults = [
            _fault(f"{path}.imagePullPolicy", container.get("imagePullPolicy") or "")
            for path, container in _containers((attributes.tree or {}).get("spec") or {})
            if container.get("imagePullPolicy") != ALWAYS
        ]
        if faults:
            reasons = joined([f"{fault.field}: {fault.message}" for fault in faults])
            raise refused(attributes, reasons, causes=faults)


def _containers(spec: Tree) -> Iterator[tuple[str, Tree]]:
    for field in FIELDS:
        for index, container in enumerate(spec.get(field) or ()):
            yield f"spec.{field}[{index}]", container


def _brings_images(attributes: Attributes) -> bool:
    old = _images(attributes.old) if attributes.old is not None else set()
    return attributes.old is None or not _images(attributes.tree) <= old


def _images(pod: Tree | None) -> set[str]:
    return {container.get("image") or "" for _, container in _containers((pod or {}).get("spec") or {})}


def _fault(path: str, said: str) -> Cause:
    return Cause("FieldValueNotSupported", f'Unsupported value: "{said}": supported values: "{ALWAYS}"', path)
