"""Keep the kernel's forwarding equal to the Services and their endpoints.

Changes are gathered for a moment, then made in one transaction; if nothing that matters changed, nothing is
done. Every few seconds it is checked that the rules are still there. Source: the Kubernetes documentation.
"""

import asyncio
from dataclasses import dataclass

import structlog

from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any
from bireme.api.kinds import core, discovery
from bireme.api.kinds.meta import Object
from bireme.client.informer import Informer
from bireme.network import nftables
from bireme.network.ruleset import NodeNetwork, Ruleset, render
from bireme.network.services import Plan, plan, stale_flows
from bireme.runtime.host_changes import HostChanges

log = structlog.get_logger(__name__)

GATHER_S = 0.05
CHECK_S = 5.0


@dataclass(frozen=True, slots=True)
class ProxyStatistics:
    """Transactions made, repairs of rules that someone removed, and forwards in force."""

    applied: int
    repaired: int
    forwards: int


class ServiceProxy:
    """The service proxy of one node."""

    def __init__(
        self,
        *,
        services: Informer[core.Service],
        slices: Informer[discovery.EndpointSlice],
        pods: Informer[core.Pod],
        node: str,
        network: NodeNetwork,
        changes: HostChanges,
        clock: Clock,
    ) -> None:
        self._services, self._slices, self._pods = services, slices, pods
        self._node, self._network, self._changes, self._clock = node, network, changes, clock
        self._dirty = asyncio.Event()
        self._plan = Plan()
        self._ruleset: Ruleset | None = None
        self._applied = self._repaired = 0
        for informer in (services, slices, pods):
            informer.on_change(self._changed)

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        for informer in (self._services, self._slices, self._pods):
            await informer.wait_synced()
        self._changes.record("nft-table", f"ip {self._network.table}")
        await self._sync()
        while True:
            await wait_any(self._dirty.wait(), self._clock.sleep(CHECK_S))
            if self._dirty.is_set():
                await self._clock.sleep(GATHER_S)
                self._dirty.clear()
            elif not await nftables.has_chain(self._network.table, "prerouting"):
                log.warning("forwarding rules were removed by someone else", table=self._network.table)
                self._repaired += 1
                self._ruleset = None
            await self._sync()

    def statistics(self) -> ProxyStatistics:
        return ProxyStatistics(self._applied, self._repaired, len(self._plan.forwards))

    async def _sync(self) -> None:
        fresh = plan(self._services.items(), self._slices.items(), self._pods.items(), node=self._node)
        if fresh == self._plan and self._ruleset is not None:
            return
        ruleset = render(fresh, self._network, known=self._ruleset)
        try:
            await nftables.apply(ruleset.script)
        except nftables.NftError as error:
            if self._ruleset is None:
                raise
            log.warning("nft refused an update; starting the table anew", error=str(error))
            self._ruleset = None
            await self._sync()
            return
        # What was forwarded before this process began is not known, and goes on as it is.
        stale = stale_flows(self._plan, fresh) if self._applied else ()
        self._plan, self._ruleset = fresh, ruleset
        self._applied += 1
        await nftables.forget_flows(sorted(stale))

    def _changed(self, old: Object | None, new: Object | None) -> None:
        self._dirty.set()
