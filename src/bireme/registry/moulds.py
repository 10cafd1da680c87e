"""New pods that are like the last one: what a body became is kept, and the next with that very body is cast from it.

Controllers make pods of one template by the thousand, in the same bytes each time. Types, defaults, owners of fields,
rules and most of admission can then only say what they said before; what differs is name, uid and time. A mould
holds the bytes between those. It serves one body of one user, as long as nothing was written of the kinds that the
admission plugins looked at (`Plugin.looks_at`); plugins that want to be asked each time, such as quotas, are. The
outcome is the same to the byte as that of `Registry.create`, by a property test.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bireme.aio.side_by_side import side_by_side
from bireme.api.errors import ApiError
from bireme.api.times import rfc3339
from bireme.registry.admission.chain import Attributes, Place, Plugin
from bireme.registry.kinds import Kind
from bireme.registry.options import Call
from bireme.registry.record import Document, decode, encode
from bireme.registry.verbs import Raced, Registry
from bireme.store.interface import Put, Revision

Tree = dict[str, Any]
Cut = tuple[str, str, str]
"""What is one object's own: its name, its uid, the time of its making."""

MOST = 128
LARGEST = 16 << 10
GENERATED = b'"generateName"'
_NAME, _UID, _TIME = _MARKS = ("\x01name\x01", "\x01uid\x01", "\x01time\x01")


@dataclass(frozen=True, slots=True)
class Mould:
    """A stored object without what is its own; `order` says which of the three stands between two pieces."""

    base: str
    tree: Tree
    pieces: tuple[bytes, ...]
    order: tuple[int, ...]
    rests_on: tuple[tuple[str, int], ...]
    each_time: tuple[Plugin, ...]

    def value(self, own: Cut) -> bytes:
        """The bytes of an object."""
        texts = [text.encode() for text in own]
        parts = [self.pieces[0]]
        for which, piece in zip(self.order, self.pieces[1:], strict=True):
            parts += (texts[which], piece)
        return b"".join(parts)

    def made(self, own: Cut) -> Tree:
        """The tree of an object, which shares what all have in common: nobody may change it."""
        return _with(self.tree, own)


