"""May this user do that: the question, the answer, and who answers.

Sources: the Kubernetes documentation on authorization. How roles answer stands in `rbac.py`, how nodes are held to
what their pods need in `node_access.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import msgspec

from bireme.api.errors import Forbidden
from bireme.http.interface import Identity
from bireme.registry.options import NOBODY

MASTERS = "system:masters"


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """What somebody wants to do: a verb on a resource, or on a path that is none.

    `fields` are the requirements of a list's field selector, name to value.
    """

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    path: str = ""
    fields: tuple[tuple[str, str], ...] = ()


class Verdict(Enum):
    """What one authorizer says; `NO_OPINION` leaves it to the next."""

    ALLOWED = "allowed"
    DENIED = "denied"
    NO_OPINION = "no opinion"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and why."""

    verdict: Verdict
    reason: str = ""

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.ALLOWED


NO_OPINION = Decision(Verdict.NO_OPINION)
_ALLOWED = Decision(Verdict.ALLOWED)


class Authorizer(Protocol):
    """Says who may do what, at once and without waiting."""

    def decide(self, user: Identity, attempt: Attempt) -> Decision:
        """Whether `user` may do what is attempted."""
        ...


class Masters:
    """The administrators' group may do everything, and so may the registry itself, which asks as nobody."""

    def decide(self, user: Identity, attempt: Attempt) -> Decision:
        return _ALLOWED if user is NOBODY or MASTERS in user.groups else NO_OPINION


class Union:
    """Asks one after the other; the first that has an opinion decides, and nobody's opinion is a no."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = tuple(authorizers)

    def decide(self, user: Identity, attempt: Attempt) -> Decision:
        reasons: list[str] = []
        for authorizer in self._authorizers:
            decision = authorizer.decide(user, attempt)
            if decision.verdict is not Verdict.NO_OPINION:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(Verdict.NO_OPINION, ", ".join(reasons)) if reasons else NO_OPINION


def refusal(user: Identity, attempt: Attempt, reason: str = "") -> Forbidden:
    """The error for what `user` may not do, worded as clients know it."""
    tail = f": {reason}" if reason else ""
    if attempt.path:
        return Forbidden(f'forbidden: User "{user.name}" cannot {attempt.verb} path "{attempt.path}"{tail}')
    title = f"{attempt.resource}.{attempt.group}" if attempt.group else attempt.resource
    named = f'{title} "{attempt.name}"' if attempt.name else title
    resource = f"{attempt.resource}/{attempt.subresource}" if attempt.subresource else attempt.resource
    scope = f'in the namespace "{attempt.namespace}"' if attempt.namespace else "at the cluster scope"
    return Forbidden(
        f'{named} is forbidden: User "{user.name}" cannot {attempt.verb} resource "{resource}" '
        f'in API group "{attempt.group}" {scope}{tail}',
        details={"name": attempt.name, "group": attempt.group, "kind": attempt.resource},
    )
