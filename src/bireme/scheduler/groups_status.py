"""What a PodGroup's status says: the conditions `PodGroupInitiallyScheduled` and `DisruptionTarget`.

The first is True for good once enough members had nodes, and False with the reason while they have none; the second
tells that the group is evicted as a whole. Groups of the custom kind have a controller of their own for that. Source:
the field's description in `scheduling.k8s.io`.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from bireme.aio.clock import Clock
from bireme.api.errors import ApiError, Conflict, NotFound
from bireme.api.kinds import core
from bireme.api.kinds import scheduling_v1alpha3 as scheduling
from bireme.api.times import rfc3339
from bireme.client.client import Client, Patch
from bireme.client.informer import Informer, Key
from bireme.scheduler.acting import DISRUPTED, PREEMPTED
from bireme.scheduler.groups_kinds import GroupKey, group_of

log = structlog.get_logger(__name__)
SCHEDULED = "PodGroupInitiallyScheduled"


@dataclass(frozen=True, slots=True)
class Said:
    """What is to be said of a group: an empty reason for that it was placed."""

    message: str = ""
    disrupted: bool = False

    @property
    def type(self) -> str:
        """Which condition it is."""
        return DISRUPTED if self.disrupted else SCHEDULED

    def condition(self) -> dict[str, Any]:
        """As a condition, but for its time."""
        if self.disrupted:
            return {"type": DISRUPTED, "status": "True", "reason": PREEMPTED, "message": self.message}
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
        self._waiting: dict[tuple[GroupKey, str], Said] = {}
        self._stirred = asyncio.Event()

    def say(self, key: GroupKey, message: str = "") -> None:
        """The group was placed, or why it was not."""
        if key.api == scheduling.PodGroup.__gvk__[0]:
            self._have(key, Said(message))

    def watch(self, pod: core.Pod) -> None:
        """A pod changed: if it is evicted for another one, so may be its whole group."""
        told = next((each for each in pod.status.conditions if each.type == DISRUPTED), None)
        if told is None or (told.status, told.reason) != ("True", PREEMPTED) or (key := group_of(pod)) is None:
            return
        group = self._groups.get(Key(key.namespace, key.name)) if key.api == scheduling.PodGroup.__gvk__[0] else None
        if (
            group is not None
            and group.spec.disruption_mode is not None
            and group.spec.disruption_mode.all is not None
        ):
            self._have(key, Said(told.message, disrupted=True))

    def _have(self, key: GroupKey, said: Said) -> None:
        self._waiting[key, said.type] = said
        self._stirred.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            while self._waiting:
                (key, _), said = self._waiting.popitem()
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
        old = next((each for each in conditions if each.type == said.type), None)
        new = said.condition()
        if old is not None and (old.status == "True" or (old.reason, old.message) == (new["reason"], new["message"])):
            return
        changed = old is None or old.status != new["status"]
        new["lastTransitionTime"] = rfc3339(self._clock.now()) if changed or old is None else old.last_transition_time
        new["observedGeneration"] = group.metadata.generation
        others = [msgspec.to_builtins(each) for each in conditions if each.type != said.type]
        await self._client.patch(
            scheduling.PodGroup,
            key.name,
            {"metadata": {"uid": group.metadata.uid}, "status": {"conditions": [*others, new]}},
            namespace=key.namespace,
            subresource="status",
            how=Patch.MERGE,
        )
