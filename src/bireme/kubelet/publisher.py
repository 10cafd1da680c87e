"""Pod statuses to the API: the newest of each pod, a few at a time, so that no worker waits for the server."""

import asyncio
from typing import Any

import msgspec
import structlog

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock
from bireme.aio.workqueue import WorkQueue
from bireme.api.errors import ApiError, Conflict, NotFound
from bireme.api.kinds import core
from bireme.client.client import Client, Patch

log = structlog.get_logger(__name__)

SENDERS = 4


class Publisher:
    """Sends statuses; `set` returns at once, `flush` once the server has what was set."""

    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client = client
        self._queue: WorkQueue[str] = WorkQueue(clock, backoff=Backoff(initial_s=0.2, limit_s=15.0))
        self._wanted: dict[str, tuple[core.Pod, core.PodStatus]] = {}
        self._sent: dict[str, tuple[int, core.PodStatus]] = {}
        self._flushed: dict[str, list[asyncio.Event]] = {}

    def set(self, pod: core.Pod, status: core.PodStatus) -> None:
        """Have `status` shown as the status of `pod`, unless it is already."""
        uid = pod.metadata.uid
        self._wanted[uid] = (pod, status)
        if self._shown(pod) != status:
            self._queue.add(uid)

    def _shown(self, pod: core.Pod) -> core.PodStatus:
        """What the API shows, as far as is known: what was sent last, or what `pod` brought back since."""
        version, status = self._sent.get(pod.metadata.uid, (0, pod.status))
        return pod.status if _version(pod) >= version else status

    def current(self, pod: core.Pod) -> core.PodStatus:
        """The newest status known of a pod, sent or not."""
        wanted = self._wanted.get(pod.metadata.uid)
        return wanted[1] if wanted else pod.status

    async def flush(self, pod: core.Pod) -> None:
        """Return once the newest status of `pod` has been sent, or the pod is gone."""
        uid = pod.metadata.uid
        if uid not in self._wanted or self._shown(pod) == self._wanted[uid][1]:
            return
        done = asyncio.Event()
        self._flushed.setdefault(uid, []).append(done)
        self._queue.add(uid)
        await done.wait()

    def forget(self, pod_uid: str) -> None:
        """The pod is gone; nothing more is sent for it."""
        self._wanted.pop(pod_uid, None)
        self._sent.pop(pod_uid, None)
        self._tell_flushed(pod_uid)

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue.run(), name="statuses: delays")
            for number in range(SENDERS):
                tasks.create_task(self._work(), name=f"statuses: sender {number}")

    async def _work(self) -> None:
        while True:
            uid = await self._queue.take()
            try:
                await self._send(uid)
                self._queue.forget(uid)
            except (NotFound, Conflict):
                # Deleted, or replaced by another of the same name: its worker will hear of that.
                wanted = self._wanted.get(uid)
                if wanted is not None:
                    self._sent[uid] = (_version(wanted[0]) + 1, wanted[1])
                self._tell_flushed(uid)
            except ApiError as error:
                delay = self._queue.retry(uid)
                log.info("status not sent", uid=uid, error=str(error), retry_s=delay)
            finally:
                self._queue.done(uid)

    async def _send(self, uid: str) -> None:
        wanted = self._wanted.get(uid)
        if wanted is None:
            return
        pod, status = wanted
        shown, version = self._shown(pod), _version(pod)
        if shown != status:
            meta = pod.metadata
            body = {"metadata": {"uid": uid}, "status": status_patch(shown, status)}
            answer = await self._client.patch(
                core.Pod, meta.name, body, namespace=meta.namespace, subresource="status", how=Patch.STRATEGIC
            )
            version = _version(answer)
        if uid in self._wanted:
            self._sent[uid] = (version, status)
            if self._wanted[uid][1] is status:
                self._tell_flushed(uid)
            else:
                self._queue.add(uid)

    def _tell_flushed(self, uid: str) -> None:
        for done in self._flushed.pop(uid, []):
            done.set()


def _version(pod: core.Pod) -> int:
    text = pod.metadata.resource_version
    return int(text) if text.isdecimal() else 0


def status_patch(shown: core.PodStatus, status: core.PodStatus) -> dict[str, Any]:
    """A strategic merge patch that makes `shown` into `status`, and leaves others' conditions alone."""
    before, after = msgspec.to_builtins(shown), msgspec.to_builtins(status)
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    patch.update({name: content for name, content in after.items() if before.get(name) != content})
    told = {condition["type"]: condition for condition in before.get("conditions", ())}
    for condition in patch.get("conditions") or ():
        # Conditions merge by type, so what one no longer says must be taken back.
        condition.update((name, None) for name in told.get(condition["type"], ()) if name not in condition)
    for name in ("podIPs", "hostIPs"):
        # These lists merge by address: without this, one that is no more would stay.
        if patch.get(name) and before.get(name):
            patch[name] = [*patch[name], {"$patch": "replace"}]
    return patch
