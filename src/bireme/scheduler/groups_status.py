"""What a PodGroup's status says of its scheduling: the condition `PodGroupInitiallyScheduled`.

It is True for good once enough members had nodes, and False with the reason while they have none. Groups of the
custom kind have a controller of their own for that. Source: the field's description in `scheduling.k8s.io`.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from bireme.aio.clock import Clock
from bireme.api.errors import ApiError, Conflict, NotFound
from bireme.api.kinds import scheduling_v1alpha3 as scheduling
from bireme.api.times import rfc3339
from bireme.client.client import Client, Patch
from bireme.client.informer import Informer, Key
from bireme.scheduler.groups_kinds import GroupKey

log = structlog.get_logger(__name__)
SCHEDULED = "PodGroupInitiallyScheduled"


@dataclass(frozen=True, slots=True)
class Said:
    """What is to be said of a group: an empty reason for that it was placed."""

    message: str = ""

    def condition(self) -> dict[str, Any]:
        """As a condition, but for its time."""
        if not self.message:
            return {
                "type": SCHEDULED,
                "status": "True",
                "reason": "Scheduled",
                "message": "All required pods have nodes",
            }
        return {"type": SCHEDULED, "status": "False", "reason": "Unschedulable", "message": self.message}


class GroupStatus:
    """Writes the last of what was said of each group. Keep `run` running."""

    def __init__(self, client: Client, groups: Informer[scheduling.PodGroup], clock: Clock) -> None:
        self._client, self._groups, self._clock = client, groups, clock
        self._waiting: dict[GroupKey, Said] = {}
        self._stirred = asyncio.Event()

    def say(self, key: GroupKey, message: str = "") -> None:
        """The group was placed, or why it was not."""
        if key.api == scheduling.PodGroup.__gvk__[0]:
            self._waiting[key] = Said(message)
            self._stirred.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            while self._waiting:
                key, said = self._waiting.popitem()
                try:
                    await self._write(key, said)
                except (NotFound, Conflict):
                    continue
                except ApiError as error:
                    log.warning("status of a pod group not written", group=str(key), error=error.message)

    async def _write(self, key: GroupKey, said: Said) -> None:
        group = self._groups.get(Key(key.namespace, key.name))
        if group is None:
            return
        conditions = group.status.conditions
        old = next((each for each in conditions if each.type == SCHEDULED), None)
        new = said.condition()
        if old is not None and (old.status == "True" or (old.reason, old.message) == (new["reason"], new["message"])):
            return
        changed = old is None or old.status != new["status"]
        new["lastTransitionTime"] = rfc3339(self._clock.now()) if changed or old is None else old.last_transition_time
        new["observedGeneration"] = group.metadata.generation
        others = [msgspec.to_builtins(each) for each in conditions if each.type != SCHEDULED]
        await self._client.patch(
            scheduling.PodGroup,
            key.name,
            {"metadata": {"uid": group.metadata.uid}, "status": {"conditions": [*others, new]}},
            namespace=key.namespace,
            subresource="status",
            how=Patch.MERGE,
        )
