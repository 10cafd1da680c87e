"""Custom kinds: served from the moment their definition is stored, gone with it.

Stands around the writes of CustomResourceDefinitions as their rules. A write settles the status (names, approval,
stored versions) and, once it stands, puts the kinds into `Kinds`, the scheme and the watch cache, so that the next
request finds them. Left to others: what one version says (`custom.py`), names (`custom_names.py`), the emptying
of a kind that goes (`custom_cleanup.py`). Source: the Kubernetes documentation of CustomResourceDefinitions.
"""

from collections.abc import Callable
from typing import Any

import structlog

from bireme.api.scheme import ALL_VERBS, Gvk, Resource, Subresource, definition_of_custom
from bireme.api.structural.paths import simple_path
from bireme.api.times import rfc3339
from bireme.api.versions import by_priority
from bireme.registry import custom_names
from bireme.registry.custom import Custom, Family
from bireme.registry.custom_records import CustomHeaders
from bireme.registry.kinds import Kind, custom_kind
from bireme.registry.options import Call
from bireme.registry.rules import Rules
from bireme.registry.verbs import Raced, Registry

log = structlog.get_logger(__name__)

Tree = dict[str, Any]
DEFINITIONS = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
_STATUS = frozenset(("get", "patch", "update"))


class CustomKinds(Rules):
    """The kinds that users brought."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._kind = registry.kind(*DEFINITIONS)
        self._served: dict[str, tuple[Tree, list[Kind]]] = {}
        # What other definitions have to know of each: there may be a thousand, and their schemas are large.
        self._names: dict[str, Tree] = {}
        self._builtin = list(registry.scheme.resources())
        self.going: Callable[[str], None] = _nobody

    def load(self) -> None:
        """Serve what the store holds definitions of. Call once, before the registry starts."""
        for item in self._registry.store.range(self._kind.key_prefix):
            tree = self._registry.tree_of(self._kind, item)
            self._note(tree)
            try:
                self._serve(tree, item.revision)
            except Exception:
                # One definition that cannot be read may not keep the server from starting.
                log.exception("definition cannot be served", key=item.key)

    def waiting(self) -> list[str]:
        """The definitions that are being deleted."""
        return [
            tree["metadata"]["name"]
            for tree in self._registry.every(*DEFINITIONS)
            if tree["metadata"].get("deletionTimestamp")
        ]

    def kinds_of(self, name: str) -> list[Kind]:
        """What is served of a definition."""
        return self._served[name][1] if name in self._served else []

    # Around the writes of definitions

    def before_create(self, tree: Tree, call: Call) -> Callable[[], None]:
        tree.pop("status", None)
        tree["status"] = self._status(tree)
        return _nothing

    def before_update(self, tree: Tree, old: Tree, call: Call) -> Callable[[], None]:
        # A list of stored versions that the user cut short is the user's own doing, once objects were migrated.
        tree["status"] = self._status(tree)
        return _nothing

    def before_delete(self, tree: Tree) -> None:
        """Have the definition held until its objects are gone."""
        metadata = tree["metadata"]
        if "deletionTimestamp" in metadata:
            return
        finalizers = metadata.setdefault("finalizers", [])
        if custom_names.FINALIZER not in finalizers:
            finalizers.append(custom_names.FINALIZER)
        text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        custom_names.set_terminating(tree, "InstanceDeletionPending", text, now=self._now())

    async def after_mark(self, tree: Tree) -> None:
        await self.after_write(tree, None)

    async def after_write(self, tree: Tree, old: Tree | None) -> None:
        name = tree["metadata"]["name"]
        self._note(tree)
        item = self._registry.store.get(self._kind.key("", name))
        if item is not None:
            self._serve(self._registry.tree_of(self._kind, item), item.revision)
        if tree["metadata"].get("deletionTimestamp"):
            self.going(name)
        elif old is not None and old.get("spec", {}).get("names") != tree["spec"].get("names"):
            await self._settle_others(tree)

    async def after_delete(self, old: Tree) -> None:
        self._names.pop(old["metadata"]["name"], None)
        self._serve_no_more(old["metadata"]["name"])
        await self._settle_others(old)

    def _note(self, tree: Tree) -> None:
        status = tree.get("status") or {}
        kept = {name: status.get(name) for name in ("acceptedNames", "conditions")}
        self._names[tree["metadata"]["name"]] = {"spec": {"group": tree["spec"].get("group")}, "status": kept}

    def _status(self, tree: Tree) -> Tree:
        name, group = tree["metadata"].get("name"), tree["spec"].get("group")
        others = [each for known, each in self._names.items() if known != name]
        mine = [resource for resource in self._builtin if resource.group == group]
        resources = {word for each in mine for word in (each.plural, each.singular, *each.short_names)}
        reserved = (resources, {each.kind for each in mine})
        return custom_names.settle_status(tree, others, reserved, now=self._now())

    async def _settle_others(self, changed: Tree) -> None:
        """Those of the group that wanted names may have them now."""
        for name, each in list(self._names.items()):
            if each["spec"]["group"] != changed["spec"].get("group") or custom_names.is_true(each, "NamesAccepted"):
                continue
            item, tree = self._registry.read(self._kind, "", name)
            status = self._status(tree)
            if status != tree.get("status"):
                tree["status"] = status
                try:
                    await self._registry.write(self._kind, item, tree, Call())
                except Raced:
                    continue  # whoever wrote it settled it
                await self.after_write(tree, None)

    def _now(self) -> str:
        return rfc3339(self._registry.clock.now())

    # Serving

    def _serve(self, tree: Tree, revision: int) -> None:
        name = tree["metadata"]["name"]
        if not custom_names.is_true(tree, "Established"):
            self._serve_no_more(name)
            return
        names = {**(tree["spec"].get("names") or {}), **((tree.get("status") or {}).get("acceptedNames") or {})}
        going = bool(tree["metadata"].get("deletionTimestamp"))
        wanted = {"spec": tree["spec"], "names": names, "going": going}
        known = self._served.get(name)
        if known is not None and known[0] == wanted:
            return
        family = _family(tree, names, since=revision, terminating=going)
        kinds = [
            custom_kind(family.versions[version["name"]]) for version in _versions(tree) if version.get("served")
        ]
        self._replace(name, kinds, family.versions[family.storage])
        self._served[name] = (wanted, kinds)

    def _replace(self, name: str, kinds: list[Kind], storage: Custom) -> None:
        registry = self._registry
        for kind in self.kinds_of(name):
            registry.kinds.remove(kind)
            registry.scheme.remove(kind.resource)
        for kind in kinds:
            taken = registry.kinds.at(kind.resource.group, kind.resource.version, kind.resource.plural)
            if taken is None:
                registry.kinds.add(kind)
                registry.scheme.add(kind.resource)
        registry.cache.put(storage.resource, CustomHeaders(storage.resource))

    def _serve_no_more(self, name: str) -> None:
        known = self._served.pop(name, None)
        if known is None:
            return
        for kind in known[1]:
            self._registry.kinds.remove(kind)
            self._registry.scheme.remove(kind.resource)
        if known[1]:
            self._registry.cache.remove(known[1][0].resource)


def _versions(tree: Tree) -> list[Tree]:
    return sorted(tree["spec"]["versions"], key=lambda version: by_priority(version["name"]))


def _family(tree: Tree, names: Tree, *, since: int, terminating: bool) -> Family:
    spec = tree["spec"]
    conversion = spec.get("conversion") or {}
    webhook = conversion.get("webhook") if conversion.get("strategy") == "Webhook" else None
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    family = Family(tree["metadata"]["name"], spec["group"], storage, webhook, terminating)
    for version in spec["versions"]:
        family.versions[version["name"]] = Custom(_resource(spec, names, version), version, family, since)
    return family


def _resource(spec: Tree, names: Tree, version: Tree) -> Resource:
    gvk = Gvk(spec["group"], version["name"], names["kind"])
    subresources = version.get("subresources") or {}
    made = []
    if "status" in subresources:
        made.append(Subresource("status", gvk, _STATUS))
    if subresources.get("scale"):
        made.append(Subresource("scale", Gvk("autoscaling", "v1", "Scale"), _STATUS))
    paths = [simple_path(said["jsonPath"]) for said in version.get("selectableFields") or ()]
    return Resource(
        *gvk,
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=ALL_VERBS,
        subresources=tuple(made),
        fields=tuple(".".join(path) for path in paths if path),
        definition=definition_of_custom(gvk),
        list_kind=names.get("listKind") or f"{names['kind']}List",
    )


def _nothing() -> None:
    """Nothing to give back."""


def _nobody(name: str) -> None:
    """Nobody waits to hear of it."""
