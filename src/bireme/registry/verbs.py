"""What each verb does to the objects in the store.

A write goes: intake (types, unknown fields), the kind's strategy, defaults, admission, validation, compare and
set. It is made on trees and stored as bytes; `record.py` says how they lie.

Left to others: reading (`reader.py`), HTTP (`apiserver/`), what a new object is given (`creation.py`), what
updates may touch (`updates.py`), what deletes decide (`deletion.py`), the parts of objects that have verbs of
their own (`scale.py`, `pods.py`, `token_requests.py`). Source: the Kubernetes documentation on writing.
"""

import random as chance
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bireme.aio.clock import Clock
from bireme.aio.uids import new_uid
from bireme.api.codec.json import LIMITS, check_values
from bireme.api.errors import (
    AlreadyExists,
    ApiError,
    Cause,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    TooLarge,
    not_found,
)
from bireme.api.patch import clone
from bireme.api.scheme import Scheme
from bireme.http.interface import Identity
from bireme.registry import conversion, creation
from bireme.registry.access import Attempt, refusal
from bireme.registry.admission.chain import Attributes, Chain, Plugin
from bireme.registry.apart import LARGE, apart
from bireme.registry.applying import check_absent
from bireme.registry.deletion import is_over, plan_delete
from bireme.registry.field_managers import Apply, FieldManagers, same_but_for_times
from bireme.registry.field_versions import FieldVersions
from bireme.registry.intake import Intake
from bireme.registry.kinds import Kind
from bireme.registry.lists import Page
from bireme.registry.options import Call, DeleteOptions, ListOptions
from bireme.registry.rbac import RbacAuthorizer
from bireme.registry.reader import Reader
from bireme.registry.record import Document, decode, encode, prefix_of
from bireme.registry.rules import Rules
from bireme.registry.selection import Selection
from bireme.registry.strategy import (
    check_preconditions,
    invalid,
    modified,
    settle_name,
    settle_namespace,
)
from bireme.registry.updates import check_finalizers, count_generations, prepare_update
from bireme.store.interface import Item, KeyConflict, Put, Revision, Store, StoreError

Tree = dict[str, Any]

# In bytes: what a client may send, and what is filled in.
MOST_STORED = LIMITS.size + (1 << 20)
NAME_TRIES = 8
PATCH_TRIES = 5
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
LONGEST_BASE = 58
JOB_ORPHANS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them "
    "or set propagationPolicy=Orphan to suppress this warning"
)


@dataclass(frozen=True, slots=True)
class Deleted:
    """The object as it is now or last was, and whether it is gone."""

    document: Document
    gone: bool


class Raced(Exception):
    """Somebody else wrote the object first."""


