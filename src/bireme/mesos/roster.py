"""Who is here: frameworks, agents, tasks and the pods that hold them, as the master keeps them in memory.

All of it can be found again: frameworks and agents from their objects, tasks from their pods. What changes the
records is `master.py`; these classes only look things up and keep sums.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from bireme.api.kinds import core
from bireme.mesos import validation
from bireme.mesos.amounts import NOTHING, Amounts, Ranges, union
from bireme.mesos.eligibility import Holds, Minimum
from bireme.mesos.messages import Message
from bireme.mesos.subscription import Subscription
from bireme.mesos.task_status import STAGING, TERMINAL
from bireme.mesos.updates import Updates

MAX_COMPLETED_TASKS = 1000
MAX_COMPLETED_FRAMEWORKS = 50


@dataclass(slots=True, eq=False)
class Agent:
    """A node as Mesos sees it. Times are seconds since 1970; `lost_s` is when contact was lost, on the clock."""

    agent_id: str
    node: str
    node_uid: str = ""
    hostname: str = ""
    address: str = "127.0.0.1"
    port: int = 5051
    attributes: list[Message] = field(default_factory=list)
    url: Message = field(default_factory=dict)
    region: str = ""
    zone: str = ""
    total: Amounts = NOTHING
    work_dir: str = ""
    connected: bool = False
    schedulable: bool = False
    deactivated: bool = False
    unreachable: bool = False
    saved: bool = False
    lost_s: float | None = None
    unreachable_time: float = 0.0
    registered_time: float = 0.0
    reregistered_time: float = 0.0
    tasks: dict[tuple[str, str], "Task"] = field(default_factory=dict)
    _ports: Ranges | None = None

    @property
    def ports(self) -> Ranges:
        """The ports that its tasks hold."""
        if self._ports is None:
            self._ports = union(each for task in self.tasks.values() for each in task.amounts.ranges.get("ports", ()))
        return self._ports

    def add(self, task: "Task") -> None:
        """A task that holds something of it."""
        self.tasks[task.framework_id, task.task_id] = task
        self._ports = None

    def remove(self, task: "Task") -> None:
        self.tasks.pop((task.framework_id, task.task_id), None)
        self._ports = None

    def executors_of(self, framework_id: str) -> list[str]:
        """The executors of a framework that run here, by id."""
        if not self.tasks:
            return []
        return sorted({task.executor_id for task in self.tasks.values() if task.framework_id == framework_id})

    @property
    def active(self) -> bool:
        """Whether it may be offered."""
        return self.saved and self.connected and self.schedulable and not self.deactivated and not self.unreachable

    @property
    def pid(self) -> str:
        return f"slave(1)@{self.address}:{self.port}"

    @property
    def endpoint(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(slots=True, eq=False)
class Launch:
    """The pod of a task or task group, as it is and as the API should have it (`keeper.py` sees to that)."""

    pod: core.Pod
    role: str
    amounts: Amounts
    tasks: list["Task"] = field(default_factory=list)
    executor: Message | None = None
    created: bool = False
    failed: bool = False
    gone: bool = False
    grace_s: int | None = None
    delete: bool = False
    delete_sent: bool = False
    verdict: str = ""
    acknowledged: dict[str, tuple[str, bool | None]] = field(default_factory=dict)
    written: tuple[str, str] = ("", "")
    settled: Callable[["Launch"], None] | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.pod.metadata.namespace, self.pod.metadata.name

    @property
    def finished(self) -> bool:
        """Every task has ended and nobody waits to hear of it."""
        return all(task.done for task in self.tasks)


@dataclass(slots=True, eq=False)
class Task:
    """One task. `done` once its end was acknowledged or nobody is left to hear of it."""

    info: Message
    framework_id: str
    agent_id: str
    executor_id: str
    role: str
    amounts: Amounts
    container: str
    container_id: str
    sandbox: str
    launch: Launch
    state: str = STAGING
    healthy: bool | None = None
    statuses: list[Message] = field(default_factory=list)
    updates: Updates = field(default_factory=Updates)
    forwarded: str = STAGING
    charged: bool = True
    done: bool = False
    unreachable: bool = False

    @property
    def task_id(self) -> str:
        return str(self.info["task_id"]["value"])

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL


@dataclass(slots=True, eq=False)
class Framework:
    """A scheduler that subscribed. `info` always holds its id; `until_s` is when it must be back, on the clock."""

    framework_id: str
    info: Message
    suppressed: set[str] = field(default_factory=set)
    constraints_message: Message = field(default_factory=dict)
    constraints: Mapping[str, Holds] = field(default_factory=dict)
    minimum: dict[str, Minimum] = field(default_factory=dict)
    subscription: Subscription | None = None
    recovered: bool = False
    completed: bool = False
    until_s: float | None = None
    registered_time: float = 0.0
    reregistered_time: float = 0.0
    disconnected_time: float = 0.0
    unregistered_time: float = 0.0
    tasks: dict[str, Task] = field(default_factory=dict)
    completed_tasks: deque[Task] = field(default_factory=lambda: deque(maxlen=MAX_COMPLETED_TASKS))
    used: dict[str, dict[str, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def connected(self) -> bool:
        return self.subscription is not None

    @property
    def name(self) -> str:
        return str(self.info.get("name", ""))

    @property
    def principal(self) -> str:
        return str(self.info.get("principal", ""))

    @property
    def capabilities(self) -> frozenset[str]:
        return validation.capabilities(self.info)

    @property
    def partition_aware(self) -> bool:
        return "PARTITION_AWARE" in self.capabilities

    @property
    def roles(self) -> tuple[str, ...]:
        return validation.roles_of(self.info)

    def count(self, what: str, number: int = 1) -> None:
        """One more of something that `/metrics/snapshot` shows."""
        self.counts[what] = self.counts.get(what, 0) + number

    def charge(self, role: str, amounts: Amounts, *, sign: int = 1) -> None:
        """Add to (or take from) what it uses in a role."""
        used = self.used.setdefault(role, {})
        for name, amount in amounts.scalars.items():
            used[name] = used.get(name, 0) + sign * amount


class Roster:
    """All frameworks and agents, and the pods of their tasks.

    `held` is told what tasks begin (1) and cease (-1) to hold, of frameworks that are here.
    """

    def __init__(self, master_id: str, *, held: Callable[["Task", int], None] = lambda task, sign: None) -> None:
        self.master_id = master_id
        self._held = held
        self.frameworks: dict[str, Framework] = {}
        self.completed: deque[Framework] = deque()
        self.agents: dict[str, Agent] = {}
        self.by_node: dict[str, Agent] = {}
        self.launches: dict[tuple[str, str], Launch] = {}
        self.removed_agents: dict[str, tuple[str, float]] = {}
        self._framework_number = 0
        self._agent_number = 0
        self._offer_number = 0

    def new_framework_id(self) -> str:
        self._framework_number += 1
        return f"{self.master_id}-{self._framework_number - 1:04}"

    def new_agent_id(self) -> str:
        self._agent_number += 1
        return f"{self.master_id}-S{self._agent_number - 1}"

    def new_offer_id(self) -> str:
        self._offer_number += 1
        return f"{self.master_id}-O{self._offer_number - 1}"

    def add_agent(self, agent: Agent) -> None:
        self.agents[agent.agent_id] = agent
        self.by_node[agent.node] = agent

    def remove_agent(self, agent: Agent, state: str, at: float) -> None:
        """Forget an agent, but not what became of it."""
        self.agents.pop(agent.agent_id, None)
        self.by_node.pop(agent.node, None)
        self.removed_agents[agent.agent_id] = (state, at)

    def add_task(self, task: Task) -> None:
        """Enter a task under its framework and agent, and charge the framework."""
        framework = self.frameworks.get(task.framework_id)
        if framework is not None:
            framework.tasks[task.task_id] = task
            framework.charge(task.role, task.amounts)
        agent = self.agents.get(task.agent_id)
        if agent is not None:
            agent.add(task)
        if framework is not None:
            self._held(task, 1)

    def refund(self, task: Task) -> None:
        """The task holds nothing any more."""
        if not task.charged:
            return
        task.charged = False
        framework = self.frameworks.get(task.framework_id)
        if framework is not None:
            framework.charge(task.role, task.amounts, sign=-1)
        agent = self.agents.get(task.agent_id)
        if agent is not None:
            agent.remove(task)
        if framework is not None:
            self._held(task, -1)

    def is_completed(self, framework_id: str) -> bool:
        return any(framework.framework_id == framework_id for framework in self.completed)

    def complete(self, framework: Framework) -> list[Framework]:
        """Move a framework to the completed ones; those that are too many now are returned, forgotten."""
        self.frameworks.pop(framework.framework_id, None)
        self.completed.append(framework)
        forgotten = []
        while len(self.completed) > MAX_COMPLETED_FRAMEWORKS:
            forgotten.append(self.completed.popleft())
        return forgotten

    def used_below(self, role: str) -> dict[str, int]:
        """What tasks hold in a role and in all below it."""
        found: dict[str, int] = {}
        for framework in self.frameworks.values():
            for name, used in framework.used.items():
                if name == role or name.startswith(f"{role}/"):
                    for resource, amount in used.items():
                        found[resource] = found.get(resource, 0) + amount
        return found

    def tasks(self) -> Iterable[Task]:
        """All tasks whose end was not acknowledged."""
        for framework in self.frameworks.values():
            yield from framework.tasks.values()
