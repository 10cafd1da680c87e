"""The kinds that users bring, for the controllers that deal with every kind there is.

Follows the definitions and keeps the client's scheme as they say; who wants to know of each kind that comes or goes
asks with `on_change`. One object is shared by all controllers of a process.
"""

from collections.abc import Callable, Iterable

from msgspec import field

from bireme.api.kinds.meta import Object
from bireme.api.model import Model
from bireme.api.scheme import Gvk, Resource, Scheme
from bireme.api.versions import by_priority
from bireme.controllers.informers import Informers


class DefinitionNames(Model):
    """The names of a kind."""

    kind: str = ""
    plural: str = ""
    singular: str = ""


class DefinitionVersion(Model):
    """A version of a kind."""

    name: str = ""
    served: bool = False


class DefinitionSpec(Model):
    """What is read of a definition: not the schemas, which are large."""

    group: str = ""
    names: DefinitionNames = field(default_factory=DefinitionNames)
    scope: str = ""
    versions: list[DefinitionVersion] = field(default_factory=list)


class DefinitionCondition(Model):
    """A condition of a definition."""

    type: str = ""
    status: str = ""


class DefinitionStatus(Model):
    """How a definition stands."""

    conditions: list[DefinitionCondition] = field(default_factory=list)


class Definition(Object):
    """A CustomResourceDefinition without its schemas. Never write it back."""

    __gvk__ = ("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    spec: DefinitionSpec = field(default_factory=DefinitionSpec)
    status: DefinitionStatus = field(default_factory=DefinitionStatus)


Changed = Callable[[Resource | None, Resource | None], None]


class CustomKinds:
    """Keeps `scheme` as the definitions say; one resource a definition, the preferred version, is told of."""

    def __init__(self, cache: Informers, scheme: Scheme) -> None:
        self._scheme = scheme
        self._served: dict[str, list[Resource]] = {}
        self._listeners: list[Changed] = []
        cache.of(Definition).on_change(self._definition_changed)

    def on_change(self, changed: Changed) -> None:
        """Call `changed(old, new)` for each kind that comes, changes or goes; those that are there are told too."""
        self._listeners.append(changed)
        for resources in self._served.values():
            changed(None, resources[0])

    def _definition_changed(self, old: Definition | None, new: Definition | None) -> None:
        name = (new or old or Definition()).metadata.name
        before = self._served.get(name, [])
        after = list(resources_of(new)) if new is not None and _is_established(new) else []
        if before == after:
            return
        for resource in before:
            self._scheme.remove(resource)
        for resource in after:
            if self._scheme.resource(resource.group, resource.version, resource.plural) is None:
                self._scheme.add(resource)
        if after:
            self._served[name] = after
        else:
            self._served.pop(name, None)
        was, now = (before[0] if before else None), (after[0] if after else None)
        if was != now:
            for changed in self._listeners:
                changed(was, now)


def _is_established(definition: Definition) -> bool:
    return any(item.type == "Established" and item.status == "True" for item in definition.status.conditions)


def resources_of(definition: Definition) -> Iterable[Resource]:
    """The served versions of a kind, the preferred one first; the others are further views of it."""
    spec, names, first = definition.spec, definition.spec.names, None
    for version in sorted(spec.versions, key=lambda version: by_priority(version.name)):
        if not version.served:
            continue
        made = Resource(
            *Gvk(spec.group, version.name, names.kind),
            plural=names.plural,
            singular=names.singular,
            namespaced=spec.scope == "Namespaced",
            list_kind=f"{names.kind}List",
            storage=first,
        )
        first = first or made
        yield made
