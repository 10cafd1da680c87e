"""Whether the user of a request may do something else. Source: the authz library of Kubernetes, documented.

Who decides is handed in: an `Authorizer` is made for a request with a function that answers `Check`s.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bireme.api.cel.errors import CelError
from bireme.api.cel.functions import Row
from bireme.api.cel.values import Opaque
from bireme.api.validation import names

_AUTHORIZER, _PATH, _GROUP = (
    "kubernetes.authorization.Authorizer",
    "kubernetes.authorization.PathCheck",
    ("kubernetes.authorization.GroupCheck"),
)
_RESOURCE, _DECISION = "kubernetes.authorization.ResourceCheck", "kubernetes.authorization.Decision"


@dataclass(frozen=True, slots=True)
class Check:
    """What is asked. `service_account` is "namespace:name" where it is asked for another than the user."""

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    service_account: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was decided."""

    allowed: bool
    reason: str = ""
    error: str = ""


Decide = Callable[[Check], Answer]


class _Question(Opaque):
    __slots__ = ("check", "decide")

    def __init__(self, decide: Decide, check: Check) -> None:
        self.decide = decide
        self.check = check

    def same(self, other: Opaque) -> bool:
        return isinstance(other, _Question) and self.check == other.check


class Authorizer(_Question):
    """What the variable `authorizer` holds."""

    __slots__ = ()
    type_name = _AUTHORIZER

    def __init__(self, decide: Decide, check: Check | None = None) -> None:
        super().__init__(decide, check or Check())


class PathCheck(_Question):
    """About a path that is no resource."""

    __slots__ = ()
    type_name = _PATH


class GroupCheck(_Question):
    """About a resource of a group, which is not yet named."""

    __slots__ = ()
    type_name = _GROUP


class ResourceCheck(_Question):
    """About a resource; `authorizer.requestResource` is one."""

    __slots__ = ()
    type_name = _RESOURCE


class Decided(Opaque):
    """The answer."""

    __slots__ = ("answer",)
    type_name = _DECISION

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


def _path(asked: Authorizer, path: str) -> PathCheck:
    if not path.strip():
        raise CelError("path must not be empty")
    return PathCheck(asked.decide, replace(asked.check, path=path))


def _group(asked: Authorizer, group: str) -> GroupCheck:
    return GroupCheck(asked.decide, replace(asked.check, group=group))


def _resource(asked: GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise CelError("resource must not be empty")
    return ResourceCheck(asked.decide, replace(asked.check, resource=resource))


def _service_account(asked: Authorizer, namespace: str, name: str) -> Authorizer:
    if faults := names.dns_label(namespace):
        raise CelError(f"Invalid service account namespace: {faults[0]}")
    if faults := names.dns_subdomain(name):
        raise CelError(f"Invalid service account name: {faults[0]}")
    return Authorizer(asked.decide, replace(asked.check, service_account=f"{namespace}:{name}"))


def _setting(field: str) -> Callable[[ResourceCheck, str], ResourceCheck]:
    def changed(asked: ResourceCheck, value: str) -> ResourceCheck:
        return ResourceCheck(asked.decide, replace(asked.check, **{field: value}))

    return changed


def _check(asked: _Question, verb: str) -> Decided:
    return Decided(asked.decide(replace(asked.check, verb=verb)))


ROWS: list[Row] = [
    ("path", f"{_AUTHORIZER}.(string): {_PATH}", _path),
    ("group", f"{_AUTHORIZER}.(string): {_GROUP}", _group),
    ("serviceAccount", f"{_AUTHORIZER}.(string, string): {_AUTHORIZER}", _service_account),
    ("resource", f"{_GROUP}.(string): {_RESOURCE}", _resource),
    ("subresource", f"{_RESOURCE}.(string): {_RESOURCE}", _setting("subresource")),
    ("namespace", f"{_RESOURCE}.(string): {_RESOURCE}", _setting("namespace")),
    ("name", f"{_RESOURCE}.(string): {_RESOURCE}", _setting("name")),
    ("fieldSelector", f"{_RESOURCE}.(string): {_RESOURCE}", _setting("field_selector")),
    ("labelSelector", f"{_RESOURCE}.(string): {_RESOURCE}", _setting("label_selector")),
    ("check", f"{_PATH}.(string): {_DECISION}", _check, "check"),
    ("check", f"{_RESOURCE}.(string): {_DECISION}", _check, "check"),
    ("allowed", f"{_DECISION}.(): bool", lambda decided: decided.answer.allowed),
    ("reason", f"{_DECISION}.(): string", lambda decided: decided.answer.reason),
    ("errored", f"{_DECISION}.(): bool", lambda decided: bool(decided.answer.error)),
    ("error", f"{_DECISION}.(): string", lambda decided: decided.answer.error),
]
