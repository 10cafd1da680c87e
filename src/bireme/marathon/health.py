"""Health and readiness checks that Marathon makes itself, from outside the task.

Those that Mesos makes come with its status updates (`instances.py`). One small task for each check of each running
instance; a decision on what a result means is a plain function. Source: Marathon 1.11's REST API.
"""

import asyncio
from datetime import datetime

import structlog

from bireme.marathon.core import Core
from bireme.marathon.framework import tell_health
from bireme.marathon.instances import Health, Instance
from bireme.marathon.model import MESOS_CHECKS, Tree
from bireme.marathon.probes import Answer, ProbeFailed, Prober

log = structlog.get_logger(__name__)

MAX_BODY = 2048
_Key = tuple[str, str, int]


def judge(health: Health, cause: str, *, in_grace: bool, now: datetime) -> bool:
    """Take in a result ("" for good, else why not); True if it counts."""
    if cause and in_grace and not health.first_success:
        return False
    health.note(cause, now)
    return True


class HealthChecks:
    """The checks of all running instances. `look` starts and ends them; `run` is their parent."""

    def __init__(self, core: Core, prober: Prober) -> None:
        self._core, self._prober = core, prober
        self._running: dict[_Key, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Hold the tasks until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await asyncio.Event().wait()
        finally:
            self._group = None
            self._running.clear()

    def look(self) -> None:
        """Have a task for each check that should be made, and no other."""
        if self._group is None:
            return
        wanted: dict[_Key, tuple[Instance, Tree]] = {}
        for instance in self._core.instances.values():
            if not instance.running:
                continue
            for index, check in enumerate(instance.app.health_checks):
                if check["protocol"] not in MESOS_CHECKS:
                    wanted["health", instance.id, index] = instance, check
            if not instance.ready and instance.app.readiness_checks and self._core.locks(instance.app_id):
                wanted["ready", instance.id, 0] = instance, instance.app.readiness_checks[0]
        for key in [key for key, task in self._running.items() if key not in wanted or task.done()]:
            self._running.pop(key).cancel()
        for key, (instance, check) in wanted.items():
            if key not in self._running:
                work = self._check(instance, key[2], check) if key[0] == "health" else self._ready(instance, check)
                self._running[key] = self._group.create_task(work, name=f"marathon {key[0]}: {instance.id}")

    async def _check(self, instance: Instance, index: int, check: Tree) -> None:
        while True:
            cause = await self._probe(instance, check)
            if cause is not None and instance.running:
                self._note(instance, index, check, cause)
            await self._core.clock.sleep(max(1, check["intervalSeconds"]))

    async def _probe(self, instance: Instance, check: Tree) -> str | None:
        """ "" for good, why not otherwise, None for no answer that says anything."""
        index = check.get("portIndex", 0)
        port = check.get("port") or instance.port(index)
        host = instance.reach(index)
        if not port or not host:
            return "the instance has no such port"
        timeout_s = float(check["timeoutSeconds"]) or 1.0
        try:
            if check["protocol"] == "TCP":
                await self._prober.tcp(host, port, timeout_s=timeout_s)
                return ""
            scheme = check["protocol"].lower()
            answer = await self._prober.get(f"{scheme}://{_host(host)}:{port}{check['path']}", timeout_s=timeout_s)
        except ProbeFailed as error:
            return str(error)
        if check.get("ignoreHttp1xx") and answer.status < 200:
            return None
        return "" if 200 <= answer.status < 400 else f"HTTP status {answer.status}"

    def _note(self, instance: Instance, index: int, check: Tree, cause: str) -> None:
        core, now = self._core, self._core.now()
        health = instance.health.setdefault(index, Health())
        since = instance.started_at or instance.staged_at
        in_grace = (now - since).total_seconds() < check["gracePeriodSeconds"]
        if not judge(health, cause, in_grace=in_grace, now=now):
            if not (health.first_success or health.last_failure):
                del instance.health[index]
            return
        if cause:
            core.bus.post(
                "failed_health_check_event",
                appId=instance.app_id,
                taskId=instance.id,
                instanceId=instance.id,
                healthCheck=check,
            )
        tell_health(core, instance)
        most = check["maxConsecutiveFailures"]
        if most and health.consecutive_failures >= most and instance.wanted and instance.running:
            self._kill(instance, cause)
        core.save_app(instance.app_id)
        core.wake.set()

    def _kill(self, instance: Instance, cause: str) -> None:
        core = self._core
        log.info("killing an unhealthy instance", instance=instance.id, cause=cause)
        core.bus.post(
            "unhealthy_instance_kill_event",
            appId=instance.app_id,
            taskId=instance.task_id,
            instanceId=instance.id,
            version=instance.app.version,
            reason=cause,
            host=instance.host,
            slaveId=instance.agent_id,
        )
        reason = f"Task was killed since health check failed. Reason: {cause}"
        core.note_failure(instance, reason, state="TASK_KILLED")
        core.decommission([instance])

    async def _ready(self, instance: Instance, check: Tree) -> None:
        index = next((place for place, each in enumerate(instance.app.ports) if each.name == check["portName"]), 0)
        while not instance.ready:
            url = (
                f"{check['protocol'].lower()}://{_host(instance.reach(index))}:{instance.port(index)}{check['path']}"
            )
            found: Tree = {"name": check["name"], "taskId": instance.task_id, "ready": False}
            try:
                answer = await self._prober.get(url, timeout_s=float(check["timeoutSeconds"]))
            except ProbeFailed as error:
                log.debug("readiness check failed", instance=instance.id, error=str(error))
            else:
                found["ready"] = answer.status in check["httpStatusCodesForReady"]
                if check["preserveLastResponse"]:
                    found["lastResponse"] = _last_response(answer)
            instance.readiness = found
            instance.ready = found["ready"]
            if instance.ready:
                self._core.wake.set()
                return
            await self._core.clock.sleep(max(1, check["intervalSeconds"]))


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _last_response(answer: Answer) -> Tree:
    body = answer.body[:MAX_BODY].decode("utf-8", "replace")
    return {"status": answer.status, "contentType": answer.content_type, "body": body}
