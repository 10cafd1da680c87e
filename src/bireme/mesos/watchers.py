"""Who follows the cluster through the operator API's SUBSCRIBE, and what they are told."""

from bireme.mesos import descriptions, events
from bireme.mesos.messages import Message
from bireme.mesos.offers import Offers
from bireme.mesos.roster import Agent, Framework, Task
from bireme.mesos.subscription import Subscription

MAX_WATCHERS = 1000


class Watchers:
    """Open operator streams, the oldest first."""

    def __init__(self, offers: Offers) -> None:
        self._offers = offers
        self._streams: dict[Subscription, None] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: Subscription) -> None:
        """One more; the oldest is dropped when there are too many."""
        self._streams[stream] = None
        if len(self._streams) > MAX_WATCHERS:
            next(iter(self._streams)).finish()

    def drop(self, stream: Subscription) -> None:
        self._streams.pop(stream, None)

    def send(self, event: Message) -> None:
        for stream in list(self._streams):
            stream.send(event)

    def task_added(self, task: Task) -> None:
        if self._streams:
            self.send({"type": "TASK_ADDED", "task_added": {"task": events.task_message(task)}})

    def task_updated(self, task: Task, status: Message) -> None:
        if self._streams:
            body = {"framework_id": {"value": task.framework_id}, "status": status, "state": status["state"]}
            self.send({"type": "TASK_UPDATED", "task_updated": body})

    def agent_added(self, agent: Agent) -> None:
        if self._streams:
            self.send({"type": "AGENT_ADDED", "agent_added": {"agent": descriptions.agent(agent, self._offers)}})

    def agent_removed(self, agent: Agent) -> None:
        self.send({"type": "AGENT_REMOVED", "agent_removed": {"agent_id": {"value": agent.agent_id}}})

    def framework(self, kind: str, framework: Framework) -> None:
        """FRAMEWORK_ADDED or FRAMEWORK_UPDATED."""
        if self._streams:
            body = {"framework": descriptions.framework(framework, self._offers)}
            self.send({"type": kind, kind.lower(): body})

    def framework_removed(self, framework: Framework) -> None:
        body = {"framework_info": framework.info}
        self.send({"type": "FRAMEWORK_REMOVED", "framework_removed": body})
