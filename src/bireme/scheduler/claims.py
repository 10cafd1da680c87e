"""DynamicResources: a pod goes where devices for all its claims can be had, and has them before it is bound.

Which devices those are is found by `claims_allocator.py`. Pods whose claims ask for the same share an answer for each
node (`claims_columns.py`). Extended resources that are devices are one claim more (`claims_extended.py`). Left to
others: making claims from templates and taking back what nobody uses (`controllers/resource_claims.py`), and what
drivers do on nodes.

Not done: attributes that are derived; amounts of a node that devices use.
Source: the Kubernetes documentation on dynamic resource allocation; reasons as the original words them.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from bireme.aio.clock import Clock
from bireme.api.cel.errors import CelError
from bireme.api.errors import Conflict, NotFound
from bireme.api.kinds import core, resource
from bireme.client.client import Client
from bireme.client.informer import Informer, Key, key_of
from bireme.ledger.columns import Columns
from bireme.scheduler.claims_allocator import Pick, Wanted, allocate
from bireme.scheduler.claims_binding import BINDING_TIMEOUT_S, BindingConditions, binds
from bireme.scheduler.claims_cache import Devices
from bireme.scheduler.claims_columns import NO_DEVICES, ClaimColumns
from bireme.scheduler.claims_extended import ExtendedResources, claim_for, extended_of
from bireme.scheduler.claims_of_pods import ClaimsOfPods, is_used_by_none_but
from bireme.scheduler.claims_return import ClaimsReturn
from bireme.scheduler.claims_spec import Unanswerable, shape_of, wanted_of
from bireme.scheduler.claims_special import Special, SpecialClaims
from bireme.scheduler.claims_writing import FINALIZER, ClaimWriter
from bireme.scheduler.interface import NOTHING, Helps, Lack, Mask, NotReady, Stop, anybody
from bireme.scheduler.node_sets import Names, NodeSets
from bireme.scheduler.nodes import Flags
from bireme.scheduler.profile import Score
from bireme.scheduler.volumes import stop

ELSEWHERE = "resourceclaim not available on the node"


@dataclass(slots=True)
class Held:
    """What a pod on its way is to get: picks by claim; and the claims that the API knows to be its own."""

    node: str
    picks: dict[Key, tuple[str, list[Pick]]]
    written: list[Key] = field(default_factory=list)
    special: Special | None = None


class DynamicResources:
    """The rule. See the module, and `interface.Rule`. `run` takes back what was written for pods that failed."""

    def __init__(
        self,
        client: Client,
        *,
        devices: Devices,
        nodes: NodeSets,
        columns: Columns,
        pods: Informer[core.Pod],
        clock: Clock,
        uid: Callable[[], str],
        binding_timeout_s: float = BINDING_TIMEOUT_S,
        told: Callable[[Lack, Helps], None] = lambda lack, helps: None,
    ) -> None:
        self._binding = BindingConditions(devices.claims, clock, timeout_s=binding_timeout_s)
        self._devices, self._nodes = devices, nodes
        self._writer = ClaimWriter(client, devices, clock=clock, uid=uid)
        self._columns = ClaimColumns(devices, nodes, clock)
        self._claims = ClaimsOfPods(devices)
        self._special = SpecialClaims(client, devices, self._writer)
        self._extended = ExtendedResources(devices.classes, columns, lambda: told(Lack.AMOUNTS, anybody))
        self._taken: dict[str, dict[str, int]] = {}
        self._held: dict[str, Held] = {}
        self._return = ClaimsReturn(self._writer, clock, is_held=self._held.__contains__)
        pods.on_change(self._pod_changed)
        devices.classes.on_change(lambda old, new: self._columns.forget())

    async def run(self) -> None:
        """Take back what was written for pods that went nowhere, until cancelled."""
        await self._return.run()

    def concerns(self, pod: core.Pod) -> bool:
        """Whether the pod has claims to devices, or asks for resources that may be devices."""
        return bool(pod.spec.resource_claims) or self._extended.asks(pod)

    def look(self, pod: core.Pod) -> Sequence[Mask] | Stop:
        """The nodes where the pod's claims are, or can be allocated together."""
        total, asked = len(self._nodes.everyone()), self._extended.asked(pod)
        try:
            self._check_special(pod)
            claims = self._claims.of(pod)
            waiting = [claim for claim in claims if claim.status.allocation is None]
            self._claims.check(pod, claims)
            wanted = [wanted_of(claim, self._devices.device_class) for claim in waiting]
        except Unanswerable as error:
            return stop(total, str(error), Lack.DEVICES)
        found = []
        for claim in claims:
            selector = claim.status.allocation.node_selector if claim.status.allocation is not None else None
            if selector is not None:
                found.append(Mask(self._nodes.mask(self._nodes.selected(selector)), _elsewhere, Lack.DEVICES))
        shapes = tuple(map(shape_of, waiting))
        if asked:
            found += self._extended.enough(asked)
            found += self._by_variant(pod, asked, shapes, wanted)
        elif waiting:
            column = self._columns.of(shapes, wanted)
            if not column.everywhere or column.points:
                found.append(self._columns.mask(column))
        return found

    def _by_variant(
        self, pod: core.Pod, asked: Iterable[str], shapes: tuple[bytes, ...], wanted: Sequence[Wanted]
    ) -> Sequence[Mask]:
        """The nodes where all can be allocated, which is more on some than on others."""
        parts: list[tuple[Flags, Mask]] = []
        for variant in self._extended.variants(pod, asked):
            more, special = list(wanted), claim_for(pod, variant.requests)
            if variant.requests:
                more.append(wanted_of(special, self._devices.device_class))
            if more:
                own = (*shapes, shape_of(special)) if variant.requests else shapes
                parts.append((variant.rows, self._columns.mask(self._columns.of(own, more))))
        size = len(parts[0][0]) if parts else 0
        refused, score = np.zeros(size, dtype=bool), np.zeros(size)
        for rows, mask in parts:
            refused |= rows & ~mask.allowed
            if mask.score is not None:
                score[rows] = mask.score[rows]
        if not refused.any() and not score.any():
            return ()

        def reason(row: int) -> str:
            return next((mask.reason(row) for rows, mask in parts if rows[row]), NO_DEVICES)

        liked = score if score.any() else None
        return (Mask(~refused, reason, Lack.DEVICES, curable=True, score=liked, preference=Score.DEVICES),)

    def reserve(self, pod: core.Pod, node: str) -> bool:
        """Decide on the devices."""
        try:
            claims = self._claims.of(pod)
            self._claims.check(pod, claims)
            self._check_special(pod)
            special = self._special_on(pod, node)
            waiting = [claim for claim in claims if claim.status.allocation is None]
            asking = waiting if special is None else [*waiting, special.claim]
            picks = self._allocate([wanted_of(claim, self._devices.device_class) for claim in asking], node)
        except (Unanswerable, CelError):
            return False
        if picks is None or self._extended.is_short(pod, node):
            return False
        if not all(node in self._reach(claim) for claim in claims):
            return False
        held = Held(node, {}, special=special)
        for claim, several in zip(waiting, picks, strict=False):
            held.picks[key_of(claim)] = (claim.metadata.uid, several)
            self._devices.decide(claim.metadata.uid, several)
        if special is not None:
            special.picks = picks[-1]
            self._special.decide(pod, special)
        self._held[pod.metadata.uid] = held
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        """Write allocations, and the pod's name on its claims; wait until the devices are ready."""
        held = self._held.get(pod.metadata.uid)
        if held is None:
            raise NotReady(f'nothing is reserved for pod "{pod.metadata.name}"')
        binding: dict[Key, str] = {}
        for claim in self._claims.of(pod, fault=NotReady):
            key = key_of(claim)
            _, picks = held.picks.get(key, ("", None))
            if self._held.get(pod.metadata.uid) is not held:  # meanwhile its devices may be another's
                raise NotReady(f'pod "{pod.metadata.name}" is gone')
            held.written.append(key)
            try:
                await self._writer.write(claim, pod, picks, node=node)
            except (Conflict, NotFound) as error:
                raise NotReady(str(error)) from error
            if binds(claim, picks):
                binding[key] = claim.metadata.uid
        if held.special is not None:
            await self._prepare_special(pod, held, held.special, binding)
        if binding:
            await self._binding.wait(binding)

    async def _prepare_special(self, pod: core.Pod, held: Held, special: Special, binding: dict[Key, str]) -> None:
        key = await self._special.make(pod, special)
        if self._held.get(pod.metadata.uid) is not held:
            self._return.regret(key, pod.metadata.uid, special=True)
            raise NotReady(f'pod "{pod.metadata.name}" is gone')
        try:
            await self._special.write(pod, special, node=held.node)
        except (Conflict, NotFound) as error:
            raise NotReady(str(error)) from error
        assert special.made is not None
        if binds(special.made, special.picks):
            await self._binding.appear(key)
            binding[key] = special.made.metadata.uid

    def release(self, pod: core.Pod) -> None:
        """Let go of the devices; what was written is taken back by `run`."""
        held = self._held.pop(pod.metadata.uid, None)
        if held is None:
            return
        if held.special is not None and held.special.made is not None:
            self._return.regret(key_of(held.special.made), pod.metadata.uid, special=True)
        elif held.special is not None:
            self._special.undo(pod)
        for key in held.written:
            self._return.regret(key, pod.metadata.uid)
        for key, (uid, _) in held.picks.items():
            if key not in held.written:  # of the others nobody knows yet whether the API has them
                self._devices.undo(uid)

    def refused(self, pod: core.Pod) -> Lack:
        """No node was found: claims that tie the pod to nodes, and that nobody else uses, are allocated anew."""
        if pod.spec.resource_claims and pod.metadata.uid not in self._held:
            with suppress(Unanswerable):
                for claim in self._claims.of(pod):
                    allocation = claim.status.allocation
                    tied = allocation is not None and allocation.node_selector is not None
                    held = FINALIZER in claim.metadata.finalizers
                    if tied and held and is_used_by_none_but(claim, pod.metadata.uid):
                        self._return.regret(key_of(claim), pod.metadata.uid)
        return NOTHING

    def would_allow(self, pod: core.Pod, node: str, gone: Collection[str]) -> bool:
        """Whether devices could be had on the node once the claims that only these pods use are given back."""
        try:
            claims = self._claims.of(pod)
            self._claims.check(pod, claims)
            wanted = [
                wanted_of(claim, self._devices.device_class) for claim in claims if claim.status.allocation is None
            ]
            if (special := self._special_on(pod, node)) is not None:
                wanted.append(wanted_of(special.claim, self._devices.device_class))
            left = [self._taken[uid] for uid in gone if uid in self._taken]
            if self._extended.is_short(pod, node, left) or not all(node in self._reach(claim) for claim in claims):
                return False
            with self._devices.without(gone):
                return self._allocate(wanted, node) is not None
        except (Unanswerable, CelError):
            return False

    def _special_on(self, pod: core.Pod, node: str) -> Special | None:
        """The claim for what the node has not itself of the pod's extended resources."""
        requests = self._extended.requests_on(pod, node) if self._extended.asks(pod) else ()
        return Special(claim_for(pod, requests)) if requests else None

    def _check_special(self, pod: core.Pod) -> None:
        """A special claim that is there already was made for an attempt that failed: it goes first."""
        left = self._devices.special_of(pod.metadata.uid)
        if left is not None:
            self._return.regret(key_of(left), pod.metadata.uid, special=True)
            raise Unanswerable("cannot schedule extended resource claim")

    def _reach(self, claim: resource.ResourceClaim) -> Names:
        allocation = claim.status.allocation
        if allocation is None or allocation.node_selector is None:
            return self._nodes.everyone()
        return self._nodes.selected(allocation.node_selector)

    def _allocate(self, wanted: Sequence[Wanted], node: str) -> list[list[Pick]] | None:
        return allocate(wanted, self._devices.on(node), self._devices.taken, self._devices.pools)

    def _pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self.release(old)
            self._taken.pop(old.metadata.uid, None)
        if new is not None and new.spec.node_name:
            self._held.pop(new.metadata.uid, None)
            if new.metadata.uid not in self._taken and (taken := extended_of(new)):
                self._taken[new.metadata.uid] = taken


def _elsewhere(row: int) -> str:
    return ELSEWHERE
