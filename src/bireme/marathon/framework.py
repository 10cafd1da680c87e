"""Marathon as a framework: subscribes, puts what waits on offers, follows its tasks, kills what must go.

It keeps no state of its own beyond the open stream: after any break it subscribes again under its stored id and
asks for the state of every task. Updates are acknowledged once what they mean is durable.
Source: Mesos' v1 protocol and Marathon's REST API.
"""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import structlog

from bireme.aio.waiting import wait_any
from bireme.api.errors import ApiError
from bireme.api.kinds import marathon as kinds
from bireme.marathon import instances, placement, rollout, tasks
from bireme.marathon.core import Core
from bireme.marathon.engine import tell_changed
from bireme.marathon.instances import ENDED, Instance
from bireme.marathon.launch_queue import Entry
from bireme.marathon.model import Tree
from bireme.marathon.placement import Match, Offer
from bireme.marathon.transport import Events, MasterLost, MasterTransport
from bireme.marathon.versions import stamp

log = structlog.get_logger(__name__)

CAPABILITIES = ("PARTITION_AWARE", "TASK_KILLING_STATE", "MULTI_ROLE", "GPU_RESOURCES")
HEARTBEAT_S = 15.0
FRESH = timedelta(seconds=60)
_NO_DELAY = frozenset(("TASK_KILLED", "TASK_DROPPED"))