class Registry(Reader):
    """All verbs over one store. Call `start` once, then keep `run` running."""

    def __init__(
        self,
        store: Store,
        scheme: Scheme,
        clock: Clock,
        *,
        uid: Callable[[], str] = new_uid,
        random: chance.Random | None = None,
        plugins: Sequence[Plugin] = (),
        rules: dict[str, Rules] | None = None,
    ) -> None:
        super().__init__(store, scheme, clock)
        self.intake = Intake(scheme)
        self.field_managers = FieldManagers(self.intake, clock)
        self.field_versions = FieldVersions(self.kinds, self.converter, self.field_managers.typed)
        self.admission = Chain(plugins)
        self._uid = uid
        self._random = random or chance.Random()
        self._rules = rules or {}
        self._no_rules = Rules()
        self.roles: RbacAuthorizer | None = None
        self.tasks: dict[str, Callable[[], Awaitable[None]]] = {}  # what runs beside the verbs, by name
        self.figures: list[Callable[[], str]] = []  # what is to be told on the page of metrics

    def use(self, plugins: Sequence[Plugin], rules: dict[str, Rules]) -> None:
        """Set the admission plugins and the rules by kind, which look at objects through this registry."""
        self.admission = Chain(plugins)
        self._rules = rules

    def rules_of(self, kind: str) -> Rules:
        """The rules of a kind, by its name."""
        return self._rules.get(kind, self._no_rules)

    def has_rules(self, kind: str) -> bool:
        """Whether a kind keeps something beside its objects."""
        return kind in self._rules

    def new_uid(self) -> str:
        """A uid that was never given out."""
        return self._uid()

    async def create(
        self,
        kind: Kind,
        namespace: str,
        tree: Tree,
        call: Call,
        *,
        name: str = "",
        owners: list[Tree] | None = None,
    ) -> Document:
        """Store a new object; `name` is given where the path names it. Raises AlreadyExists, Invalid, …

        `owners` are its managed fields where the writer does not simply own it all.
        """
        if kind.custom is not None and kind.custom.family.terminating:
            raise MethodNotAllowed("create not allowed while custom resource definition is terminating")
        tree = await apart(call.large, self.intake.take, kind, tree, call)
        settle_namespace(kind.resource, tree, namespace)
        if name:
            settle_name(kind.resource, tree, name)
        base = "" if tree["metadata"].get("name") else tree["metadata"].get("generateName") or ""
        tries = NAME_TRIES if base else 1
        for attempt in range(1, tries + 1):
            if base:
                tree["metadata"]["name"] = self._generate_name(base)
            try:
                return await self._create(kind, namespace, tree, call, base=base, owners=owners)
            except Raced as error:
                if attempt == tries:
                    taken = tree["metadata"]["name"]
                    raise _already_exists(kind, taken, generated=bool(base)) from error
        raise AssertionError("the last try returns or raises")

    async def _create(
        self, kind: Kind, namespace: str, tree: Tree, call: Call, *, base: str, owners: list[Tree] | None
    ) -> Document:
        stored = kind.stored
        creation.begin(stored, kind.strategy, tree, uid=self._uid(), now=self.clock.now())
        await apart(call.large, self.intake.fill, kind, tree)
        if owners is None:
            await apart(call.large, self.field_managers.created, kind, tree, call)
        else:
            tree["metadata"]["managedFields"] = owners
        name = tree["metadata"].get("name") or ""
        # Refusals name the base of a generated name, so that they stay the same however often one tries.
        attributes = Attributes("CREATE", kind, namespace, base or name, tree, None, call)
        kept = tree["metadata"].get("managedFields")
        await self.admission.admit(attributes)
        self.field_managers.keep_sound(tree, kept)
        rules = self.rules_of(stored.kind)
        await apart(call.large, creation.complete, stored, tree, call.user)
        await self.intake.check(kind, tree, call)
        give_back = rules.before_create(tree, call)
        try:
            await self.admission.validate(attributes)
            key = kind.key(namespace, name)
            if self.store.get(key) is not None:
                raise Raced
            if call.dry_run:
                give_back()
                return Document(encode(stored, tree), 0, kind.prefix)
            document = await self._put(kind, key, encode(stored, tree), expect=0)
        except BaseException as error:
            give_back()
            if attributes.settle:
                await attributes.failed(error)
            raise
        if attributes.settle:
            await attributes.settled(stands=True)
        await rules.after_write(tree, None)
        return document

    async def admit_connect(
        self, kind: Kind, namespace: str, name: str, options: Tree, *, subresource: str, user: Identity
    ) -> None:
        """Let admission refuse a connection into an object."""
        attributes = Attributes("CONNECT", kind, namespace, name, options, None, Call(user=user), subresource)
        await self.admission.admit(attributes)
        await self.admission.validate(attributes)

    async def admit(self, kind: Kind, namespace: str, name: str, deed: str, body: Tree, call: Call) -> None:
        """Let admission fill in and refuse the `body` of a deed on an object: binding, eviction, token."""
        attributes = Attributes("CREATE", kind, namespace, name, body, None, call, deed)
        await self.admission.admit(attributes)
        await self.admission.validate(attributes)

    async def update(
        self, kind: Kind, namespace: str, name: str, tree: Tree, call: Call, *, subresource: str = ""
    ) -> tuple[Document, bool]:
        """Put `tree` in the place of the object; the flag says whether it was created. Raises Conflict, …"""
        new = await apart(call.large, self.intake.take, kind, tree, call)
        settle_name(kind.resource, new, name)
        version = new["metadata"].get("resourceVersion") or ""
        while True:
            item = self.store.get(kind.key(namespace, name))
            if item is None:
                if subresource or not kind.strategy.create_on_update or version:
                    raise not_found(kind.resource.plural, name, group=kind.resource.group)
                self._check_may_create(kind, namespace, name, call)
                return await self.create(kind, namespace, tree, call, name=name), True
            try:
                old = await self.tree(kind, item)
                return await self._replace(kind, namespace, item, old, new, call, subresource=subresource), False
            except Raced as error:
                if version:
                    raise modified(kind.resource, name) from error

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Callable[[Tree], Tree],
        call: Call,
        *,
        subresource: str = "",
    ) -> Document:
        """Replace the object by what `change` makes of it; tried again when somebody else writes between.

        `change` gives a new tree and leaves the one that it is given as it was.
        """
        for _ in range(PATCH_TRIES):
            item = self.item(kind, namespace, name)
            old = await self.tree(kind, item)
            base = old if call.names_owners else _without_owners(old)
            call.large = call.large or len(item.value) > LARGE
            new = await apart(call.large, self._changed, kind, base, change, call)
            settle_name(kind.resource, new, name)
            try:
                return await self._replace(kind, namespace, item, old, new, call, subresource=subresource)
            except Raced:
                continue
        raise modified(kind.resource, name)

    def _changed(self, kind: Kind, base: Tree, change: Callable[[Tree], Tree], call: Call) -> Tree:
        made = change(conversion.from_stored(kind, base))
        if call.large:
            check_values(made)
        return self.intake.take(kind, made, call)

    async def apply(
        self, kind: Kind, namespace: str, name: str, said: Apply, call: Call, *, subresource: str = ""
    ) -> tuple[Document, bool]:
        """Apply a configuration; the flag says whether that made the object. Raises Conflict, Invalid, …"""
        fields = await apart(
            call.large, self.field_managers.spoken_of, kind, said.config, namespace=namespace, name=name
        )
        said = replace(said, fields=fields)
        for _ in range(PATCH_TRIES):
            item = self.store.get(kind.key(namespace, name))
            old = None if item is None else await self.tree(kind, item)
            if old is None and subresource:
                raise not_found(kind.resource.plural, name, group=kind.resource.group)
            if old is None:
                check_absent(kind, name, said.config)
                self._check_may_create(kind, namespace, name, call)
            live = conversion.from_stored(kind, old) if old is not None else _nothing(kind)
            call.large = call.large or (item is not None and len(item.value) > LARGE)
            # What follows changes its tree in place, and may have to be done again.
            elsewhere = await self.field_versions.elsewhere(kind, live, said, call)
            tree = clone(await apart(call.large, self.field_managers.applied, kind, live, said, call, elsewhere))
            owners = tree["metadata"].pop("managedFields", [])
            if call.large:
                check_values(tree)
            try:
                if item is None or old is None:
                    return await self.create(kind, namespace, tree, call, name=name, owners=owners), True
                new = await apart(call.large, self.intake.take, kind, tree, call)
                settle_name(kind.resource, new, name)
                return await self._replace(
                    kind, namespace, item, old, new, call, subresource=subresource, owners=owners
                ), False
            except (Raced, AlreadyExists):
                continue
        raise modified(kind.resource, name)

    def _check_may_create(self, kind: Kind, namespace: str, name: str, call: Call) -> None:
        """Raise Forbidden where a write that would make an object is by somebody who may only change them."""
        resource = kind.resource
        attempt = Attempt("create", resource.group, resource.version, resource.plural, "", name, namespace)
        decision = self.authorizer.decide(call.user, attempt)
        if not decision.allowed:
            raise refusal(call.user, attempt, decision.reason)

    async def _replace(
        self,
        kind: Kind,
        namespace: str,
        item: Item,
        old: Tree,
        tree: Tree,
        call: Call,
        *,
        subresource: str,
        owners: list[Tree] | None = None,
    ) -> Document:
        """Store `tree` in the place of `item`, which is `old`. Raises Raced when the item changed meanwhile."""
        name = old["metadata"]["name"]
        settle_namespace(kind.resource, tree, namespace)
        said = tree["metadata"]
        version = said.get("resourceVersion") or ""
        if not version and not kind.strategy.update_without_version:
            raise _version_needed(kind, name)
        check_preconditions(kind.resource, name, tree, old, uid=said.get("uid") or "", version=version)
        new = prepare_update(kind.stored, tree, old, subresource=subresource)
        if kind.custom is not None and subresource == "status":
            new["metadata"] = {key: value for key, value in old["metadata"].items() if key != "resourceVersion"}
        check_finalizers(kind.stored, new, old)
        await apart(call.large, self.intake.fill, kind, new, subresource=subresource)
        new["metadata"].pop("managedFields", None)
        if owners is None:
            through = call.owns_through or subresource
            said_owners = said.get("managedFields")
            updated = self.field_managers.updated
            views = await self.field_versions.views(kind, new, old, subresource=through)
            await apart(call.large, updated, kind, new, old, call, said=said_owners, subresource=through, views=views)
        elif owners:
            new["metadata"]["managedFields"] = owners
        return await self.store_update(kind, namespace, item, new, old, call, subresource=subresource)

    async def store_update(
        self, kind: Kind, namespace: str, item: Item, new: Tree, old: Tree, call: Call, *, subresource: str = ""
    ) -> Document:
        """The last steps of every update: admission, validation, generation, compare and set."""
        name = old["metadata"]["name"]
        old["metadata"].pop("resourceVersion", None)
        part = subresource or call.owns_through
        attributes = Attributes("UPDATE", kind, namespace, name, new, old, call, part, revision=item.revision)
        kept = new["metadata"].get("managedFields")
        await self.admission.admit(attributes)
        self.field_managers.keep_sound(new, kept)
        unchanged = (new == old or same_but_for_times(new, old)) and not is_over(kind.stored, new)
        if unchanged and not _is_outdated(kind, item):
            await self.admission.validate(attributes)  # who may refuse is asked though nothing is to be written
            return await self.document(kind, item)
        has_status = kind.custom is None or kind.resource.has_status
        count_generations(kind.stored, kind.strategy, new, old, has_status=has_status)
        rules = self.rules_of(kind.stored.kind)
        give_back = rules.before_update(new, old, call)
        try:
            await self.intake.check_update(kind, new, old, call, subresource=subresource)
            await self.admission.validate(attributes)
            value = encode(kind.stored, new)
            if call.dry_run:
                give_back()
                return Document(value, item.revision, kind.prefix)
            if is_over(kind.stored, new):
                await self._remove(kind, item, old)
                await attributes.settled(stands=True)
                return Document(value, item.revision, kind.prefix)
            document = await self._put(kind, item.key, value, expect=item.revision)
        except BaseException as error:
            give_back()
            if attributes.settle:
                await attributes.failed(error)
            raise
        if attributes.settle:
            await attributes.settled(stands=True)
        await rules.after_write(new, old)
        return document

    # Deleting

    async def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions, call: Call) -> Deleted:
        """Delete the object, or mark it where something still holds it."""
        while True:
            item = self.item(kind, namespace, name)
            try:
                return await self._delete(kind, namespace, name, item, options, call)
            except Raced:
                continue

    async def _delete(
        self, kind: Kind, namespace: str, name: str, item: Item, options: DeleteOptions, call: Call
    ) -> Deleted:
        tree = await self.tree(kind, item)
        check_preconditions(kind.resource, name, {}, tree, uid=options.uid, version=options.resource_version)
        tree["metadata"].pop("resourceVersion", None)
        attributes = Attributes(
            "DELETE", kind, namespace, name, None, tree, call, revision=item.revision, options=options.as_tree()
        )
        await self.admission.admit(attributes)
        await self.admission.validate(attributes)
        if not options.propagation and kind.is_a("Job", "batch"):
            call.warn(JOB_ORPHANS)
        rules = self.rules_of(kind.stored.kind)
        rules.before_delete(tree)
        plan = plan_delete(kind.stored, kind.strategy, tree, options, now=self.clock.now())
        if not plan.remove and plan.tree is None:
            return Deleted(await self.document(kind, item), gone=False)
        value = encode(kind.stored, tree)
        if call.dry_run:
            return Deleted(Document(value, item.revision, kind.prefix), gone=plan.remove)
        if plan.remove:
            revision = await self._remove(kind, item, tree)
            return Deleted(Document(item.value, revision, kind.prefix), gone=True)
        document = await self._put(kind, item.key, value, expect=item.revision)
        await rules.after_mark(tree)
        return Deleted(document, gone=False)

    async def delete_collection(
        self, kind: Kind, selection: Selection, listing: ListOptions, options: DeleteOptions, call: Call
    ) -> Page:
        """Delete what `selection` chooses; the page holds what that was."""
        page = await self.list(kind, selection, listing)
        for record in page.records:
            try:
                await self.delete(kind, record.namespace, record.name, options, call)
            except NotFound:
                continue  # gone already, which is what was asked
        return page

    # The store's edge

    async def write(self, kind: Kind, item: Item, tree: Tree, call: Call) -> Document:
        """Store `tree` in the place of `item` as it is, past admission and validation. Raises Raced."""
        value = encode(kind.stored, tree)
        if call.dry_run:
            return Document(value, item.revision, kind.prefix)
        return await self._put(kind, item.key, value, expect=item.revision)

    async def _put(self, kind: Kind, key: str, value: bytes, *, expect: int) -> Document:
        if len(value) > MOST_STORED:
            raise _too_large()
        custom, kept = kind.custom, value
        if custom is not None and not custom.is_storage:
            kept = encode(custom.storage.resource, await self.converter.to_storage(custom, decode(value)))
        try:
            item = await self.store.put(key, kept, expect=Revision(expect))
        except KeyConflict as error:
            raise Raced from error
        except StoreError as error:
            raise store_failure(error) from error
        return Document(value, item.revision, kind.prefix)

    async def _remove(self, kind: Kind, item: Item, tree: Tree) -> int:
        try:
            event = await self.store.delete(item.key, expect=item.revision)
        except KeyConflict as error:
            raise Raced from error
        except StoreError as error:
            raise store_failure(error) from error
        await self.rules_of(kind.stored.kind).after_delete(tree)
        return event.revision

    async def put(self, kind: Kind, key: str, value: bytes, *, expect: int) -> Document:
        """Store an object's bytes as they are, past admission and validation. Raises Raced."""
        return await self._put(kind, key, value, expect=expect)

    async def put_all(self, kind: Kind, puts: Sequence[Put]) -> list[Document | Raced | ApiError]:
        """What `put` of each gives or raises, by one call of the store. Not for kinds that users brought."""
        fitting = [put for put in puts if len(put.value) <= MOST_STORED]
        try:
            stored = iter(await self.store.put_all(fitting))
        except StoreError as error:
            return [store_failure(error)] * len(puts)
        outcomes: list[Document | Raced | ApiError] = []
        for put in puts:
            item = next(stored) if len(put.value) <= MOST_STORED else None
            if item is None:
                outcomes.append(_too_large())
            elif isinstance(item, KeyConflict):
                outcomes.append(Raced())
            else:
                outcomes.append(Document(put.value, item.revision, kind.prefix))
        return outcomes

    def new_name(self, base: str) -> str:
        """A name that begins like `base`."""
        return self._generate_name(base)

    def _generate_name(self, base: str) -> str:
        return base[:LONGEST_BASE] + "".join(self._random.choices(SUFFIX_ALPHABET, k=5))


