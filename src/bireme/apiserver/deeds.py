"""The bodies of what is done to an object by POST: binding, eviction, token. Their types are checked as any object's.

What a deed then does stands in `registry/`. Source: the Kubernetes API reference.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bireme.api.scheme import Gvk
from bireme.registry.intake import Intake
from bireme.registry.options import Call

Tree = dict[str, Any]


class _Body(NamedTuple):
    definition: str
    group: str
    kind: str
    versions: tuple[str, ...]


_BODIES: Mapping[str, _Body] = {
    "binding": _Body("io.k8s.api.core.v1.Binding", "", "Binding", ("v1",)),
    "eviction": _Body("io.k8s.api.policy.v1.Eviction", "policy", "Eviction", ("v1", "v1beta1")),
    "token": _Body("io.k8s.api.authentication.v1.TokenRequest", "authentication.k8s.io", "TokenRequest", ("v1",)),
}


def settle_deed(intake: Intake, deed: str, tree: Tree, call: Call) -> None:
    """Check the body of a deed for types and prune it, in place. Raises BadRequest."""
    body = _BODIES[deed]
    said = tree.get("apiVersion")
    version = next((each for each in body.versions[1:] if said == f"{body.group}/{each}"), body.versions[0])
    intake.settle(Gvk(body.group, version, body.kind), body.definition, tree, call)
