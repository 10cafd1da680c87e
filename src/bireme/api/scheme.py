"""The register of kinds: which resources are served, under which names, with which verbs.

Built-in kinds come from `resources_table.py`, those of the Mesos and Marathon decks from their structs. What
an object of a kind may hold is the business of `schema.py`, and how it is shown that of `apiserver/table.py`.

A struct of our own becomes a resource by its `__gvk__`; `__resource__`, a dict, may say otherwise than the
custom: `plural` (kind in lower case + "s"), `namespaced` (True), `short_names`, `categories`, `subresources`
("status" where the struct has one), `fields` (selectable), `verbs`, each a tuple of words.
"""

import functools
import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from bireme.api.kinds.meta import Object
from bireme.api.resources_table import ALL, GROUP_ORDER, ROWS, SHARED_STORAGE, SUBRESOURCES, Row
from bireme.api.versions import by_priority

ALL_VERBS = frozenset(ALL.split())
IN_HOUSE_MODULES = ("mesos", "marathon", "jobs")

_DEFINITION_PREFIXES = {
    "": "io.k8s.api.core",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}


class Gvk(NamedTuple):
    """Group, version and kind."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class Subresource:
    """A part or deed of an object, at its path + `/name`; `kind` is what its body holds."""

    name: str
    kind: Gvk
    verbs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as it is served: one row of the register."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: frozenset[str] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    fields: tuple[str, ...] = ()
    definition: str = ""
    storage: "Resource | None" = None
    list_kind: str = ""

    @property
    def gvk(self) -> Gvk:
        """Group, version and kind."""
        return Gvk(self.group, self.version, self.kind)

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return self.gvk.api_version

    @property
    def is_custom(self) -> bool:
        """Whether it is a user who brought this kind; only such ones say what their lists are called."""
        return bool(self.list_kind)

    @property
    def has_status(self) -> bool:
        """Whether the status is written by itself."""
        return self.subresource("status") is not None

    @property
    def stored_as(self) -> "Resource":
        """The resource in whose form objects are kept: itself, for most."""
        return self.storage or self

    @property
    def key_prefix(self) -> str:
        """Where objects are kept in the store; ends with a slash."""
        stored = self.stored_as
        return f"/registry/{stored.group or 'core'}/{stored.plural}/"

    @property
    def title(self) -> str:
        """`deployments.apps`, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def selectable(self) -> frozenset[str]:
        """Every field that a field selector may name."""
        own = ("metadata.name", "metadata.namespace") if self.namespaced else ("metadata.name",)
        return frozenset((*own, *self.fields))

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name."""
        for item in self.subresources:
            if item.name == name:
                return item
        return None


class Scheme:
    """Resources by path and by kind. `add` and `remove` are for kinds that users bring at run time."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str, str], Resource] = {}
        for resource in resources:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        """Serve a resource, in place of any of the same path."""
        self._by_path[resource.group, resource.version, resource.plural] = resource
        self._by_kind[resource.gvk] = resource

    def remove(self, resource: Resource) -> None:
        """Serve it no more."""
        self._by_path.pop((resource.group, resource.version, resource.plural), None)
        self._by_kind.pop(resource.gvk, None)

    def resources(self) -> list[Resource]:
        """All, in the order they were added."""
        return list(self._by_path.values())

    def resource(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at a path."""
        return self._by_path.get((group, version, plural))

    def of_kind(self, group: str, version: str, kind: str) -> Resource | None:
        """The resource that holds objects of a kind."""
        return self._by_kind.get((group, version, kind))

    def of_type(self, kind: type[Object]) -> Resource:
        """The resource of a struct; KeyError if none is served."""
        return self._by_kind[gvk_of(kind)]

    def groups(self) -> list[str]:
        """Groups in the order of `/apis`; the core group, if any, is first."""
        known = {group: place for place, group in enumerate(GROUP_ORDER)}
        return sorted({item.group for item in self._by_path.values()}, key=lambda g: (known.get(g, len(known)), g))

    def versions(self, group: str) -> list[str]:
        """Versions of a group, the preferred one first."""
        found = dict.fromkeys(item.version for item in self._by_path.values() if item.group == group)
        return sorted(found, key=by_priority)

    def of_group_version(self, group: str, version: str) -> list[Resource]:
        """Resources of one group and version, by plural."""
        chosen = (item for item in self._by_path.values() if (item.group, item.version) == (group, version))
        return sorted(chosen, key=lambda item: item.plural)


def gvk_of(kind: type[Object]) -> Gvk:
    """Group, version and kind of a struct."""
    return Gvk(*kind.__gvk__)  # type: ignore[attr-defined]


def split_api_version(text: str) -> tuple[str, str]:
    """`apps/v1` to (`apps`, `v1`), `v1` to (``, `v1`)."""
    group, _, version = text.rpartition("/")
    return group, version


@functools.cache
def builtin() -> Scheme:
    """The resources that every cluster serves; the same object each time, so don't add to it."""
    rows = [_from_row(row) for row in ROWS]
    stored = {(resource.api_version, resource.plural): resource for resource in rows}
    scheme = Scheme()
    for resource in rows:
        home = SHARED_STORAGE.get((resource.api_version, resource.plural))
        scheme.add(replace(resource, storage=stored[home]) if home else resource)
    for kind in in_house_kinds():
        scheme.add(_from_struct(kind))
    return scheme


@functools.cache
def in_house_kinds() -> tuple[type[Object], ...]:
    """The structs of our own groups."""
    found: list[type[Object]] = []
    for name in IN_HOUSE_MODULES:
        path = f"bireme.api.kinds.{name}"
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name != path:
                raise
            continue
        found += (
            item
            for item in vars(module).values()
            if inspect.isclass(item)
            and issubclass(item, Object)
            and "__gvk__" in vars(item)
            and item.__module__ == path
        )
    return tuple(found)


def in_house_definition(kind: type[Any]) -> str:
    """The schema's name of a struct of ours: `dev.bireme.mesos.v1.Framework`."""
    module = kind.__module__.rpartition(".")[2]
    return f"dev.bireme.{module}.v1.{kind.__name__}"


def definition_of(gvk: Gvk) -> str:
    """The schema's name of a kind of the Kubernetes groups."""
    prefix = _DEFINITION_PREFIXES.get(gvk.group, f"io.k8s.api.{gvk.group.partition('.')[0]}")
    return f"{prefix}.{gvk.version}.{gvk.kind}"


def definition_of_custom(gvk: Gvk) -> str:
    """The schema's name of a kind that a user brought: `com.example.stable.v1.CronTab`."""
    return ".".join((*reversed(gvk.group.split(".")), gvk.version, gvk.kind))


def _subresources(names: Iterable[str], owner: Gvk) -> tuple[Subresource, ...]:
    made = []
    for name in names:
        body, verbs = SUBRESOURCES[name]
        api_version, _, kind = body.format(kind=owner.kind).partition(" ")
        made.append(Subresource(name, Gvk(*split_api_version(api_version), kind) if body else owner, _words(verbs)))
    return tuple(made)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _from_row(row: Row) -> Resource:
    group, version = split_api_version(row.group_version)
    return Resource(
        group,
        version,
        row.kind,
        row.plural,
        row.kind.lower(),
        row.namespaced,
        short_names=tuple(row.short_names.split()),
        categories=tuple(row.categories.split()),
        verbs=_words(row.verbs),
        subresources=_subresources(row.subresources.split(), Gvk(group, version, row.kind)),
        fields=tuple(row.fields.split()),
        definition=definition_of(Gvk(group, version, row.kind)),
    )


def _from_struct(kind: type[Object]) -> Resource:
    gvk = gvk_of(kind)
    said: dict[str, Any] = getattr(kind, "__resource__", {})
    custom = ("status",) if "status" in kind.__struct_fields__ else ()
    return Resource(
        *gvk,
        plural=said.get("plural", gvk.kind.lower() + "s"),
        singular=gvk.kind.lower(),
        namespaced=said.get("namespaced", True),
        short_names=tuple(said.get("short_names", ())),
        categories=tuple(said.get("categories", ())),
        verbs=frozenset(said.get("verbs", ALL_VERBS)),
        subresources=_subresources(said.get("subresources", custom), gvk),
        fields=tuple(said.get("fields", ())),
        definition=in_house_definition(kind),
    )
