"""The words in which a plugin refuses."""

from collections.abc import Sequence

from bireme.api.errors import Cause, Forbidden
from bireme.registry.admission.chain import Attributes


def refused(attributes: Attributes, why: str, *, causes: Sequence[Cause] = ()) -> Forbidden:
    """`pods "a" is forbidden: …`, with the details that clients read."""
    resource = attributes.kind.resource
    return Forbidden(
        f'{resource.title} "{attributes.name}" is forbidden: {why}',
        details={"name": attributes.name, "group": resource.group, "kind": resource.plural},
        causes=causes,
    )


def joined(reasons: Sequence[str]) -> str:
    """Several reasons as one, each said once."""
    once = list(dict.fromkeys(reasons))
    return once[0] if len(once) == 1 else "[" + ", ".join(once) + "]"
