"""The objects that the scheduler follows."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bireme.aio.clock import Clock
from bireme.api.kinds import apps, core, policy
from bireme.client.client import Client
from bireme.client.informer import Informer


@dataclass(frozen=True, slots=True)
class Caches:
    """One informer a kind. Rules bring their own."""

    pods: Informer[core.Pod]
    nodes: Informer[core.Node]
    namespaces: Informer[core.Namespace]
    budgets: Informer[policy.PodDisruptionBudget]
    services: Informer[core.Service]
    replica_sets: Informer[apps.ReplicaSet]
    stateful_sets: Informer[apps.StatefulSet]
    replication_controllers: Informer[core.ReplicationController]

    @staticmethod
    def of(client: Client, *, clock: Clock) -> "Caches":
        """Informers that ask this client."""
        return Caches(
            pods=Informer(client, core.Pod, clock=clock),
            nodes=Informer(client, core.Node, clock=clock),
            namespaces=Informer(client, core.Namespace, clock=clock),
            budgets=Informer(client, policy.PodDisruptionBudget, clock=clock),
            services=Informer(client, core.Service, clock=clock),
            replica_sets=Informer(client, apps.ReplicaSet, clock=clock),
            stateful_sets=Informer(client, apps.StatefulSet, clock=clock),
            replication_controllers=Informer(client, core.ReplicationController, clock=clock),
        )

    def __iter__(self) -> Iterator[Informer[Any]]:
        return iter(
            (
                self.nodes,
                self.namespaces,
                self.budgets,
                self.services,
                self.replica_sets,
                self.stateful_sets,
                self.replication_controllers,
                self.pods,
            )
        )

    async def wait_synced(self) -> None:
        """Return once every first list has come."""
        for informer in self:
            await informer.wait_synced()

    async def run(self) -> None:
        """Follow them until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for informer in self:
                tasks.create_task(informer.run(), name=f"scheduler: {informer.kind.__name__}s")