class Moulds:
    """The moulds of one registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[Hashable, Mould | bytes] = {}
        self._second: tuple[datetime | None, str] = (None, "")
        self.cast = 0

    def takes(self, kind: Kind, body: bytes, call: Call) -> bool:
        """Whether such a body is worth a mould: a pod that is to be named by the server."""
        return kind.is_a("Pod") and len(body) <= LARGEST and not call.dry_run and GENERATED in body

    async def create_all(
        self, kind: Kind, namespace: str, body: bytes, number: int, call: Call, read: Callable[[], Tree]
    ) -> list[Document | Exception]:
        """What so many calls of `create` come to; those that are cast and of which nobody is asked, by one write.

        The first two come one after the other: the mould is made of them.
        """
        place = self._place(kind, namespace, body, call)
        made: list[Document | Exception] = []
        while len(made) < min(number, 2) and not self._casts(kind, namespace, place, call):
            made += await side_by_side([self.create(kind, namespace, body, call, read)])
        if mould := self._casts(kind, namespace, place, call):
            cast = await self._cast_all(kind, namespace, mould, number - len(made))
            made += [each for each in cast if not isinstance(each, Raced)]  # a name is taken: another is found below
        rest = range(number - len(made))
        return made + await side_by_side(self.create(kind, namespace, body, call, read) for _ in rest)

    def _casts(self, kind: Kind, namespace: str, place: Hashable, call: Call) -> Mould | None:
        """The mould from which the next can be cast without asking anybody."""
        mould = self._known.get(place)
        if not isinstance(mould, Mould) or not self._holds(mould):
            return None
        attributes = Attributes("CREATE", kind, namespace, mould.base, mould.tree, None, call)
        return mould if all(plugin.passes(attributes) for plugin in mould.each_time) else None

    async def _cast_all(
        self, kind: Kind, namespace: str, mould: Mould, number: int
    ) -> list[Document | Raced | ApiError]:
        now = self._now()
        owns = [self._own(mould, now) for _ in range(number)]
        puts = [Put(kind.key(namespace, own[0]), mould.value(own), Revision(0)) for own in owns]
        made = await self._registry.put_all(kind, puts)
        self.cast += sum(isinstance(each, Document) for each in made)
        return made

    def _place(self, kind: Kind, namespace: str, body: bytes, call: Call) -> Hashable:
        return (kind, namespace, body, call.user, call.field_manager, call.field_validation)

    async def create(self, kind: Kind, namespace: str, body: bytes, call: Call, read: Callable[[], Tree]) -> Document:
        """As `Registry.create` of what `read` gives, which is the tree of `body`."""
        place = self._place(kind, namespace, body, call)
        known = self._known.get(place)
        if isinstance(known, Mould) and self._holds(known):
            try:
                return await self._cast(kind, namespace, known, call)
            except Raced:
                pass  # the name is taken: the long way finds another
        before = self._registry.store.revision
        tree = read()
        named = _is_named(tree)
        document = await self._registry.create(kind, namespace, tree, call)
        if call.warnings or named:
            return document
        if known is None and len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[place] = document.value
        if isinstance(known, bytes):
            mould = self._mould(kind, namespace, document, call, before=before)
            # A mould is made of the second object, and has to give the first one too.
            if mould is not None and mould.value(_own(decode(known))) == known:
                self._known[place] = mould
        return document

    def _holds(self, mould: Mould) -> bool:
        written = self._registry.store.written
        return all(written(prefix) == revision for prefix, revision in mould.rests_on)

    def _mould(self, kind: Kind, namespace: str, document: Document, call: Call, *, before: int) -> Mould | None:
        """What the next one is cast from; None where it may come out otherwise."""
        registry, tree = self._registry, decode(document.value)
        base = tree["metadata"].get("generateName") or ""
        attributes = Attributes("CREATE", kind, namespace, base, tree, None, call)
        looked = registry.admission.alike(attributes)
        if not base or looked is None or registry.has_rules(kind.stored.kind):
            return None
        rests_on = tuple((prefix, int(registry.store.written(prefix))) for prefix in self._prefixes(looked.places))
        if any(revision > before for _, revision in rests_on):
            return None  # somebody wrote meanwhile: it may have come about under another state
        mould = Mould(base, tree, *_cut(kind, tree), rests_on, looked.each_time)
        own = _own(tree)
        return mould if mould.value(own) == document.value and mould.made(own) == tree else None

    def _prefixes(self, places: Sequence[Place]) -> list[str]:
        return [self._registry.kind(*place).key_prefix for place in dict.fromkeys(places)]

    async def _cast(self, kind: Kind, namespace: str, mould: Mould, call: Call) -> Document:
        registry = self._registry
        own = self._own(mould, self._now())
        key = kind.key(namespace, own[0])
        attributes = None
        try:
            if mould.each_time:
                attributes = Attributes("CREATE", kind, namespace, mould.base, mould.made(own), None, call)
                for plugin in mould.each_time:
                    await plugin.validate(attributes)
            if registry.store.get(key) is not None:
                raise Raced
            document = await registry.put(kind, key, mould.value(own), expect=0)
        except BaseException as error:
            if attributes is not None and attributes.settle:
                await attributes.failed(error)
            raise
        if attributes is not None and attributes.settle:
            await attributes.settled(stands=True)
        self.cast += 1
        return document

    def _own(self, mould: Mould, now: str) -> Cut:
        """What the next object has for itself."""
        return self._registry.new_name(mould.base), self._registry.new_uid(), now

    def _now(self) -> str:
        now = self._registry.clock.now().replace(microsecond=0)
        if now != self._second[0]:
            self._second = (now, rfc3339(now))
        return self._second[1]


def _is_named(tree: Tree) -> bool:
    """Whether the body says its name itself, whatever else it says."""
    metadata = tree.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("name"))


def _own(tree: Tree) -> Cut:
    metadata = tree["metadata"]
    return metadata["name"], metadata["uid"], metadata["creationTimestamp"]


def _cut(kind: Kind, tree: Tree) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """The bytes of `tree` cut where its own things stand, and which stands where."""
    text = encode(kind.stored, _with(tree, _MARKS))
    marks = [mark.encode("ascii").replace(b"\x01", b"\\u0001") for mark in _MARKS]
    places: list[tuple[int, int]] = []
    for which, mark in enumerate(marks):
        at = text.find(mark)
        while at >= 0:
            places.append((at, which))
            at = text.find(mark, at + len(mark))
    pieces, begin = [], 0
    for at, which in sorted(places):
        pieces.append(text[begin:at])
        begin = at + len(marks[which])
    return (*pieces, text[begin:]), tuple(which for _, which in sorted(places))


def _with(tree: Tree, own: Cut) -> Tree:
    name, uid, time = own
    metadata = {**tree["metadata"], "name": name, "uid": uid, "creationTimestamp": time}
    if "managedFields" in metadata:
        metadata["managedFields"] = [{**owner, "time": time} for owner in metadata["managedFields"]]
    return {**tree, "metadata": metadata}
