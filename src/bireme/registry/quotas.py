"""Resource quotas: charged before an object is written, given back when that fails, recounted when objects go.

All charges of a namespace stand in one line, so that two creates can never both take the last of something: who
gets the lock decides for everyone who waits by then and writes `status.used` once. A recount sums what the
store holds and what is charged and not written yet, so it neither forgets a write on its way nor counts it twice
(ADR 0017). Left to others: whether a charge fits (`quota_charges.py`), what an object uses (`quota_usage.py`).
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from bireme.api import amounts
from bireme.api.errors import ApiError
from bireme.registry.kinds import Kind
from bireme.registry.limited_resources import Limited, uncovered
from bireme.registry.options import Call
from bireme.registry.quota_charges import Charge, Line, decide
from bireme.registry.quota_usage import Usage, in_scope, title_of, usage_of
from bireme.registry.record import encode
from bireme.registry.verbs import Raced, Registry
from bireme.store.interface import Event

Tree = dict[str, Any]
QUOTAS = "/registry/core/resourcequotas/"
RESYNC_S = 300.0
# A recount of a large namespace takes this many times its own time before the next.
REST = 20
# Updates of these may change what they use without being charged; of pods only their end does.
_CHANGING = ("/registry/core/persistentvolumeclaims/", QUOTAS)
_PODS = "/registry/core/pods/"
_UNCOUNTED = ("/registry/core/events/", "/registry/events.k8s.io/events/")


class Quotas:
    """Charges writes to the quotas of their namespaces. Keep `run` running."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._kind = registry.kind("", "v1", "resourcequotas")
        self._lines: dict[str, Line] = {}
        self._dirty: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._own: set[bytes] = set()  # what was written here and not seen in the log yet
        self._charged: set[str] = set()

    def of(self, namespace: str) -> list[Tree]:
        """The quotas of a namespace."""
        return self._registry.every("", "v1", "resourcequotas", namespace)

    def measure(self, kind: Kind, namespace: str, tree: Tree, old: Tree | None, *, dry_run: bool) -> Charge:
        """The charge for writing `tree` in the place of `old`."""
        title, now = kind.stored.title, self._registry.clock.now()
        delta = usage_of(title, tree, now=now)
        if old is not None:
            delta = amounts.subtract(delta, usage_of(title, old, now=now))
        key = kind.key(namespace, tree["metadata"]["name"])
        item = self._registry.store.get(key)
        return Charge(title, tree, key, item.revision if item else 0, delta, dry_run)

    def uncovered(self, limited: Sequence[Limited], kind: Kind, namespace: str, tree: Tree) -> str:
        """Why `tree` may not be in the namespace for want of a quota; "" where it may."""
        title = kind.stored.title
        used = usage_of(title, tree, now=self._registry.clock.now())
        return uncovered(limited, title, tree, used, self.of(namespace))

    async def charge(self, namespace: str, charge: Charge) -> str:
        """Charge it to all quotas that cover it, or to none and say why."""
        if not any(of.nanos for of in charge.delta.values()):
            return ""
        line = self._lines.setdefault(namespace, Line())
        line.waiting.append(charge)
        try:
            async with line.lock:
                if not charge.decided:
                    await self._serve(namespace, line)
        except BaseException:
            self._mark(namespace)  # what was written of it, or will be, is not known
            if charge in line.waiting:
                line.waiting.remove(charge)
            elif charge.held:  # somebody else charged it while it waited
                await self.settle(namespace, charge, stands=False)
            raise
        return charge.refusal

    async def settle(self, namespace: str, charge: Charge, *, stands: bool | None) -> None:
        """The write that was charged stands, or failed and is given back; None: it may yet be written."""
        line = self._lines.get(namespace)
        if line is None:
            return
        if stands:
            line.land(charge)
            if not (charge.before or charge.shown):
                self._charged.add(charge.key)
            return
        try:
            async with line.lock:  # until then a recount counts it
                if stands is None:  # who waits must not be told too little
                    stands = charge.stands_in(await self._registry.store.settled(charge.key))
                line.land(charge)
                for name, held in charge.held.items():
                    # What would come free is not free before a recount has seen it.
                    less = {one: of for one, of in held.items() if of.nanos < 0} if stands else held
                    if less:
                        await self._correct(namespace, name, less)
        finally:
            charge.left = True  # he may go away even now
            self._mark(namespace)

    async def _serve(self, namespace: str, line: Line) -> None:
        """Decide everything that waits, and write it down."""
        while True:
            quotas = self.of(namespace)
            before = {quota["metadata"]["name"]: _used(quota) for quota in quotas}
            used = dict(before)
            batch = list(line.waiting)
            for charge in batch:
                tried = dict(used) if charge.dry_run else used
                charge.refusal = decide(charge, quotas, tried)
                if charge.dry_run:
                    charge.held = {}
            written: list[str] = []
            try:
                for quota in quotas:
                    name = quota["metadata"]["name"]
                    if used[name] != before[name]:
                        await self._write(quota, {**quota["status"], "used": amounts.write(used[name])})
                        written.append(name)
            except (Raced, ApiError) as error:
                for name in written:
                    await self._correct(namespace, name, amounts.subtract(used[name], before[name]))
                if isinstance(error, ApiError):
                    raise
                continue
            break
        left = [charge for charge in batch if charge not in line.waiting]
        for charge in batch:
            charge.decided = True
            if charge in left:
                continue
            line.waiting.remove(charge)
            if charge.held:
                line.flying.setdefault(charge.key, []).append(charge)
        for charge in left:  # who asked for it was cancelled meanwhile
            for name, held in charge.held.items():
                await self._correct(namespace, name, held)

    async def _correct(self, namespace: str, name: str, less: Usage) -> None:
        """Take `less` off what the quota says is used, if it is still there."""
        while True:
            quota = self._registry.find("", "v1", "resourcequotas", namespace, name)
            if quota is None:
                return
            used = _used(quota)
            left = amounts.subtract(used, {one: of for one, of in less.items() if one in used})
            try:
                await self._write(quota, {**(quota.get("status") or {}), "used": amounts.write(left)})
            except Raced:
                continue
            return

    async def _write(self, quota: Tree, status: Tree) -> None:
        metadata = quota["metadata"]
        item = self._registry.store.get(self._kind.key(metadata["namespace"], metadata["name"]))
        if item is None or str(item.revision) != metadata["resourceVersion"]:
            raise Raced
        tree = {**quota, "status": status}
        value = encode(self._kind.stored, tree)
        self._own.add(value)
        try:
            await self._registry.write(self._kind, item, tree, Call())
        except BaseException:
            self._own.discard(value)
            raise

    # Recounting

    async def run(self) -> None:
        """Follow the store and recount where something went; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="quotas: store")
            tasks.create_task(self._recount_dirty(), name="quotas: recount")
            tasks.create_task(self._resync(), name="quotas: resync")

    async def _resync(self) -> None:
        while True:
            for item in self._registry.store.range(QUOTAS):
                self._mark(namespace_of(item.key))
            await self._registry.clock.sleep(RESYNC_S)

    async def _follow(self) -> None:
        async for batch in self._registry.store.watch("/registry/", after=self._registry.store.revision):
            for event in batch:
                namespace = namespace_of(event.key)
                if namespace and self._tells(event, namespace):
                    self._mark(namespace)

    def _tells(self, event: Event, namespace: str) -> bool:
        """Whether the event may change what is used, beyond what was charged for it."""
        key = event.key
        if key.startswith(QUOTAS):
            own = event.value in self._own
            self._own.discard(event.value or b"")
            return not own
        if not self.of(namespace) or key.startswith(_UNCOUNTED):
            return False
        if event.value is None:
            if namespace in self._lines:
                self._lines[namespace].seen.pop(key, None)
            return True
        if event.previous is None:
            return not self._is_charged(key, namespace)
        if key.startswith(_PODS):
            return _has_ended(event.value) and not _has_ended(event.previous)
        return key.startswith(_CHANGING)

    def _is_charged(self, key: str, namespace: str) -> bool:
        """Whether a new object was charged: its writer may or may not know yet that it stands."""
        if key in self._charged:
            self._charged.discard(key)
            return True
        line = self._lines.get(namespace)
        flying = line.flying.get(key, ()) if line is not None else ()
        for charge in flying:
            charge.shown = True
        return bool(flying)

    def _mark(self, namespace: str) -> None:
        self._dirty[namespace] = None
        self._woken.set()

    async def _recount_dirty(self) -> None:
        clock = self._registry.clock
        while True:
            await self._woken.wait()
            self._woken.clear()
            began = clock.monotonic()
            while self._dirty:
                namespace = next(iter(self._dirty))
                del self._dirty[namespace]
                await self.recount(namespace)
            spent = clock.monotonic() - began
            if spent > 0.001:
                await clock.sleep(min(REST * spent, RESYNC_S))

    async def recount(self, namespace: str) -> None:
        """Have every quota of the namespace say what it limits, and what is used of that."""
        quotas = self.of(namespace)
        if not quotas:
            line = self._lines.get(namespace)
            if line is not None and not (line.waiting or line.flying or line.lock.locked()):
                del self._lines[namespace]
            return
        line = self._lines.setdefault(namespace, Line())
        async with line.lock:
            for charge in line.left():
                await self._registry.store.settled(charge.key)
                line.land(charge)
            for name in [quota["metadata"]["name"] for quota in quotas]:
                while (quota := self._registry.find("", "v1", "resourcequotas", namespace, name)) is not None:
                    status = self._status(namespace, line, quota)
                    try:
                        if not _same(quota.get("status") or {}, status):
                            await self._write(quota, status)
                    except Raced:
                        continue
                    break

    def _status(self, namespace: str, line: Line, quota: Tree) -> Tree:
        """What the quota's status should be at this moment; plain and at once, so that nothing slips in between."""
        hard: Tree = (quota.get("spec") or {}).get("hard") or {}
        kinds = {kind.resource.title: kind for kind in self._registry.kinds.all() if not kind.is_alias}
        used: Usage = {}
        for title in dict.fromkeys(map(title_of, hard)):
            kind = kinds.get(title)
            if kind is None:
                continue
            total: Usage = {}
            for tree_usage in self._usages(kind, namespace, line, quota):
                total = amounts.add(total, tree_usage)
            used |= {name: total.get(name, amounts.ZERO) for name in hard if title_of(name) == title}
        for charge in [one for flying in line.flying.values() for one in flying]:
            held = charge.held.get(quota["metadata"]["name"])
            if held is None:
                continue
            item = self._registry.store.get(charge.key)
            if (item.revision if item else 0) == charge.before:
                used = amounts.add(used, amounts.only(held, used))
            else:  # it is in the store by now, or will fail: either way it is counted
                del charge.held[quota["metadata"]["name"]]
        return {"hard": dict(hard), "used": amounts.write(used)}

    def _usages(self, kind: Kind, namespace: str, line: Line, quota: Tree) -> Iterable[Usage]:
        title, now = kind.resource.title, self._registry.clock.now()
        spec = quota.get("spec") or {}
        scoped = bool(spec.get("scopes") or spec.get("scopeSelector"))
        for item in self._registry.store.range(f"{kind.key_prefix}{namespace}/"):
            known = line.seen.get(item.key)
            if known is not None and known[0] == item.revision and not scoped:
                yield known[1]
                continue
            tree = self._registry.tree_of(kind, item)
            used = usage_of(title, tree, now=now)
            if "deletionTimestamp" not in tree["metadata"]:  # whether it counts may change with time
                line.seen[item.key] = (item.revision, used)
            if not scoped or in_scope(title, tree, quota):
                yield used


def namespace_of(key: str) -> str:
    """The namespace in a key of the store; "" where the kind has none."""
    parts = key.split("/", 5)
    return parts[4] if len(parts) == 6 else ""


def _used(quota: Tree) -> Usage:
    return amounts.read((quota.get("status") or {}).get("used"))


def _has_ended(value: bytes) -> bool:
    return b'"phase":"Succeeded"' in value or b'"phase":"Failed"' in value


def _same(old: Tree, new: Tree) -> bool:
    return all(_nanos(old.get(part)) == _nanos(new[part]) for part in ("hard", "used"))


def _nanos(said: Tree | None) -> dict[str, int]:
    return {name: of.nanos for name, of in amounts.read(said).items()}
