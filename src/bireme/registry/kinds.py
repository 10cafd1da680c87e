"""A served kind with what the verbs need to know of it, worked out once."""

from dataclasses import dataclass

from bireme.api.scheme import Resource, Scheme
from bireme.registry.record import prefix_of
from bireme.registry.strategy import Strategy, strategy_of


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """`resource` as clients see it, `stored` as it is kept (itself, but for the second versions)."""

    resource: Resource
    stored: Resource
    strategy: Strategy
    key_prefix: str
    prefix: bytes
    list_head: bytes
    definition: str

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
    """The kinds of a scheme by their place in the API."""

    def __init__(self, scheme: Scheme) -> None:
        self._by_path = {(r.group, r.version, r.plural): kind_of(r) for r in scheme.resources()}

    def at(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind that is served there."""
        return self._by_path.get((group, version, plural))

    def all(self) -> list[Kind]:
        """Every kind, aliases too."""
        return list(self._by_path.values())


def kind_of(resource: Resource) -> Kind:
    """The kind of a resource that is served."""
    stored = resource.stored_as
    return Kind(
        resource,
        stored,
        strategy_of(resource),
        stored.key_prefix,
        prefix_of(stored),
        f'{{"kind":"{resource.kind}List","apiVersion":"{resource.api_version}","metadata":'.encode(),
        resource.definition,
    )
