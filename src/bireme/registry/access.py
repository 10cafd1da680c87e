"""What the registry asks an authorizer: may this user do that? Who answers is handed in.

Admission asks beside the question that the door asked already: may the user approve for this signer, use this
finalizer, and such.
"""

from dataclasses import dataclass
from typing import Protocol

from bireme.http.interface import Identity

NODES = "system:nodes"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody wants to do: a verb on a resource, or on a path that is none."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it may be done, and why (or why not)."""

    allowed: bool
    reason: str = ""


class Authorizer(Protocol):
    """Decides, at once."""

    def decide(self, user: Identity, attempt: Attempt) -> Decision:
        """Whether `user` may do what is attempted."""
        ...


class PastTheDoor:
    """The authorizer of a registry that was given none: whoever the door let in may, except nodes."""

    def decide(self, user: Identity, attempt: Attempt) -> Decision:
        return Decision(NODES not in user.groups)
