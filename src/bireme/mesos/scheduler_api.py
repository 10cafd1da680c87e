"""The v1 scheduler API: calls of frameworks, checked in the order of the original, and carried out.

Source: Mesos 1.11's HTTP API.
"""

from collections.abc import Callable

from bireme.api.errors import ApiError
from bireme.http.interface import Answer, Identity, Request, Response, Stream
from bireme.mesos import events, protocol, reconcile, validation
from bireme.mesos.accept import accept
from bireme.mesos.answers import Refused, answer_type, body_type, decode, method_not_allowed
from bireme.mesos.constraints import InvalidConstraints
from bireme.mesos.master import Master
from bireme.mesos.messages import Message, message, missing
from bireme.mesos.protocol import ContentType
from bireme.mesos.roster import Framework
from bireme.mesos.subscription import Subscription

STREAM_ID = "mesos-stream-id"
_PAYLOADS = frozenset(
    (
        *("ACCEPT", "DECLINE", "ACCEPT_INVERSE_OFFERS", "DECLINE_INVERSE_OFFERS", "KILL", "SHUTDOWN", "ACKNOWLEDGE"),
        *("ACKNOWLEDGE_OPERATION_STATUS", "RECONCILE", "RECONCILE_OPERATIONS", "MESSAGE", "REQUEST"),
        *("UPDATE_FRAMEWORK", "SUBSCRIBE"),
    )
)
_FIXED = ("principal", "user", "checkpoint")


