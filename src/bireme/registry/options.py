"""What a caller says beside the object: who asks, and the options of each verb."""

from dataclasses import dataclass, field
from typing import Any, Literal

from bireme.http.interface import Identity

FieldValidation = Literal["Ignore", "Warn", "Strict"]
NOBODY = Identity("")
MOST_WARNINGS = 100


@dataclass(slots=True)
class Call:
    """One request on its way: who asks and how; `warnings` gathers what the answer shall warn of.

    `owns_through` is the subresource that counts for the ownership of fields, where that is not the one written;
    `names_owners` is False where the body surely says nothing of `metadata.managedFields`; `large` where the work on
    it is too much to have others wait for.
    `audit` gathers annotations for the audit log.
    """

    user: Identity = NOBODY
    dry_run: bool = False
    field_manager: str = ""
    field_validation: FieldValidation = "Warn"
    owns_through: str = ""
    names_owners: bool = True
    large: bool = False
    duplicates: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)
    audit: dict[str, str] = field(default_factory=dict)

    def warn(self, text: str) -> None:
        """Have the answer carry a warning, once; of very many, the first."""
        if len(self.warnings) < MOST_WARNINGS and text not in self.warnings:
            self.warnings.append(text)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How to delete: grace in seconds (None: the kind's own), whose object, and what of its dependents."""

    grace_period_s: int | None = None
    uid: str = ""
    resource_version: str = ""
    propagation: Literal["", "Background", "Foreground", "Orphan"] = ""

    def as_tree(self) -> dict[str, Any]:
        """The options as clients say them."""
        conditions = {"uid": self.uid, "resourceVersion": self.resource_version}
        said = {
            "gracePeriodSeconds": self.grace_period_s,
            "preconditions": {name: value for name, value in conditions.items() if value} or None,
            "propagationPolicy": self.propagation or None,
        }
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The part of a list that is asked for, and how old it may be."""

    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    match: Literal["", "Exact", "NotOlderThan"] = ""
    initial_events: bool | None = None


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Where a watch begins; `initial_events` is None where the client did not say."""

    resource_version: str = ""
    match: Literal["", "Exact", "NotOlderThan"] = ""
    bookmarks: bool = False
    initial_events: bool | None = None
    timeout_s: float = 0.0
