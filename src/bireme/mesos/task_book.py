"""Tasks: from their pods to updates, from acknowledgements and kills back to the pods."""

from collections.abc import Mapping
from dataclasses import replace

import structlog

from bireme.api import resources
from bireme.api.kinds import core as kinds
from bireme.mesos import amounts, events, json_form, task_status, tasks
from bireme.mesos.core import Core, Means, Settings
from bireme.mesos.keeper import Keeper
from bireme.mesos.messages import Message
from bireme.mesos.roster import Framework, Launch, Task
from bireme.mesos.task_status import Seen

log = structlog.get_logger(__name__)

MAX_STATUSES = 20


class TaskBook(Core):
    """Every task and what was told of it."""

    def __init__(self, means: Means, settings: Settings) -> None:
        super().__init__(means, settings)
        self._outstanding: dict[Task, None] = {}  # with updates that were not acknowledged
        self.keeper = Keeper(
            self.client, self.clock, on_created=self._launch_created, on_refused=self._launch_refused
        )

    def see_pod(self, old: kinds.Pod | None, new: kinds.Pod | None) -> None:
        """The pod of a task came, changed or went."""
        pod = new if new is not None else old
        if pod is None:
            return
        key = (pod.metadata.namespace, pod.metadata.name)
        launch = self.roster.launches.get(key)
        if launch is None:
            launch = self._adopt(new) if new is not None else None
        if launch is None:
            return
        launch.pod = pod
        if new is None:
            launch.gone = launch.delete_sent = True
        self._observe(launch, gone=new is None)
        if new is None and launch.finished:
            self.roster.launches.pop(key, None)

    def _adopt(self, pod: kinds.Pod) -> Launch | None:
        """A pod from before this master started: its tasks, as far as they were told."""
        notes = pod.metadata.annotations
        try:
            infos, executor = tasks.infos_of(pod), tasks.executor_of(pod)
            held = tasks.held_by(infos, executor)
        except (json_form.Malformed, amounts.Unusable, KeyError) as error:
            log.warning("a task's pod cannot be read", pod=pod.metadata.name, error=str(error))
            return None
        launch = Launch(pod, notes.get(tasks.ROLE, "*"), held, executor=executor, created=True)
        launch.acknowledged = dict(task_status.acknowledged(notes))
        launch.verdict = notes.get(tasks.VERDICT, "")
        launch.written = (launch.verdict, notes.get(tasks.ACKNOWLEDGED, ""))
        launch.delete_sent = launch.delete = bool(pod.metadata.deletion_timestamp)
        framework = self.roster.frameworks.get(pod.metadata.labels.get(tasks.FRAMEWORK_ID, ""))
        for task in self.tasks_of(launch, infos):
            launch.tasks.append(task)
            task.state, task.healthy = launch.acknowledged.get(task.container, (task_status.STAGING, None))
            task.forwarded = task.state
            if framework is None:
                task.done = True
            elif task.ended:
                task.done = True
                framework.completed_tasks.append(task)
            else:
                self.roster.add_task(task)
        self.roster.launches[launch.key] = launch
        if framework is None:
            launch.delete = True
            self.keeper.see_to(launch)
        return launch

    def tasks_of(self, launch: Launch, infos: list[Message]) -> list[Task]:
        """The records of the tasks in a pod; the executor's part is counted with the first."""
        labels, notes = launch.pod.metadata.labels, launch.pod.metadata.annotations
        found = []
        for place, info in enumerate(infos):
            executor = launch.executor if place == 0 else None
            found.append(
                Task(
                    info,
                    labels.get(tasks.FRAMEWORK_ID, ""),
                    labels.get(tasks.AGENT_ID, ""),
                    notes.get(tasks.EXECUTOR_ID, ""),
                    launch.role,
                    tasks.held_by([info], executor),
                    tasks.container_name(place, group=launch.executor is not None),
                    notes.get(tasks.CONTAINER_ID, ""),
                    notes.get(tasks.SANDBOX, ""),
                    launch,
                )
            )
        return found

    def _observe(self, launch: Launch, *, gone: bool = False) -> None:
        """Tell what a pod's status says of its tasks that was not told yet."""
        for task in launch.tasks:
            if task.done or task.unreachable:
                continue
            seen = task_status.see(launch.pod, task.container, gone=gone)
            if seen.fatal:
                self.end_task(task, replace(seen, fatal=False))
                continue
            for step in task_status.steps(task.state, task.healthy, seen):
                self.tell(task, step)
        ended = [task.state for task in launch.tasks if task.ended]
        if {task_status.FAILED, task_status.KILLED} & set(ended) and len(ended) < len(launch.tasks):
            launch.delete = True  # a group ends with the first of its tasks that fails
            self.keeper.see_to(launch)
        if launch.finished and not gone:
            self.keeper.see_to(launch)

    def enter(self, launch: Launch) -> None:
        """A fresh launch: its tasks are staging."""
        self.roster.launches[launch.key] = launch
        for task in launch.tasks:
            self.roster.add_task(task)
            self.count("messages_launch_tasks")
            self.watchers.task_added(task)

    def end_task(self, task: Task, seen: Seen) -> None:
        """Decide a task's end here, whatever its container does; the decision is noted on the pod."""
        launch = task.launch
        launch.verdict = task_status.verdict_text(seen)
        launch.delete = True
        if seen.reason == "REASON_CONTAINER_LAUNCH_FAILED":
            launch.grace_s = 0
        for other in launch.tasks:
            if not other.ended:
                self.tell(other, seen)
        self.keeper.see_to(launch)

    def status(self, task: Task, seen: Seen, uuid: bytes = b"") -> Message:
        """The TaskStatus message for a step of a task."""
        found: Message = {
            "task_id": task.info["task_id"],
            "state": seen.state,
            "source": seen.source,
            "agent_id": {"value": task.agent_id},
            "executor_id": {"value": task.executor_id},
            "timestamp": self.now(),
            "container_status": task_status.container_status(task.launch.pod, task.container_id),
        }
        if seen.message:
            found["message"] = seen.message
        if seen.reason:
            found["reason"] = seen.reason
        if seen.healthy is not None:
            found["healthy"] = seen.healthy
        if uuid:
            found["uuid"] = uuid
        return found

    def tell(self, task: Task, seen: Seen) -> None:
        """The task came to a new state: queue the update until it is acknowledged."""
        framework = self.roster.frameworks.get(task.framework_id)
        status = self._note(task, seen, self.new_uuid().bytes)
        if framework is None:
            task.done = True
            return
        task.updates.push(status)
        self._outstanding[task] = None
        self._send_due(framework, task)

    def _note(self, task: Task, seen: Seen, uuid: bytes) -> Message:
        task.state, task.healthy = seen.state, seen.healthy if seen.state == task_status.RUNNING else task.healthy
        status = self.status(task, seen, uuid)
        self._remember(task, status)
        if task.ended:
            self.roster.refund(task)
            self.wake()
        return status

    def _remember(self, task: Task, status: Message) -> None:
        if task.statuses and task.statuses[-1]["state"] == status["state"]:
            task.statuses.pop()
        task.statuses = [*task.statuses[-MAX_STATUSES:], status]
        word = status["state"].removeprefix("TASK_").lower()
        self.count(f"tasks_{word}")
        if "reason" in status:
            source = status["source"].lower()
            self.count(f"task_{word}/{source}/{status['reason'].lower()}")
        framework = self.roster.frameworks.get(task.framework_id)
        if framework is not None and status["state"] in task_status.TERMINAL:
            framework.count(f"tasks/terminal/{status['state'].lower()}")

    def _tell_once(self, framework: Framework, task: Task, status: Message) -> None:
        """News that the master made up: no uuid, not repeated."""
        self._remember(task, status)
        self.send(framework, events.update(status))
        self.watchers.task_updated(task, status)

    def _send_due(self, framework: Framework, task: Task) -> None:
        if not framework.connected:
            return
        status = task.updates.take_due(self.clock.monotonic())
        if status is not None and self.send(framework, events.update(status)):
            self.count("messages_status_update")
            if task.forwarded != status["state"]:
                task.forwarded = status["state"]
            self.watchers.task_updated(task, status)

    def _send_all_due(self) -> None:
        """Send again what was not acknowledged in time."""
        for task in list(self._outstanding):
            framework = self.roster.frameworks.get(task.framework_id)
            if framework is None or task.updates.outstanding is None or framework.tasks.get(task.task_id) is not task:
                del self._outstanding[task]
            else:
                self._send_due(framework, task)

    def acknowledge(self, framework: Framework, task_id: str, agent_id: str, uuid: bytes) -> bool:
        """An update was taken in; the next goes out. False if nothing waited for that acknowledgement."""
        task = framework.tasks.get(task_id)
        if task is None or task.agent_id != agent_id:
            return False
        status = task.updates.acknowledge(uuid)
        if status is None:
            return False
        if task.updates.outstanding is None:
            self._outstanding.pop(task, None)
        task.launch.acknowledged[task.container] = (status["state"], status.get("healthy"))
        if status["state"] in task_status.TERMINAL:
            self._done(framework, task)
        self.keeper.see_to(task.launch)
        if task.launch.gone and task.launch.finished:
            self.roster.launches.pop(task.launch.key, None)
        self._send_due(framework, task)
        return True

    def _done(self, framework: Framework, task: Task) -> None:
        task.done = True
        self.roster.refund(task)
        if framework.tasks.pop(task.task_id, None) is not None:
            framework.completed_tasks.append(task)

    def kill(self, task: Task, *, grace_s: int | None) -> None:
        """Have a task end; with it go the others of its group."""
        launch = task.launch
        if task.ended:
            return
        if not launch.created:
            reason = "REASON_TASK_KILLED_DURING_LAUNCH"
            self.end_task(task, Seen(task_status.KILLED, "Killed before launch", "SOURCE_MASTER", reason))
            return
        framework = self.roster.frameworks.get(task.framework_id)
        says_so = framework is not None and "TASK_KILLING_STATE" in framework.capabilities and not launch.delete
        if says_so and task.state in (task_status.STARTING, task_status.RUNNING):
            self.tell(task, Seen(task_status.KILLING, "Killing the task"))
        launch.delete = True
        launch.grace_s = grace_s
        self.keeper.see_to(launch)

    def _launch_created(self, launch: Launch, pod: kinds.Pod) -> None:
        launch.created = True
        if not launch.pod.metadata.uid:  # else its event came first, and may be newer
            launch.pod = pod
        self._settle(launch)

    def _launch_refused(self, launch: Launch, why: str) -> None:
        launch.failed = True
        for task in launch.tasks:
            framework = self.roster.frameworks.get(task.framework_id)
            if framework is None:
                continue
            if not task.ended:
                word = task_status.DROPPED if framework.partition_aware else task_status.LOST
                seen = Seen(word, f"Failed to launch: {why}", "SOURCE_MASTER", "REASON_INVALID_OFFERS")
                self._tell_once(framework, task, self._note(task, seen, b""))
                self._done(framework, task)
        self.roster.launches.pop(launch.key, None)
        self._settle(launch)

    @staticmethod
    def _settle(launch: Launch) -> None:
        settled, launch.settled = launch.settled, None
        if settled is not None:
            settled(launch)

    def promised(self, launch: Launch) -> Mapping[str, int]:
        """What the pod of a launch takes from its node."""
        return resources.pod_requests(launch.pod.spec)