class SchedulerApi:
    """The door of frameworks."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._calls: dict[str, Callable[[Framework, Message], None]] = {
            "TEARDOWN": lambda framework, _: master.remove_framework(framework),
            "ACCEPT": lambda framework, body: accept(master, framework, body),
            "DECLINE": lambda framework, body: accept(master, framework, body),
            "ACCEPT_INVERSE_OFFERS": lambda framework, body: None,  # none are ever made
            "DECLINE_INVERSE_OFFERS": lambda framework, body: None,
            "REVIVE": self._revive,
            "SUPPRESS": self._suppress,
            "KILL": self._kill,
            "SHUTDOWN": self._shutdown,
            "ACKNOWLEDGE": self._acknowledge,
            "ACKNOWLEDGE_OPERATION_STATUS": lambda framework, body: None,  # none with a uuid are ever sent
            "RECONCILE": self._reconcile,
            "RECONCILE_OPERATIONS": self._reconcile_operations,
            "MESSAGE": self._message,
            "REQUEST": lambda framework, body: None,  # the allocator takes no wishes, as the original
        }

    async def handle(self, request: Request, identity: Identity | None) -> Answer:
        """Answer one call. Raises Refused."""
        if not self._master.ready.is_set():
            raise Refused(503, "Master has not finished recovery")
        if request.method != "POST":
            raise method_not_allowed(request, "POST")
        call = decode(request, protocol.SCHEDULER_CALL, body_type(request))
        problem = _problem(call, identity)
        if problem:
            raise Refused(400, f"Failed to validate scheduler::Call: {problem}")
        if call["type"] == "SUBSCRIBE":
            if STREAM_ID in request.headers:
                raise Refused(400, "Subscribe calls should not include the 'Mesos-Stream-Id' header")
            return await self._subscribe(call, answer_type(request), identity)
        framework = self._framework(call, request, identity)
        framework.count("calls")
        framework.count(f"calls/{call['type'].lower()}")
        if call["type"] == "UPDATE_FRAMEWORK":
            return self._update_framework(framework, call["update_framework"])
        carry_out = self._calls.get(call["type"])
        if carry_out is None:
            raise Refused(501, f"Call {call['type']} is not implemented")
        carry_out(framework, call.get(call["type"].lower(), {}))
        return Response(202, b"", {}, "")

    def _framework(self, call: Message, request: Request, identity: Identity | None) -> Framework:
        framework = self._master.roster.frameworks.get(call["framework_id"]["value"])
        if framework is None:
            raise Refused(400, "Framework cannot be found")
        if identity is not None and framework.principal and identity.name != framework.principal:
            raise Refused(400, _other_principal(identity.name, framework.principal))
        if framework.subscription is None:
            raise Refused(403, "Framework is not subscribed")
        given = request.headers.get(STREAM_ID)
        if given is None:
            raise Refused(400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header")
        if given != framework.subscription.stream_id:
            raise Refused(
                400,
                f"The stream ID '{given}' included in this request didn't match the stream ID "
                f"currently associated with framework ID {framework.framework_id}",
            )
        return framework

    async def _subscribe(self, call: Message, content_type: ContentType, identity: Identity | None) -> Answer:
        body = call["subscribe"]
        info = dict(body["framework_info"])
        suppressed = set(body.get("suppressed_roles", []))
        constraints = body.get("offer_constraints", {})
        framework_id = info.get("id", {}).get("value", "")
        reason = validation.framework(info, suppressed) or self._no_entry(framework_id, info)
        known = self._master.roster.frameworks.get(framework_id)
        framework = known or Framework(framework_id or self._master.roster.new_framework_id(), {})
        if not reason:
            if known is not None:
                info |= {name: known.info[name] for name in ("user", "checkpoint") if name in known.info}
            if identity is not None:
                info.setdefault("principal", identity.name)
            info["id"] = {"value": framework.framework_id}
            try:
                self._master.update_info(framework, info, suppressed=suppressed, constraints=constraints)
            except InvalidConstraints as error:
                reason = str(error)
        stream = Subscription(
            content_type,
            event=protocol.SCHEDULER_EVENT,
            stream_id=str(self._master.new_uuid()),
            on_close=lambda stream: self._master.disconnect(framework, stream),
        )
        if reason:
            stream.send(events.error(reason))
            stream.finish()
            return Stream(stream, 200, {}, content_type.value)
        try:
            await self._master.subscribe(framework, stream)
        except ApiError as error:
            raise Refused(503, f"The framework cannot be kept now: {error}") from error
        return Stream(stream, 200, {"Mesos-Stream-Id": stream.stream_id}, content_type.value)

    def _no_entry(self, framework_id: str, info: Message) -> str | None:
        if not framework_id:
            return None
        if self._master.roster.is_completed(framework_id):
            return "Framework has been removed"
        known = self._master.roster.frameworks.get(framework_id)
        if known is not None and "principal" in info and known.principal not in ("", info["principal"]):
            return "Changing framework's principal is not allowed."
        return None

    def _update_framework(self, framework: Framework, body: Message) -> Response:
        info, suppressed = dict(body["framework_info"]), set(body.get("suppressed_roles", []))
        reason = validation.framework(info, suppressed)
        for name in _FIXED:
            default = False if name == "checkpoint" else ""
            if not reason and info.get(name, default) != framework.info.get(name, default):
                reason = f"Updating 'FrameworkInfo.{name}' is unsupported"
        if reason:
            raise Refused(400, f"'FrameworkInfo' is not valid: {reason}")
        try:
            self._master.update_info(
                framework, info, suppressed=suppressed, constraints=body.get("offer_constraints", {})
            )
        except InvalidConstraints as error:
            raise Refused(400, f"'UpdateFramework.offer_constraints' are not valid: {error}") from error
        self._master.save(framework)
        self._master.watchers.framework("FRAMEWORK_UPDATED", framework)
        self._master.wake()
        return Response(200, b"", {}, "")

    def _revive(self, framework: Framework, body: Message) -> None:
        roles = body.get("roles") or framework.roles
        framework.suppressed -= set(roles)
        self._master.allocator.revive(framework.framework_id, roles)
        self._master.describe(framework)
        self._master.save(framework)
        self._master.wake()

    def _suppress(self, framework: Framework, body: Message) -> None:
        framework.suppressed |= set(body.get("roles") or framework.roles) & set(framework.roles)
        self._master.describe(framework)
        self._master.save(framework)

    def _kill(self, framework: Framework, body: Message) -> None:
        task = framework.tasks.get(body["task_id"]["value"])
        if task is None:
            self._reconcile(framework, {"tasks": [body]})
            return
        if "agent_id" in body and body["agent_id"]["value"] != task.agent_id:
            return
        period = body.get("kill_policy", {}).get("grace_period", {}).get("nanoseconds")
        grace_s = None if period is None else max(0, -(-period // 1_000_000_000))
        self._master.kill(task, grace_s=grace_s)

    def _shutdown(self, framework: Framework, body: Message) -> None:
        executor_id, agent_id = body["executor_id"]["value"], body["agent_id"]["value"]
        for task in list(framework.tasks.values()):
            if (task.executor_id, task.agent_id) == (executor_id, agent_id):
                self._master.kill(task, grace_s=None)

    def _acknowledge(self, framework: Framework, body: Message) -> None:
        known = self._master.acknowledge(framework, body["task_id"]["value"], body["agent_id"]["value"], body["uuid"])
        word = "valid" if known else "invalid"
        self._master.count(f"{word}_status_update_acknowledgements")

    def _reconcile(self, framework: Framework, body: Message) -> None:
        now, roster = self._master.now(), self._master.roster
        asked = body.get("tasks", [])
        statuses = (
            reconcile.explicit(framework, asked, roster, now=now)
            if asked
            else reconcile.implicit(framework, roster, now=now)
        )
        for status in statuses:
            self._master.send(framework, events.update(status))

    def _reconcile_operations(self, framework: Framework, body: Message) -> None:
        for each in body.get("operations", []):
            words = "Reconciliation: Operation is unknown"
            self._master.send(framework, events.operation_update(each["operation_id"], "OPERATION_UNKNOWN", words))

    def _message(self, framework: Framework, body: Message) -> None:
        """Best effort: tasks run under executors of our own, which take no messages."""
        self._master.count("invalid_framework_to_executor_messages")


def _problem(call: Message, identity: Identity | None) -> str | None:
    lacking = missing(call, message(protocol.SCHEDULER_CALL))
    if lacking:
        return f"Not initialized: {', '.join(lacking)}"
    kind = call.get("type")
    if kind is None:
        return "Expecting 'type' to be present"
    payload = kind.lower()
    if kind in _PAYLOADS and payload not in call:
        return f"Expecting '{payload}' to be present"
    if kind == "SUBSCRIBE":
        return _subscribe_problem(call, identity)
    if "framework_id" not in call:
        return "Expecting 'framework_id' to be present"
    if kind == "ACKNOWLEDGE" and len(call["acknowledge"]["uuid"]) != 16:
        return "Not a valid UUID"
    if kind == "UPDATE_FRAMEWORK":
        inner = call["update_framework"]["framework_info"].get("id")
        if inner != call["framework_id"]:
            return "'framework_id' differs from 'update_framework.framework_info.id'"
    return None


def _subscribe_problem(call: Message, identity: Identity | None) -> str | None:
    info = call["subscribe"]["framework_info"]
    if info.get("id", {}).get("value", "") != call.get("framework_id", {}).get("value", ""):
        return "'framework_id' differs from 'subscribe.framework_info.id'"
    if identity is not None and info.get("principal", identity.name) != identity.name:
        return _other_principal(identity.name, info["principal"])
    return None


def _other_principal(authenticated: str, given: str) -> str:
    return f"Authenticated principal '{authenticated}' does not match principal '{given}' set in `FrameworkInfo`"
