"""Agents: nodes that come, change, fall silent, return and go, and what that means for their tasks."""

from bireme.api.kinds import core, mesos
from bireme.mesos import agents, events, objects, task_status
from bireme.mesos.core import Means, Settings
from bireme.mesos.roster import Agent
from bireme.mesos.task_book import TaskBook
from bireme.mesos.task_status import Seen


class Fleet(TaskBook):
    """Every agent. `_lost` are those that contact was lost with."""

    def __init__(self, means: Means, settings: Settings) -> None:
        super().__init__(means, settings)
        self._lost: dict[str, Agent] = {}

    def _recover_agent(self, obj: mesos.Agent) -> None:
        self.keeper.adopt(obj)
        agent = objects.read_agent(obj)
        self.roster.add_agent(agent)
        self.touched(agent)

    def see_node(self, old: core.Node | None, new: core.Node | None) -> None:
        """A node came, changed or went."""
        if new is None:
            agent = self.roster.by_node.get(old.metadata.name) if old is not None else None
            if agent is not None:
                self._remove_agent(agent, task_status.GONE)
            return
        agent = self.roster.by_node.get(new.metadata.name)
        if agent is None:
            agent = Agent(self.roster.new_agent_id(), new.metadata.name, registered_time=self.now())
            self.roster.add_agent(agent)
            self.count("slave_registrations")
        changed = agent.node_uid != new.metadata.uid
        settings = self.settings
        agents.refresh(agent, new, ports=self._ports, work_dir=settings.work_dir, port=settings.agent_port)
        if changed or not agent.saved:
            self._save_agent(agent)
        self._set_contact(agent, connected=agents.is_ready(new))
        if not agent.active:
            self._rescind_all(agent)
        self.touched(agent)
        self.wake()

    def _save_agent(self, agent: Agent) -> None:
        """Write the agent's object; it may be offered from then on, since its id can't be lost any more."""

        def saved() -> None:
            if not agent.saved:
                agent.saved = True
                self.touched(agent)
                self.watchers.agent_added(agent)
                self.wake()

        self.keeper.save_soon(mesos.Agent, agent.node, lambda: objects.agent_object(agent), saved)

    def set_deactivated(self, agent: Agent, *, deactivated: bool) -> None:
        """Hold back, or give, offers of an agent."""
        agent.deactivated = deactivated
        self.touched(agent)
        self._save_agent(agent)
        self._rescind_all(agent)
        self.wake()

    def _set_contact(self, agent: Agent, *, connected: bool) -> None:
        if connected:
            back = agent.unreachable
            if agent.lost_s is not None:
                self.count("slave_reregistrations")
                agent.reregistered_time = self.now()
            agent.connected, agent.unreachable, agent.lost_s = True, False, None
            self._lost.pop(agent.agent_id, None)
            if back:
                self._welcome_back(agent)
        elif agent.lost_s is None:
            agent.connected = False
            agent.lost_s = self.clock.monotonic()
            self._lost[agent.agent_id] = agent

    def _rescind_all(self, agent: Agent) -> None:
        for offer in self.offers.of_agent(agent.agent_id):
            self.rescind(offer)

    def _mark_unreachable(self, agent: Agent) -> None:
        if agent.unreachable:
            return
        agent.unreachable, agent.unreachable_time = True, self.now()
        self._lost.pop(agent.agent_id, None)
        self.touched(agent)
        self.count("slave_unreachable_completed")
        self._rescind_all(agent)
        for task in list(agent.tasks.values()):
            framework = self.roster.frameworks.get(task.framework_id)
            if framework is not None and not task.ended:
                task.unreachable = True
                state = task_status.UNREACHABLE if framework.partition_aware else task_status.LOST
                seen = Seen(state, "Agent is unreachable", "SOURCE_MASTER", "REASON_AGENT_REMOVED")
                status = self.status(task, seen)
                if framework.partition_aware:
                    status["unreachable_time"] = {"nanoseconds": int(agent.unreachable_time * 1e9)}
                self._tell_once(framework, task, status)
        self._tell_all(events.agent_failure(agent.agent_id))

    def _welcome_back(self, agent: Agent) -> None:
        """Tasks that were given up for unreachable go on."""
        for task in list(agent.tasks.values()):
            framework = self.roster.frameworks.get(task.framework_id)
            if framework is None or not task.unreachable:
                continue
            task.unreachable = False
            seen = Seen(task.state, "Agent reregistered", "SOURCE_MASTER", "REASON_AGENT_REREGISTERED")
            self._tell_once(framework, task, self.status(task, seen))
            self._observe(task.launch)

    def _remove_agent(self, agent: Agent, state: str) -> None:
        """A node was deleted, or an operator says that it is gone: its tasks are lost for good."""
        self._rescind_all(agent)
        self.count("slave_removals")
        by_operator = state == task_status.GONE_BY_OPERATOR
        reason = "REASON_AGENT_REMOVED_BY_OPERATOR" if by_operator else "REASON_AGENT_REMOVED"
        for task in list(agent.tasks.values()):
            framework = self.roster.frameworks.get(task.framework_id)
            if framework is None or task.ended:
                continue
            word = state if framework.partition_aware else task_status.LOST
            self.end_task(task, Seen(word, "Agent removed", "SOURCE_MASTER", reason))
        self.roster.remove_agent(agent, state, self.now())
        self.allocator.filters.forget_agent(agent.agent_id)
        self._lost.pop(agent.agent_id, None)
        self.touched(agent)
        self.keeper.save_soon(mesos.Agent, agent.node, lambda: None)
        self._tell_all(events.agent_failure(agent.agent_id))
        self.watchers.agent_removed(agent)

    def mark_gone(self, agent: Agent) -> None:
        """An operator says that an agent will not come back; its tasks are ended, should they still run."""
        self._remove_agent(agent, task_status.GONE_BY_OPERATOR)
