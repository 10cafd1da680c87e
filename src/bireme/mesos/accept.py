"""ACCEPT: offers turned into tasks.

The operations are applied in order to what the offers hold together; each task is checked by itself, and one
that is refused gets TASK_ERROR while the others go on. The ledger keeps holding the offers until the pods exist.
Operations on reservations and volumes are answered as the original does when it refuses them.
Source: Mesos 1.11's HTTP API.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bireme.ledger.ports import host_ports
from bireme.mesos import amounts, events, task_status, tasks, validation
from bireme.mesos.amounts import Amounts
from bireme.mesos.master import Master
from bireme.mesos.messages import Message
from bireme.mesos.offers import Offer
from bireme.mesos.refusals import refuse_seconds
from bireme.mesos.roster import Agent, Framework, Launch
from bireme.mesos.task_command import Placement
from bireme.mesos.task_status import Seen


@dataclass(slots=True)
class _Acceptance:
    """What one ACCEPT does: its offers, what is left of them, the pods to come."""

    framework: Framework
    offers: list[Offer]
    agent: Agent
    role: str
    left: Amounts
    launches: list[Launch] = field(default_factory=list)
    waiting: int = 0


def accept(master: Master, framework: Framework, call: Message) -> None:
    """Carry out an ACCEPT call, or a DECLINE as one without operations."""
    ids = [each["value"] for each in call.get("offer_ids", [])]
    operations = call.get("operations", [])
    problem = _problem(master, framework, ids)
    if problem:
        _refuse_all(master, framework, ids, operations, problem)
        return
    offers = [master.offers.take(offer_id) for offer_id in ids]
    framework.count("offers/accepted" if operations else "offers/declined", len(offers))
    first = offers[0]
    whole = amounts.total(offer.amounts for offer in offers)
    taken = _Acceptance(framework, offers, master.roster.agents[first.agent_id], first.role, whole)
    for operation in operations:
        kind = operation.get("type", "UNKNOWN")
        framework.count("operations")
        framework.count(f"operations/{kind.lower()}")
        _apply(master, taken, kind, operation)
    master.refuse(offers, taken.left, refuse_seconds(call.get("filters")))
    _launch(master, taken)
    master.wake()


def _problem(master: Master, framework: Framework, ids: list[str]) -> str | None:
    if not ids:
        return "No offers specified"
    if len(set(ids)) != len(ids):
        twice = next(each for each in ids if ids.count(each) > 1)
        return f"Duplicate offer {twice} in offer list"
    first = master.offers.get(ids[0])
    for offer_id in ids:
        offer = master.offers.get(offer_id)
        if offer is None or first is None:
            return f"Offer {offer_id} is no longer valid"
        if offer.framework_id != framework.framework_id:
            return (
                f"Offer {offer_id} has invalid framework {offer.framework_id} "
                f"while framework {framework.framework_id} is expected"
            )
        if offer.agent_id != first.agent_id:
            return (
                "Aggregated offers must belong to one single agent. "
                f"Offer {offer_id} uses agent {offer.agent_id} and agent {first.agent_id}"
            )
        if offer.role != first.role:
            return (
                "Aggregated offers must be allocated to the same role. "
                f"Offer {offer_id} uses role '{offer.role}' and another has been allocated to role '{first.role}'"
            )
    return None


def _refuse_all(
    master: Master, framework: Framework, ids: list[str], operations: list[Message], problem: str
) -> None:
    """The offers that are the framework's go back; every task in the call is lost."""
    for offer_id in dict.fromkeys(ids):
        offer = master.offers.get(offer_id)
        if offer is not None and offer.framework_id == framework.framework_id:
            master.offers.release([master.offers.take(offer_id)])
    state = task_status.DROPPED if framework.partition_aware else task_status.LOST
    for operation in operations:
        for info in _infos(operation):
            words = f"Task launched with invalid offers: {problem}"
            _tell(master, framework, info, Seen(state, words, "SOURCE_MASTER", "REASON_INVALID_OFFERS"))
        _answer_operation(master, framework, operation, "OPERATION_DROPPED", problem)
    master.wake()


def _infos(operation: Message) -> list[Message]:
    launched: list[Message] = operation.get("launch", {}).get("task_infos", [])
    return [*launched, *operation.get("launch_group", {}).get("task_group", {}).get("tasks", [])]


def _tell(master: Master, framework: Framework, info: Message, seen: Seen) -> None:
    """News of a task that never came to be: no uuid, sent once."""
    status: Message = {
        "task_id": info["task_id"],
        "state": seen.state,
        "message": seen.message,
        "source": seen.source,
        "reason": seen.reason,
        "agent_id": info["agent_id"],
        "timestamp": master.now(),
    }
    master.count(f"tasks_{seen.state.removeprefix('TASK_').lower()}")
    master.send(framework, events.update(status))


def _answer_operation(master: Master, framework: Framework, operation: Message, state: str, words: str) -> None:
    """Feedback for an operation that asked for it by an id."""
    if "id" in operation and operation.get("type") not in ("LAUNCH", "LAUNCH_GROUP"):
        master.send(framework, events.operation_update(operation["id"], state, words))


