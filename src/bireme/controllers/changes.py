"""What a decision wants done, as data; `acting.py` does it."""

from dataclasses import dataclass
from typing import Any

from bireme.api.kinds.meta import Object


@dataclass(frozen=True, slots=True)
class Create:
    """Make `object`."""

    object: Object


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the object, or its subresource, if nobody changed it since it was read."""

    object: Object
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge `patch` into `object`; with `exact`, only if nobody changed it since it was read."""

    object: Object
    patch: dict[str, Any]
    subresource: str = ""
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete this very `object` (its uid is checked); with `exact`, only if nobody changed it since it was read."""

    object: Object
    propagation: str = ""
    grace_period_s: int | None = None
    exact: bool = False


Change = Create | Update | Merge | Delete
