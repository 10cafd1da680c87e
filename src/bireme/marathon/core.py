"""Marathon's state: groups, deployments, instances, in memory and in the API. Plain calls change it, one at a time.

Intent goes first: a deployment's object is there before its first step, an instance's before its task. `load`
finds everything again; decisions (`engine.py`) and the master's updates (`framework.py`) build on it.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random

import structlog

from bireme.aio.clock import Clock
from bireme.api.kinds import marathon as kinds
from bireme.client.client import Client
from bireme.marathon import changes, deployment, records
from bireme.marathon.bus import Bus
from bireme.marathon.deployment import Plan
from bireme.marathon.errors import MarathonError, locked
from bireme.marathon.instances import DECOMMISSIONED, STAGED, Instance
from bireme.marathon.keeper import Keeper, Key
from bireme.marathon.launch_queue import LaunchQueue
from bireme.marathon.model import App, Root, Tree
from bireme.marathon.paths import PathId
from bireme.marathon.records import Past
from bireme.marathon.settings import Settings
from bireme.marathon.versions import NEVER, after, stamp

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Running:
    """A deployment under way; `step` counts from 0, `told` is the last step that was announced."""

    plan: Plan
    step: int = 0
    told: int = -1


class Core:
    """The state, and what keeps it whole."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        clock: Clock,
        *,
        random: Random,
        new_uuid: Callable[[], uuid.UUID] = uuid.uuid1,
    ) -> None:
        self.client, self.settings, self.clock, self.random, self.new_uuid = client, settings, clock, random, new_uuid
        self.keeper = Keeper(client, clock)
        self.bus = Bus(clock)
        self.queue = LaunchQueue()
        self.past = Past(most=settings.zk_max_versions)
        self.root = Root()
        self.deployments: dict[str, Running] = {}
        self.instances: dict[str, Instance] = {}
        self.failures: dict[PathId, Tree] = {}
        self.framework_id = ""
        self.counters: Counter[str] = Counter()
        self.started = clock.now()
        self.ready = asyncio.Event()
        self.wake = asyncio.Event()
        self._of_app: dict[PathId, dict[str, Instance]] = {}
        self._last = NEVER
        self._changing = asyncio.Lock()

    def now(self) -> datetime:
        return self.clock.now()

    def next_version(self) -> str:
        """A stamp later than all before."""
        self._last = after(self._last, self.now())
        return self._last

    # what is there

    def of_app(self, path: PathId) -> Collection[Instance]:
        """The instances of an app."""
        return self._of_app.get(path, {}).values()

    def apps_with_instances(self) -> Collection[PathId]:
        return self._of_app.keys()

    def locks(self, path: PathId) -> list[str]:
        """The deployments that hold an app."""
        return [name for name, running in self.deployments.items() if path in running.plan.affected]

    def counts(self, path: PathId) -> dict[str, int]:
        """Instances by what they are, as /v2/apps words it."""
        found = dict.fromkeys(("tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy"), 0)
        for instance in self.of_app(path):
            found["tasksStaged"] += instance.state in STAGED
            found["tasksRunning"] += instance.running
            found["tasksHealthy"] += instance.running and instance.healthy is True
            found["tasksUnhealthy"] += instance.running and instance.healthy is False
        return found

    # instances

    def add_instance(self, instance: Instance) -> None:
        """Take in an instance that is about to be launched."""
        self.instances[instance.id] = instance
        self._of_app.setdefault(instance.app_id, {})[instance.id] = instance

    def remove_instance(self, instance: Instance) -> None:
        """Forget an instance that has ended, also in the API."""
        self.instances.pop(instance.id, None)
        of_app = self._of_app.get(instance.app_id, {})
        of_app.pop(instance.id, None)
        if not of_app:
            self._of_app.pop(instance.app_id, None)
        self.save_instance(instance)
        self.wake.set()

    def save_instance(self, instance: Instance) -> Key:
        """Write the instance soon, or delete it if it is no more."""
        name = records.instance_name(instance)
        self.keeper.save(
            kinds.Instance,
            name,
            lambda: records.instance_object(instance) if instance.id in self.instances else None,
        )
        return kinds.Instance, name

    def decommission(self, instances: Iterable[Instance]) -> None:
        """Have instances killed and not replaced as such."""
        for instance in instances:
            if instance.goal != DECOMMISSIONED:
                instance.goal = DECOMMISSIONED
                self.save_instance(instance)
        self.wake.set()

    # groups and deployments

    async def change(
        self,
        make: Callable[[Root], Root],
        *,
        force: bool = False,
        restart: Collection[PathId] = (),
        known: Mapping[PathId, App | None] | None = None,
    ) -> Plan:
        """Change the groups by a deployment. Raises MarathonError; returns once the intent is durable.

        `known` holds apps as they were once: what becomes like them again counts as never having changed.
        """
        async with self._changing:
            version = self.next_version()
            wanted = make(self.root)
            new = changes.settle(
                self.root, wanted, version=version, policy=self.settings.policy, restart=restart, known=known or {}
            )
            plan = deployment.plan(
                self.root, new, id=str(uuid.UUID(int=self.random.getrandbits(128), version=4)), version=version
            )
            rivals = self._rivals(plan)
            if rivals and not force:
                raise locked(rivals)
            most = self.settings.max_running_deployments
            if plan.steps and len(self.deployments) - len(rivals) >= most:
                text = f"Max number ({most}) of running deployments is achieved. Wait for existing deployments to"
                raise MarathonError(403, f"{text} complete or cancel one using force=true parameter.")
            if plan.steps:
                await self._write_down(plan)
            for rival in rivals:
                self.end_deployment(self.deployments[rival], "canceled")
            self._store(new, plan)
            if plan.steps:
                self.deployments[plan.id] = Running(plan)
            self.bus.post("group_change_success", groupId="/", version=version)
            self.wake.set()
            return plan

    async def _write_down(self, plan: Plan) -> None:
        """Make the intent durable; should that fail, it is taken back."""
        self.keeper.save(kinds.Deployment, plan.id, lambda: records.deployment_object(plan, 0))
        try:
            async with asyncio.TaskGroup() as group:
                alarm = group.create_task(self._alarm())
                await self.keeper.saved(kinds.Deployment, plan.id)
                alarm.cancel()
        except BaseException as error:
            self.keeper.save(kinds.Deployment, plan.id, lambda: None)
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from error
            raise

    async def _alarm(self) -> None:
        await self.clock.sleep(self.settings.request_timeout)
        raise MarathonError(503, "The state can't be written now")

    def _rivals(self, plan: Plan) -> list[str]:
        """The running deployments that touch what this one touches."""
        touched = {*plan.affected, *plan.target.apps}
        return [name for name, each in self.deployments.items() if touched & {*each.plan.affected}]

    def _store(self, new: Root, plan: Plan) -> None:
        self.root = new
        for path, app in plan.target.apps.items():
            old = plan.original.apps.get(path)
            if app is None or old is None or app.config_version != old.config_version:
                self.failures.pop(path, None)
            self._tell_checks(old, app)
            self.save_app(path)
            self._note("App", path, plan.version, app.tree if app is not None else None)
        for path, group in plan.target.groups.items():
            self.save_group(path)
            self._note("Group", path, plan.version, records.group_tree(group) if group is not None else None)

    def _tell_checks(self, old: App | None, new: App | None) -> None:
        """Post which health checks begin and end."""
        before, now = (each.health_checks if each is not None else [] for each in (old, new))
        if old is not None and before and before != now:
            self.bus.post("remove_health_check_event", appId=old.id)
        if new is not None and before != now:
            for check in now:
                self.bus.post("add_health_check_event", appId=new.id, version=new.version, healthCheck=check)

    def _note(self, of: str, path: PathId, version: str, tree: Tree | None) -> None:
        key = self.past.note(of, path, version, tree)
        self.keeper.save(kinds.History, records.history_name(key), lambda: self.past.history_object(key))

    def save_app(self, path: PathId) -> None:
        """Write an app soon, with its counts."""

        def make() -> kinds.App | None:
            app = self.root.apps.get(path)
            return (
                records.app_object(app, self.counts(path), self.failures.get(path, {})) if app is not None else None
            )

        self.keeper.save(kinds.App, records.name_of(path), make)

    def save_group(self, path: PathId) -> None:
        """Write a group soon."""

        def make() -> kinds.Group | None:
            group = self.root.groups.get(path)
            return records.group_object(group) if group is not None else None

        self.keeper.save(kinds.Group, records.name_of(path), make)

    def save_deployment(self, running: Running) -> None:
        """Write where a deployment is, or delete it once it has ended."""
        name = running.plan.id
        self.keeper.save(
            kinds.Deployment,
            name,
            lambda: records.deployment_object(running.plan, running.step) if name in self.deployments else None,
        )

    def end_deployment(self, running: Running, reason: str = "") -> None:
        """A deployment is done, or if there is a reason, has failed."""
        self.deployments.pop(running.plan.id, None)
        self.save_deployment(running)
        tree = {"id": running.plan.id, "plan": plan_tree(running.plan)}
        if reason:
            self.counters["deployments.dismissed"] += 1
            self.bus.post("deployment_failed", **tree, reason=reason)
        else:
            self.counters["deployments"] += 1
            self.bus.post("deployment_success", **tree)
        self.wake.set()

    async def stop_deployment(self, running: Running) -> None:
        """End a deployment where it is; returns once that is durable."""
        self.end_deployment(running, "canceled")
        await self.keeper.saved(kinds.Deployment, running.plan.id)

    # finding everything again

    async def load(self) -> None:
        """Read back what the API keeps."""
        apps = {obj.spec.id: obj for obj in await self.keeper.list(kinds.App)}
        groups = [records.read_group(obj) for obj in await self.keeper.list(kinds.Group)]
        self.root = Root({path: App(obj.spec.app) for path, obj in apps.items()}, {each.id: each for each in groups})
        self.failures = {path: obj.status.last_task_failure for path, obj in apps.items()}
        self.failures = {path: failure for path, failure in self.failures.items() if failure}
        for history in await self.keeper.list(kinds.History):
            self.past.restore(history)
        for record in await self.keeper.list(kinds.Instance):
            self.add_instance(records.read_instance(record))
        for registration in await self.keeper.list(kinds.Registration):
            self.framework_id = registration.spec.framework_id
        found = [records.read_deployment(obj) for obj in await self.keeper.list(kinds.Deployment)]
        for plan, step in sorted(found, key=lambda each: each[0].version):
            self._resume(plan, step)
        stamps = [self._last, *(app.version for app in self.root.apps.values()), *(plan.version for plan, _ in found)]
        stamps += (each for entries in self.past.stamps().values() for each in entries[-1:])
        self._last = max(stamps)
        self.ready.set()
        log.info("marathon found its state", apps=len(self.root.apps), instances=len(self.instances))

    def _resume(self, plan: Plan, step: int) -> None:
        """Go on with a deployment; whatever of its target was not yet written is written now."""
        for rival in self._rivals(plan):
            self.end_deployment(self.deployments[rival], "canceled")
        self.deployments[plan.id] = Running(plan, step)
        new = deployment.apply(self.root, plan.target)
        if new != self.root:
            self._store(new, plan)

    def register(self, framework_id: str) -> None:
        """Note the id that the master gave; "" forgets it."""
        if framework_id == self.framework_id:
            return
        self.framework_id = framework_id
        spec = kinds.RegistrationSpec(framework_id=framework_id)
        self.keeper.save(kinds.Registration, records.REGISTRATION, lambda: kinds.Registration(spec=spec))

    def note_failure(self, instance: Instance, message: str, *, state: str = "") -> None:
        """Keep why a task ended that should not have."""
        self.failures[instance.app_id] = {
            "appId": instance.app_id,
            "host": instance.host,
            "message": message,
            "state": state or instance.state,
            "taskId": instance.task_id,
            "timestamp": stamp(self.now()),
            "version": instance.app.version,
            "slaveId": instance.agent_id,
        }
        self.save_app(instance.app_id)


def plan_tree(plan: Plan) -> Tree:
    """A plan as events show it."""
    return {"id": plan.id, "version": plan.version, "steps": steps_tree(plan)}


def steps_tree(plan: Plan) -> list[Tree]:
    """The steps of a plan as JSON."""
    return [{"actions": [{"action": each.kind, "app": each.app} for each in step]} for step in plan.steps]
