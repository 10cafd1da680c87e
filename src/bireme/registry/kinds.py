"""A served kind with what the verbs need to know of it, worked out once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bireme.api.scheme import Resource, Scheme
from bireme.registry.custom import Custom
from bireme.registry.record import prefix_of
from bireme.registry.strategy import CUSTOM, Strategy, strategy_of


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """`resource` as clients see it, `stored` as it is kept (itself, but for the second versions).

    `custom` is for kinds that users brought; these are handled in the version that is asked for, whatever version
    they are kept in.
    """

    resource: Resource
    stored: Resource
    strategy: Strategy
    key_prefix: str
    prefix: bytes
    list_head: bytes
    definition: str
    custom: Custom | None = None

    @property
    def is_alias(self) -> bool:
        """Whether objects are kept in another version than this one."""
        return self.resource is not self.stored

    def is_a(self, kind: str, group: str = "") -> bool:
        """Whether this is that kind, in any version."""
        return self.resource.kind == kind and self.resource.group == group

    def key(self, namespace: str, name: str) -> str:
        """Where the object of that name lies in the store."""
        if self.resource.namespaced:
            return f"{self.key_prefix}{namespace}/{name}"
        return self.key_prefix + name


class Kinds:
    """The kinds of a scheme by their place in the API. `generation` rises whenever they change."""

    def __init__(self, scheme: Scheme) -> None:
        self._by_path = {(r.group, r.version, r.plural): kind_of(r) for r in scheme.resources()}
        self.generation = 0

    def at(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind that is served there."""
        return self._by_path.get((group, version, plural))

    def add(self, kind: Kind) -> None:
        """Serve a kind, in place of any that was served there."""
        resource = kind.resource
        self._by_path[resource.group, resource.version, resource.plural] = kind
        self.generation += 1

    def remove(self, kind: Kind) -> None:
        """Serve a kind no more."""
        place = (kind.resource.group, kind.resource.version, kind.resource.plural)
        if self._by_path.get(place) is kind:
            del self._by_path[place]
            self.generation += 1

    def all(self) -> list[Kind]:
        """Every kind, aliases too."""
        return list(self._by_path.values())


class KindsOf(Protocol):
    """The kinds that are served; `generation` rises when they change."""

    generation: int

    def all(self) -> Sequence[Kind]:
        """Every kind."""
        ...


class Versions:
    """The kinds in which the same objects are served, remembered until kinds change."""

    def __init__(self, kinds: KindsOf) -> None:
        self._kinds = kinds
        self._known: dict[str, list[Kind]] = {}
        self._generation = -1

    def of(self, kind: Kind) -> list[Kind]:
        """All of them, `kind` among them."""
        if self._kinds.generation != self._generation:
            self._known.clear()
            self._generation = self._kinds.generation
        found = self._known.get(kind.key_prefix)
        if found is None:
            found = [each for each in self._kinds.all() if each.key_prefix == kind.key_prefix]
            self._known[kind.key_prefix] = found
        return found


def kind_of(resource: Resource) -> Kind:
    """The kind of a resource that is served."""
    stored = resource.stored_as
    return Kind(
        resource,
        stored,
        strategy_of(resource),
        stored.key_prefix,
        prefix_of(stored),
        _list_head(resource),
        resource.definition,
    )


def custom_kind(custom: Custom) -> Kind:
    """The kind of one version that a user brought."""
    resource = custom.resource
    return Kind(
        resource,
        resource,
        CUSTOM,
        resource.key_prefix,
        prefix_of(resource),
        _list_head(resource),
        resource.definition,
        custom,
    )


def _list_head(resource: Resource) -> bytes:
    kind = resource.list_kind or f"{resource.kind}List"
    return f'{{"kind":"{kind}","apiVersion":"{resource.api_version}","metadata":'.encode()
