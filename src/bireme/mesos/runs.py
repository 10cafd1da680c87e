"""Executors in the words of Mesos, read back from the pods of a node.

What a pod says of its task or group is in its annotations (`tasks.py`); how its status reads, in `task_status.py`.
"""

from dataclasses import dataclass
from typing import Any

from bireme.api.kinds import core
from bireme.mesos import amounts, classic, json_form, task_status, tasks
from bireme.mesos.messages import Message


@dataclass(frozen=True, slots=True)
class Run:
    """The pod of a task or group, read back."""

    pod: core.Pod
    infos: list[Message]
    held: amounts.Amounts
    framework_id: str
    framework_name: str
    agent_id: str
    executor_id: str
    container_id: str
    role: str
    directory: str
    group: bool

    def states(self) -> list[str]:
        names = [tasks.container_name(place, group=self.group) for place in range(len(self.infos))]
        return [task_status.see(self.pod, name).state for name in names]

    @property
    def ended(self) -> bool:
        return all(state in task_status.TERMINAL for state in self.states())

    def identity(self) -> dict[str, Any]:
        return {
            "container_id": self.container_id,
            "executor_id": self.executor_id,
            "executor_name": self.infos[0]["name"],
            "framework_id": self.framework_id,
            "source": self.infos[0]["task_id"]["value"],
        }

    def message(self) -> Message:
        """A GetContainers.Container message."""
        return {
            "framework_id": {"value": self.framework_id},
            "executor_id": {"value": self.executor_id},
            "executor_name": self.infos[0]["name"],
            "container_id": {"value": self.container_id},
            "container_status": task_status.container_status(self.pod, self.container_id),
        }

    def tree(self) -> dict[str, Any]:
        """The executor as the agent's `/state` shows it."""
        states = self.states()
        shown = [
            {
                "id": info["task_id"]["value"],
                "name": info["name"],
                "framework_id": self.framework_id,
                "executor_id": self.executor_id if self.group else "",
                "slave_id": self.agent_id,
                "state": state,
                "resources": classic.resources(amounts.read(info.get("resources", []))),
                "role": self.role,
                "statuses": [],
            }
            for info, state in zip(self.infos, states, strict=True)
        ]
        ended = self.ended
        return {
            "id": self.executor_id,
            "name": self.infos[0]["name"],
            "source": self.infos[0]["task_id"]["value"],
            "container": self.container_id,
            "directory": self.directory,
            "resources": classic.resources(self.held),
            "role": self.role,
            "type": "DEFAULT" if self.group else "COMMAND",
            "tasks": [] if ended else shown,
            "queued_tasks": [],
            "completed_tasks": shown if ended else [],
        }


def read_run(pod: core.Pod) -> Run | None:
    """The executor that a pod stands for; None for pods that are no tasks, or were spoilt."""
    labels, notes = pod.metadata.labels, pod.metadata.annotations
    if tasks.FRAMEWORK_ID not in labels or tasks.TASKS not in notes:
        return None
    try:
        infos, executor = tasks.infos_of(pod), tasks.executor_of(pod)
        held = tasks.held_by(infos, executor)
    except (json_form.Malformed, amounts.Unusable, KeyError):
        return None
    if not infos:
        return None
    return Run(
        pod,
        infos,
        held,
        labels[tasks.FRAMEWORK_ID],
        notes.get(tasks.FRAMEWORK_NAME, ""),
        labels.get(tasks.AGENT_ID, ""),
        notes.get(tasks.EXECUTOR_ID, ""),
        notes.get(tasks.CONTAINER_ID, ""),
        notes.get(tasks.ROLE, "*"),
        notes.get(tasks.SANDBOX, ""),
        executor is not None,
    )