def _without_owners(tree: Tree) -> Tree:
    return {**tree, "metadata": {name: value for name, value in tree["metadata"].items() if name != "managedFields"}}


def _nothing(kind: Kind) -> Tree:
    """What an object is applied to that is not there yet."""
    return {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, "metadata": {}}


def _is_outdated(kind: Kind, item: Item) -> bool:
    """Whether an object is kept in another version than its kind is now."""
    custom = kind.custom
    return custom is not None and not item.value.startswith(prefix_of(custom.storage.resource))


def _too_large() -> TooLarge:
    return TooLarge(f"Request entity too large: limit of a stored object is {MOST_STORED}")


def store_failure(error: StoreError) -> ApiError:
    """The store could not write: nothing was changed, and a later try may go better."""
    return ServiceUnavailable(f"the store cannot write now: {error}", retry_after_s=1)


def _already_exists(kind: Kind, name: str, *, generated: bool) -> AlreadyExists:
    return AlreadyExists(
        f'{kind.resource.title} "{name}" already exists',
        details={"name": name, "group": kind.resource.group, "kind": kind.resource.plural},
        retry_after_s=1 if generated else None,
    )


def _version_needed(kind: Kind, name: str) -> ApiError:
    text = "Invalid value: 0x0: must be specified for an update"
    return invalid(kind.resource, name, [Cause("FieldValueInvalid", text, "metadata.resourceVersion")])
