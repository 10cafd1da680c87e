"""What a framework is told of tasks that it asks about.

Source: Mesos 1.11's HTTP API.
"""

from collections.abc import Iterable

from bireme.mesos import task_status
from bireme.mesos.messages import Message
from bireme.mesos.roster import Framework, Roster, Task

_KEPT = ("healthy", "check_status", "container_status", "executor_id", "unreachable_time")


def implicit(framework: Framework, roster: Roster, *, now: float) -> list[Message]:
    """A status for each task of the framework."""
    return [known(framework, task, roster, now=now) for task in framework.tasks.values()]


def explicit(framework: Framework, asked: Iterable[Message], roster: Roster, *, now: float) -> list[Message]:
    """A status for each task that is asked about, as far as there is an answer."""
    found = []
    for each in asked:
        task = framework.tasks.get(each["task_id"]["value"])
        if task is not None:
            found.append(known(framework, task, roster, now=now))
        else:
            found.append(_unknown(framework, each, roster, now=now))
    return found


def known(framework: Framework, task: Task, roster: Roster, *, now: float) -> Message:
    """The state of a task as it was last sent."""
    last = task.statuses[-1] if task.statuses else {}
    status: Message = {name: last[name] for name in _KEPT if name in last}
    status |= _base(task.info["task_id"], task.forwarded, "Reconciliation: Latest task state", now=now)
    status["agent_id"] = {"value": task.agent_id}
    if task.unreachable:
        status["state"] = task_status.UNREACHABLE if framework.partition_aware else task_status.LOST
        agent = roster.agents.get(task.agent_id)
        if agent is not None and framework.partition_aware:
            status["unreachable_time"] = {"nanoseconds": int(agent.unreachable_time * 1e9)}
    return status


def _unknown(framework: Framework, asked: Message, roster: Roster, *, now: float) -> Message:
    agent_id = asked.get("agent_id", {}).get("value", "")
    agent = roster.agents.get(agent_id)
    words, state, since = "Task is unknown", task_status.UNKNOWN, None
    if agent is not None and agent.unreachable:
        words, state, since = "Task is unreachable", task_status.UNREACHABLE, agent.unreachable_time
    elif agent is not None:
        words, state = "Task is unknown to the agent", task_status.GONE
    elif agent_id in roster.removed_agents:
        words, state = "Task is gone", roster.removed_agents[agent_id][0]
    if not framework.partition_aware:
        state, since = task_status.LOST, None
    status = _base(asked["task_id"], state, f"Reconciliation: {words}", now=now)
    if agent_id:
        status["agent_id"] = asked["agent_id"]
    if since is not None:
        status["unreachable_time"] = {"nanoseconds": int(since * 1e9)}
    return status


def _base(task_id: Message, state: str, words: str, *, now: float) -> Message:
    return {
        "task_id": task_id,
        "state": state,
        "message": words,
        "source": "SOURCE_MASTER",
        "reason": "REASON_RECONCILIATION",
        "timestamp": now,
    }
