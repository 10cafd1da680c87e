"""The v1 operator API of the master: `POST /api/v1` with a call, answered by a message of the same type.

Reservations, volumes and maintenance are not kept by this master: reading them shows that there are none,
writing them is answered 501. Source: Mesos 1.11's HTTP API.
"""

from collections.abc import Awaitable, Callable

from bireme.http.interface import Answer, Identity, Request, Response, Stream
from bireme.mesos import amounts, descriptions, events, metrics, protocol, quota_calls, validation
from bireme.mesos.answers import Refused, answer_type, body_type, decode, encoded, method_not_allowed
from bireme.mesos.master import Master
from bireme.mesos.messages import Message, message, missing
from bireme.mesos.protocol import ContentType
from bireme.mesos.roster import Agent, Task
from bireme.mesos.subscription import Subscription

BUILD: Message = {
    "version": events.VERSION,
    "build_date": "2024-08-23 00:00:00",
    "build_time": 1724371200.0,
    "build_user": "bireme",
}


class OperatorApi:
    """The door of operators."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._reads: dict[str, Callable[[Message], Message]] = {
            "GET_HEALTH": lambda call: {"healthy": True},
            "GET_FLAGS": lambda call: {"flags": [{"name": n, "value": v} for n, v in flags(master).items()]},
            "GET_VERSION": lambda call: {"version_info": BUILD},
            "GET_METRICS": lambda call: {
                "metrics": [{"name": name, "value": value} for name, value in metrics.snapshot(master).items()]
            },
            "GET_LOGGING_LEVEL": lambda call: {"level": 0},
            "GET_STATE": lambda call: state(master),
            "GET_AGENTS": lambda call: agents(master),
            "GET_FRAMEWORKS": lambda call: frameworks(master),
            "GET_EXECUTORS": lambda call: executors(master),
            "GET_OPERATIONS": lambda call: {"operations": []},
            "GET_TASKS": lambda call: tasks(master),
            "GET_ROLES": lambda call: roles(master),
            "GET_WEIGHTS": lambda call: {
                "weight_infos": [{"role": role, "weight": weight} for role, weight in sorted(master.weights.items())]
            },
            "GET_MASTER": lambda call: {
                "master_info": master.info,
                "start_time": master.start_time,
                "elected_time": master.start_time,
            },
            "GET_MAINTENANCE_STATUS": lambda call: {"status": {}},
            "GET_MAINTENANCE_SCHEDULE": lambda call: {"schedule": {}},
            "GET_QUOTA": lambda call: {"status": quota_calls.status(master.quotas)},
        }
        self._writes: dict[str, Callable[[Message], Awaitable[None] | None]] = {
            "SET_LOGGING_LEVEL": lambda body: None,
            "UPDATE_WEIGHTS": lambda body: update_weights(master, body.get("weight_infos", [])),
            "TEARDOWN": lambda body: teardown(master, body["framework_id"]["value"]),
            "MARK_AGENT_GONE": lambda body: master.mark_gone(_agent(master, body, status=404)),
            "DEACTIVATE_AGENT": lambda body: master.set_deactivated(_agent(master, body), deactivated=True),
            "REACTIVATE_AGENT": self._reactivate,
            "UPDATE_QUOTA": lambda body: quota_calls.update(master, body),
            "SET_QUOTA": lambda body: quota_calls.set_guarantee(master, body["quota_request"]),
            "REMOVE_QUOTA": lambda body: quota_calls.remove(master, body["role"]),
        }

    async def handle(self, request: Request, identity: Identity | None) -> Answer:
        """Answer one call. Raises Refused."""
        if not self._master.ready.is_set():
            raise Refused(503, "Master has not finished recovery")
        if request.method != "POST":
            raise method_not_allowed(request, "POST")
        call = decode(request, protocol.MASTER_CALL, body_type(request))
        kind = _checked(call)
        accepted = answer_type(request)
        if kind == "SUBSCRIBE":
            return self._subscribe(accepted)
        read = self._reads.get(kind)
        if read is not None:
            return encoded({"type": kind, kind.lower(): read(call)}, protocol.MASTER_RESPONSE, accepted)
        write = self._writes.get(kind)
        if write is None:
            raise Refused(501, f"Call {kind} is not supported by this master")
        durable = write(call.get(kind.lower(), {}))
        if durable is not None:
            await durable
        return Response(200, b"", {}, "")

    def _subscribe(self, content_type: ContentType) -> Stream:
        watchers = self._master.watchers
        stream = Subscription(content_type, event=protocol.MASTER_EVENT, on_close=watchers.drop)
        body = {"get_state": state(self._master), "heartbeat_interval_seconds": events.HEARTBEAT_S}
        stream.send({"type": "SUBSCRIBED", "subscribed": body})
        stream.send(events.HEARTBEAT)
        watchers.add(stream)
        return Stream(stream, 200, {}, content_type.value)

    def _reactivate(self, body: Message) -> None:
        agent = _agent(self._master, body)
        if not agent.deactivated:
            raise Refused(400, f"Agent {agent.agent_id} is not deactivated")
        self._master.set_deactivated(agent, deactivated=False)


_PAYLOADS = frozenset(
    (
        *(
            "SET_LOGGING_LEVEL",
            "UPDATE_WEIGHTS",
            "TEARDOWN",
            "MARK_AGENT_GONE",
            "DEACTIVATE_AGENT",
            "REACTIVATE_AGENT",
            "UPDATE_QUOTA",
            "SET_QUOTA",
            "REMOVE_QUOTA",
        ),
        *("GET_METRICS", "LIST_FILES", "READ_FILE"),
    )
)


def _checked(call: Message) -> str:
    lacking = missing(call, message(protocol.MASTER_CALL))
    problem = f"Not initialized: {', '.join(lacking)}" if lacking else None
    kind = str(call.get("type", ""))
    if not problem and not kind:
        problem = "Expecting 'type' to be present"
    if not problem and kind in _PAYLOADS and kind.lower() not in call:
        problem = f"Expecting '{kind.lower()}' to be present"
    if problem:
        raise Refused(400, f"Failed to validate master::Call: {problem}")
    if kind == "UNKNOWN":
        raise Refused(501)
    return kind


def _agent(master: Master, body: Message, *, status: int = 400) -> Agent:
    agent_id = body["agent_id"]["value"]
    agent = master.roster.agents.get(agent_id)
    if agent is None:
        raise Refused(status, f"Agent '{agent_id}' is not known")
    return agent


def teardown(master: Master, framework_id: str) -> None:
    """End a framework. Raises Refused if it is not there."""
    framework = master.roster.frameworks.get(framework_id)
    if framework is None:
        raise Refused(400, "No framework found with specified ID")
    master.remove_framework(framework)


def update_weights(master: Master, infos: list[Message]) -> None:
    """Set weights of roles; offers made under the old ones go back. Raises Refused."""
    for info in infos:
        name, weight = info.get("role", "").strip(), info["weight"]
        reason = validation.role(name)
        if reason:
            raise Refused(400, f"Failed to validate update weights request: Invalid role: {reason}")
        if not 0 < weight < float("inf"):
            raise Refused(400, f"Failed to validate update weights request: Invalid weight '{weight}'")
    for info in infos:
        master.set_weight(info["role"].strip(), info["weight"])


def state(master: Master) -> Message:
    """GET_STATE: everything."""
    return {
        "get_tasks": tasks(master),
        "get_executors": executors(master),
        "get_frameworks": frameworks(master),
        "get_agents": agents(master),
    }


def agents(master: Master) -> Message:
    return {"agents": [descriptions.agent(each, master.offers) for each in master.roster.agents.values()]}


def frameworks(master: Master) -> Message:
    roster = master.roster
    found = []
    for framework in roster.frameworks.values():
        described = descriptions.framework(framework, master.offers)
        described["offers"] = [
            events.offer(offer, roster.agents[offer.agent_id], ())
            for offer in master.offers.of_framework(framework.framework_id)
        ]
        found.append(described)
    completed = [descriptions.framework(each, master.offers) for each in roster.completed]
    return {"frameworks": found, "completed_frameworks": completed}


def executors(master: Master) -> Message:
    """Only those of task groups: command tasks have none of their own."""
    found: dict[tuple[str, str], Message] = {}
    for task in master.roster.tasks():
        if task.launch.executor is not None:
            info = {**task.launch.executor, "framework_id": {"value": task.framework_id}}
            found[task.framework_id, task.executor_id] = {
                "executor_info": info,
                "agent_id": {"value": task.agent_id},
            }
    return {"executors": list(found.values())}


def tasks(master: Master) -> Message:
    live = [task for task in master.roster.tasks() if not task.unreachable]
    unreachable = [task for task in master.roster.tasks() if task.unreachable]
    everyone = [*master.roster.frameworks.values(), *master.roster.completed]
    return {
        "tasks": [events.task_message(task) for task in live],
        "unreachable_tasks": [events.task_message(task, state=shown_state(master, task)) for task in unreachable],
        "completed_tasks": [events.task_message(task) for each in everyone for task in each.completed_tasks],
    }


def shown_state(master: Master, task: Task) -> str:
    """The state to show: tasks out of contact are unreachable, or lost to those who know no better."""
    if not task.unreachable:
        return task.state
    framework = master.roster.frameworks.get(task.framework_id)
    return "TASK_UNREACHABLE" if framework is not None and framework.partition_aware else "TASK_LOST"


def roles(master: Master) -> Message:
    found = [
        {
            "name": role["name"],
            "weight": role["weight"],
            "frameworks": [{"value": each} for each in role["frameworks"]],
            "resources": amounts.write(role["held"], role=role["name"]),
        }
        for role in descriptions.roles(master.roster, master.weights, master.quotas)
    ]
    return {"roles": found}


def flags(master: Master) -> dict[str, str]:
    """The flags of the original that have a meaning here, as text."""
    settings = master.settings
    authenticate = "false" if settings.insecure else "true"
    return {
        "allocation_interval": f"{settings.allocation_interval_s:g}secs",
        "allocator": "hierarchical",
        "authenticate_frameworks": authenticate,
        "authenticate_http_frameworks": authenticate,
        "authenticate_http_readonly": authenticate,
        "authenticate_http_readwrite": authenticate,
        "cluster": settings.cluster,
        "hostname": settings.hostname,
        "http_authenticators": "basic",
        "ip": settings.address,
        "max_completed_frameworks": "50",
        "max_completed_tasks_per_framework": "1000",
        "min_allocatable_resources": "cpus:0.01|mem:32",
        "offer_timeout": f"{settings.offer_timeout_s:g}secs",
        "port": str(settings.port),
        "role_sorter": "drf",
        "framework_sorter": "drf",
        "root_submissions": "true",
        "version": "false",
        "work_dir": settings.work_dir,
    }