class Framework:
    """The scheduler side of Marathon."""

    def __init__(self, core: Core, transport: MasterTransport) -> None:
        self._core, self._transport = core, transport
        self.stream_id = ""
        self.master: Tree = {}
        self._heard_s = 0.0
        self._heartbeat_s = HEARTBEAT_S
        self._roles: frozenset[str] = frozenset()
        self._asked: frozenset[tuple[str, str]] = frozenset()
        self._suppressed = False
        self._revived_s = float("-inf")
        self._reconciled_s = 0.0
        self._abdicated = asyncio.Event()

    @property
    def connected(self) -> bool:
        return bool(self.stream_id)

    async def run(self) -> None:
        """Stay subscribed until cancelled."""
        while True:
            try:
                await self._subscribe()
            except* (MasterLost, ApiError) as error:
                log.info("lost the Mesos master", error=str(error.exceptions[0]))
            if self.connected:
                self.stream_id = ""
                self._core.bus.post("scheduler_disconnected_event")
            await self._core.clock.sleep(self._core.settings.reconnect_delay)

    async def _subscribe(self) -> None:
        info = self._info()
        call: Tree = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        if self._core.framework_id:
            info["id"] = call["framework_id"] = {"value": self._core.framework_id}
        async with self._transport.subscribe(call) as events:
            self._heard_s = self._core.clock.monotonic()
            self._abdicated.clear()
            await wait_any(self._read(events), self._watch(), self._abdicated.wait())

    def abdicate(self) -> None:
        """Let go of the master and come back, as a new leader would."""
        self._abdicated.set()

    def _info(self) -> Tree:
        settings = self._core.settings
        self._roles = self._wanted_roles()
        info: Tree = {
            "user": settings.mesos_user,
            "name": settings.framework_name,
            "failover_timeout": settings.failover_timeout,
            "checkpoint": True,
            "roles": sorted(self._roles),
            "hostname": settings.hostname,
            "webui_url": f"http://{settings.leader}",
            "capabilities": [{"type": each} for each in CAPABILITIES],
        }
        if settings.principal:
            info["principal"] = settings.principal
        return info

    def _wanted_roles(self) -> frozenset[str]:
        core = self._core
        used = {app.role for app in core.root.apps.values()} | {each.app.role for each in core.instances.values()}
        return frozenset((core.settings.mesos_role, *used))

    async def _watch(self) -> None:
        """Return when the master has been silent for too long."""
        clock, missed = self._core.clock, self._core.settings.missed_heartbeats
        while clock.monotonic() - self._heard_s < self._heartbeat_s * missed:
            await clock.sleep(self._heartbeat_s)
        log.warning("the Mesos master has fallen silent")

    async def _read(self, events: Events) -> None:
        async with aclosing(events.read()) as stream:
            async for event in stream:
                self._heard_s = self._core.clock.monotonic()
                match event.get("type"):
                    case "SUBSCRIBED":
                        await self._subscribed(event["subscribed"], events.stream_id)
                    case "OFFERS":
                        await self._offers(event["offers"].get("offers", []))
                    case "UPDATE":
                        await self._update(event["update"]["status"])
                    case "MESSAGE":
                        self._message(event["message"])
                    case "ERROR":
                        self._error(str(event.get("error", {}).get("message", "")))
                        return

    async def _subscribed(self, body: Tree, stream_id: str) -> None:
        core = self._core
        again = bool(core.framework_id)
        core.register(str(body["framework_id"]["value"]))
        await core.keeper.saved(kinds.Registration, "marathon")
        self.master = body.get("master_info", {})
        self._heartbeat_s = float(body.get("heartbeat_interval_seconds", HEARTBEAT_S))
        self.stream_id = stream_id
        self._asked, self._suppressed = frozenset(), False
        master = f"{self.master.get('hostname', '')}:{self.master.get('port', 5050)}"
        if again:
            core.bus.post("scheduler_reregistered_event", master=master)
        else:
            core.bus.post("scheduler_registered_event", frameworkId=core.framework_id, master=master)
        for instance in core.instances.values():
            instance.killed_s = None
        await self._reconcile(list(core.instances.values()))
        core.wake.set()

    def _error(self, message: str) -> None:
        log.error("the Mesos master refuses this framework", message=message)
        if "removed" in message:
            # The master has killed every task with the framework: begin anew rather than wait for nothing.
            core = self._core
            for instance in list(core.instances.values()):
                core.remove_instance(instance)
            core.register("")

    def _message(self, body: Tree) -> None:
        self._core.bus.post(
            "framework_message_event",
            executorId=body.get("executor_id", {}).get("value", ""),
            slaveId=body.get("agent_id", {}).get("value", ""),
            message=body.get("data", ""),
        )

    async def _call(self, kind: str, body: Tree | None = None) -> None:
        call: Tree = {"type": kind, "framework_id": {"value": self._core.framework_id}}
        if body is not None:
            call[kind.lower()] = body
        await self._transport.call(call, stream_id=self.stream_id)

    # offers

    async def _offers(self, trees: list[Tree]) -> None:
        core = self._core
        unused: list[Tree] = []
        for tree in trees:
            core.counters["mesos.offers.incoming"] += 1
            offer = Offer(tree)
            launches = self._place(offer)
            if launches:
                await self._launch(offer, launches)
            else:
                unused.append(tree["id"])
        if unused:
            core.counters["mesos.offers.declined"] += len(unused)
            await self._call("DECLINE", {"offer_ids": unused, "filters": {"refuse_seconds": self._refusal_s()}})

    def _refusal_s(self) -> float:
        core = self._core
        busy = bool(core.deployments or core.queue.entries)
        return core.settings.decline_while_busy if busy else core.settings.decline_offer_duration

    def _place(self, offer: Offer) -> list[tuple[Instance, Match]]:
        """Put what waits on an offer, one instance of each app in turn."""
        core, placed = self._core, list[tuple[Instance, Match]]()
        entries = core.queue.launchable(core.now())
        while entries and len(placed) < core.settings.max_instances_per_offer:
            for entry in list(entries):
                found = self._match(entry, offer)
                if isinstance(found, Match):
                    placed.append((self._instance(entry, offer, found), found))
                if not isinstance(found, Match) or entry.count <= 0:
                    entries.remove(entry)
                if len(placed) >= core.settings.max_instances_per_offer:
                    break
        return placed

    def _match(self, entry: Entry, offer: Offer) -> Match | placement.Reason:
        core = self._core
        others = sorted(core.of_app(entry.app.id), key=lambda each: each.staged_at)
        sites = [rollout.site_of(each) for each in others if each.wanted]
        found = placement.match(entry.app, offer, sites, core.random)
        if isinstance(found, Match):
            entry.use(core.now())
        else:
            entry.refuse(found, offer.tree, core.now())
        return found

    def _instance(self, entry: Entry, offer: Offer, found: Match) -> Instance:
        core, now = self._core, self._core.now()
        name = instances.new_id(entry.app.id, core.new_uuid)
        site = offer.site
        instance = Instance(
            name,
            entry.app,
            instances.task_id(name),
            offer.hostname,
            offer.address,
            offer.agent_id,
            found.host_ports,
            staged_at=now,
            since=now,
            attributes=list(site.attributes),
            region=site.region,
            zone=site.zone,
        )
        core.add_instance(instance)
        return instance

    async def _launch(self, offer: Offer, launches: list[tuple[Instance, Match]]) -> None:
        """Write instances down, then launch them."""
        core, settings = self._core, self._core.settings
        await core.keeper.all_saved([core.save_instance(instance) for instance, _ in launches])
        infos = [
            tasks.task_info(
                instance, found.resources, bridge=settings.mesos_bridge_name, prefix=settings.env_vars_prefix
            )
            for instance, found in launches
        ]
        operation = {"type": "LAUNCH", "launch": {"task_infos": infos}}
        filters = {"refuse_seconds": self._refusal_s()}
        await self._call(
            "ACCEPT", {"offer_ids": [{"value": offer.id}], "operations": [operation], "filters": filters}
        )
        core.counters["mesos.offers.used"] += 1
        core.counters["tasks.launched"] += len(launches)
        for instance, _ in launches:
            tell_changed(core, instance)

    # what tasks do

    async def _update(self, status: Tree) -> None:
        core = self._core
        task_id = str(status["task_id"]["value"])
        state = str(status.get("state", ""))
        core.counters[f"mesos.task-updates.{state}"] += 1
        instance = core.instances.get(instances.instance_of(task_id))
        if instance is None or instance.task_id != task_id:
            await self._unknown(status, task_id, state)
        else:
            self._take(instance, status)
            await core.keeper.all_saved([core.save_instance(instance)])
        if "uuid" in status:
            body: Tree = {name: status[name] for name in ("agent_id", "task_id", "uuid")}
            await self._call("ACKNOWLEDGE", body)

    async def _unknown(self, status: Tree, task_id: str, state: str) -> None:
        """A task that is ours no more: whatever of it still runs must end."""
        if state in ENDED:
            name = instances.instance_of(task_id)
            condition = instances.CONDITIONS.get(state, "Unknown")
            self._core.bus.post(
                "unknown_instance_terminated_event", instanceId=name, runSpecId="", condition=condition
            )
        elif state != "TASK_UNREACHABLE":
            body: Tree = {name: status[name] for name in ("task_id", "agent_id") if name in status}
            await self._call("KILL", body)

    def _take(self, instance: Instance, status: Tree) -> None:
        core = self._core
        if not instance.take(status, core.now()) and not instance.ended:
            return
        if instance.state == "TASK_UNREACHABLE" and "unreachable_time" in status:
            core.wake.set()
        self._tell_status(instance, status)
        if instance.ended:
            self._ended(instance, status)
        tell_changed(core, instance)
        tell_health(core, instance)
        core.save_app(instance.app_id)
        core.wake.set()

    def _ended(self, instance: Instance, status: Tree) -> None:
        core = self._core
        expected = instance.goal != instances.RUNNING
        if not expected and instance.state not in _NO_DELAY and status.get("reason") != "REASON_AGENT_DRAINING":
            core.queue.failed(instance.app, core.now())
        if not expected and (instance.state != "TASK_FINISHED" or status.get("healthy") is False):
            core.note_failure(instance, str(status.get("message", "")))
        core.remove_instance(instance)

    def _tell_status(self, instance: Instance, status: Tree) -> None:
        core = self._core
        core.bus.post(
            "status_update_event",
            slaveId=instance.agent_id,
            taskId=instance.task_id,
            taskStatus=instance.state,
            message=str(status.get("message", "")),
            appId=instance.app_id,
            host=instance.host,
            ipAddresses=address_trees(instance),
            ports=[port for port in instance.host_ports if port],
            version=instance.app.version,
        )

    # what the core wants

    async def work(self) -> None:
        """Tell the master what is due: kills, wishes for offers, questions."""
        if not self.connected:
            return
        try:
            if self._wanted_roles() - self._roles:
                await self._update_roles()
            await self._kill_due()
            await self._ask_for_offers()
            now = self._core.clock.monotonic()
            if now - self._reconciled_s >= self._core.settings.reconciliation_interval:
                old = self._core.now() - FRESH
                await self._reconcile([each for each in self._core.instances.values() if each.staged_at < old])
        except MasterLost as error:
            log.info("the Mesos master did not take a call", error=str(error))

    async def _update_roles(self) -> None:
        info = self._info() | {"id": {"value": self._core.framework_id}}
        await self._call("UPDATE_FRAMEWORK", {"framework_info": info})

    async def _kill_due(self) -> None:
        core = self._core
        now = core.clock.monotonic()
        for instance in list(core.instances.values()):
            again = instance.killed_s is None or now - instance.killed_s >= core.settings.kill_retry_timeout
            if instance.goal == instances.RUNNING or instance.ended or not again:
                continue
            instance.killed_s = now
            await core.keeper.all_saved([core.save_instance(instance)])
            body: Tree = {"task_id": {"value": instance.task_id}, "agent_id": {"value": instance.agent_id}}
            grace = instance.app.tree.get("taskKillGracePeriodSeconds")
            if grace is not None:
                body["kill_policy"] = {"grace_period": {"nanoseconds": int(grace) * 1_000_000_000}}
            try:
                await self._call("KILL", body)
            except MasterLost:
                instance.killed_s = None
                raise

    async def _ask_for_offers(self) -> None:
        """Revive when there is more to launch than before; suppress when there is nothing."""
        core = self._core
        work = frozenset((entry.app.id, f"{entry.count}") for entry in core.queue.launchable(core.now()))
        now = core.clock.monotonic()
        if work - self._asked:
            if now - self._revived_s >= core.settings.min_revive_offers_interval:
                await self._call("REVIVE", {"roles": []})
                core.counters["mesos.calls.revive"] += 1
                self._asked, self._suppressed, self._revived_s = work, False, now
            return
        self._asked = work
        if not core.queue.entries and not self._suppressed:
            await self._call("SUPPRESS", {"roles": []})
            core.counters["mesos.calls.suppress"] += 1
            self._suppressed = True

    async def _reconcile(self, known: list[Instance]) -> None:
        """Ask for the state of each task, then for any that we forgot."""
        self._reconciled_s = self._core.clock.monotonic()
        asked = [
            {"task_id": {"value": each.task_id}, "agent_id": {"value": each.agent_id}}
            for each in known
            if not each.ended
        ]
        if asked:
            await self._call("RECONCILE", {"tasks": asked})
        await self._call("RECONCILE", {"tasks": []})


def address_trees(instance: Instance) -> list[Tree]:
    """An instance's addresses as the API shows them."""
    return [
        {"ipAddress": address, "protocol": "IPv6" if ":" in address else "IPv4"} for address in instance.addresses
    ]


def tell_health(core: Core, instance: Instance) -> None:
    """Post that an instance's health changed, if it did."""
    healthy = instance.healthy
    if healthy is None or healthy == instance.told_healthy:
        return
    instance.told_healthy = healthy
    core.bus.post(
        "instance_health_changed_event",
        instanceId=instance.id,
        runSpecId=instance.app_id,
        healthy=healthy,
        runSpecVersion=instance.app.version,
    )
    core.bus.post(
        "health_status_changed_event",
        appId=instance.app_id,
        instanceId=instance.id,
        taskId=instance.task_id,
        version=instance.app.version,
        alive=healthy,
        timestamp=stamp(core.now()),
    )