def _apply(master: Master, taken: _Acceptance, kind: str, operation: Message) -> None:
    if kind == "LAUNCH":
        for info in operation.get("launch", {}).get("task_infos", []):
            _launch_task(master, taken, info, with_id="id" in operation)
    elif kind == "LAUNCH_GROUP" and "launch_group" in operation:
        _launch_group(master, taken, operation["launch_group"], with_id="id" in operation)
    else:
        words = f"Operation {kind} is not supported by this master"
        _answer_operation(master, taken.framework, operation, "OPERATION_ERROR", words)


def _launch_task(master: Master, taken: _Acceptance, info: Message, *, with_id: bool) -> None:
    around = _surroundings(taken, info["task_id"]["value"], taken.left)
    reason = "Operation 'id' is not supported for LAUNCH" if with_id else validation.task(info, around)
    if reason:
        seen = Seen(task_status.ERROR, reason, "SOURCE_MASTER", "REASON_TASK_INVALID")
        _tell(master, taken.framework, info, seen)
        return
    _enter(master, taken, [info], executor_id=info["task_id"]["value"])


def _surroundings(
    taken: _Acceptance, task_id: str, left: Amounts, *, group: bool = False, executor: Amounts = amounts.NOTHING
) -> validation.Surroundings:
    known = taken.framework.tasks.get(task_id)
    return validation.Surroundings(
        taken.agent.agent_id,
        taken.role,
        left,
        live=(task_id,) if known is not None and not known.unreachable else (),
        unreachable=(task_id,) if known is not None and known.unreachable else (),
        group=group,
        executor=executor,
    )


def _launch_group(master: Master, taken: _Acceptance, group: Message, *, with_id: bool) -> None:
    executor, infos = group["executor"], group["task_group"].get("tasks", [])
    reason = "Operation 'id' is not supported for LAUNCH_GROUP" if with_id else _group_problem(taken, executor, infos)
    if reason:
        for info in infos:
            seen = Seen(task_status.ERROR, reason, "SOURCE_MASTER", "REASON_TASK_GROUP_INVALID")
            _tell(master, taken.framework, info, seen)
    elif infos:
        _enter(master, taken, infos, executor_id=executor["executor_id"]["value"], executor=executor)


def _group_problem(taken: _Acceptance, executor: Message, infos: Iterable[Message]) -> str | None:
    reason = validation.group_executor(executor)
    if reason:
        return reason
    executor_id = executor["executor_id"]["value"]
    if any(task.executor_id == executor_id for task in taken.framework.tasks.values()):
        return f"Executor '{executor_id}' is live already; each task group needs one of its own"
    left, seen = taken.left - amounts.read(executor.get("resources", [])), set[str]()
    if not taken.left.contains(amounts.read(executor.get("resources", []))):
        return "The executor of the task group uses more resources than available"
    for info in infos:
        reason = validation.task(info, _surroundings(taken, info["task_id"]["value"], left, group=True))
        if reason:
            return f"Task '{info['task_id']['value']}' is invalid: {reason}"
        if info.get("executor", executor)["executor_id"] != executor["executor_id"]:
            return "The executor of the task differs from that of its group"
        if info["task_id"]["value"] in seen:
            return f"Task has duplicate ID: {info['task_id']['value']}"
        seen.add(info["task_id"]["value"])
        left = left - amounts.read(info.get("resources", []))
    return None


def _enter(
    master: Master,
    taken: _Acceptance,
    infos: list[Message],
    *,
    executor_id: str,
    executor: Message | None = None,
) -> None:
    """Write the tasks down: from now on they are staging."""
    agent = taken.agent
    placement = Placement(
        taken.framework.framework_id,
        taken.framework.info,
        agent.agent_id,
        agent.node,
        agent.endpoint,
        taken.role,
        agent.work_dir,
        str(master.new_uuid()),
        executor_id,
    )
    held = tasks.held_by(infos, executor)
    taken.left = taken.left - held
    launch = Launch(tasks.make_pod(infos, placement, executor=executor), taken.role, held, executor=executor)
    launch.tasks = master.tasks_of(launch, infos)
    taken.launches.append(launch)
    master.enter(launch)


def _launch(master: Master, taken: _Acceptance) -> None:
    """Have the pods made; when all are, or were refused, the ledger gives the offers up for them."""
    if not taken.launches:
        master.offers.release(taken.offers)
        return
    taken.waiting = len(taken.launches)

    def settled(_: Launch) -> None:
        taken.waiting -= 1
        if taken.waiting == 0:
            made = [launch for launch in taken.launches if launch.created and not launch.failed]
            pods = {launch.pod.metadata.uid: master.promised(launch) for launch in made}
            ports = {launch.pod.metadata.uid: host_ports(launch.pod.spec) for launch in made}
            master.offers.turn_into_pods(taken.offers, pods, ports=ports)
            master.wake()

    for launch in taken.launches:
        launch.settled = settled
        master.keeper.see_to(launch)
