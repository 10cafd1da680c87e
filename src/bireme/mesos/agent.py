"""The agent's door on port 5051: what runs on this node, and the files of its sandboxes.

Tasks are read from the node's pods; the kubelet runs them, and knows nothing of this. Source: Mesos 1.11's HTTP API.
"""

import asyncio
import errno
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from bireme.aio.clock import Clock
from bireme.api.kinds import core
from bireme.http.interface import Answer, Identity, Request, Response, Stream
from bireme.mesos import (
    agents,
    amounts,
    answers,
    classic,
    descriptions,
    events,
    json_form,
    metrics,
    protocol,
    sandbox_files,
    task_status,
    tasks,
)
from bireme.mesos.answers import Authenticator, Refused, method_not_allowed, text
from bireme.mesos.messages import Message, message, missing
from bireme.mesos.runs import Run, read_run
from bireme.mesos.sandboxes import MAX_SHOWN, Sandbox, Sandboxes, disk_used

log = structlog.get_logger(__name__)

DISK_WATCH_S = 60.0
READ_ONLY, READ_WRITE = "mesos-agent-readonly", "mesos-agent-readwrite"

Usage = Callable[[core.Pod], Awaitable[Mapping[str, float]]]


async def _no_usage(pod: core.Pod) -> Mapping[str, float]:
    return {}


@dataclass(slots=True)
class MesosAgent:
    """The handler for port 5051 of one node.

    `pods` gives the node's pods, `node` its Node; `usage` the figures of a pod in the words of
    ResourceStatistics (`cpus_user_time_secs`, `mem_rss_bytes`, …), as far as they are known.
    """

    pods: Callable[[], Collection[core.Pod]]
    node: Callable[[], core.Node | None]
    root: Path
    clock: Clock
    master_hostname: str = "localhost"
    ports: tuple[int, int] = (31000, 32000)
    port: int = 5051
    authenticator: Authenticator | None = None
    insecure: bool = False
    usage: Usage = _no_usage
    started: float = field(init=False)
    sandboxes: Sandboxes = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock.now().timestamp()
        self.sandboxes = Sandboxes(self.root)

    async def run(self, pods_known: Callable[[], Awaitable[None]]) -> None:
        """Remove old sandboxes of tasks that are over, once `pods` gives all that there are."""
        await pods_known()
        while True:
            held = {run.container_id for run in self._runs()}
            removed = await asyncio.to_thread(self._collect, held)
            if removed:
                log.info("old sandboxes removed", count=len(removed))
            await self.clock.sleep(DISK_WATCH_S)

    def _collect(self, held: Collection[str]) -> list[Sandbox]:
        if not self.root.is_dir():
            return []
        return self.sandboxes.collect(held, now_s=self.clock.now().timestamp(), used=disk_used(self.root))

    async def _past(self) -> list[Sandbox]:
        return await asyncio.to_thread(self.sandboxes.past, {run.container_id for run in self._runs()})

    async def handle(self, request: Request) -> Answer:
        """Answer a request."""
        try:
            path = request.path.rstrip("/").removesuffix(".json")
            for prefix in ("/slave(1)", "/agent(1)", "/slave%281%29"):
                path = path.removeprefix(prefix)
            if path == "/health":
                return text("")
            if path == "/version":
                return answers.json(classic.version(), request)
            self._identity(request, READ_WRITE if path.startswith("/api") else READ_ONLY)
            return await self._route(path, request)
        except Refused as refused:
            return refused.response()

    def _identity(self, request: Request, realm: str) -> Identity | None:
        if self.insecure:
            return None
        identity = request.peer.identity
        if identity is None and self.authenticator is not None:
            identity = self.authenticator.authenticate(request)
        if identity is None:
            raise answers.unauthorized(realm)
        return identity

    async def _route(self, path: str, request: Request) -> Answer:
        if path == "/api/v1" or path.startswith("/api/v1/"):
            return await self._operator(request)
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed(request, "GET")
        match path:
            case "/state":
                return answers.json(self.state(await self._past()), request)
            case "/flags":
                return answers.json({"flags": self._flags()}, request)
            case "/metrics/snapshot":
                return answers.json(self.metrics(), request)
            case "/containers":
                return answers.json(await self._containers(request), request)
            case "/monitor/statistics":
                return answers.json(await self._statistics(), request)
            case "/files/browse":
                return answers.json(await self._browse(request), request)
            case "/files/read":
                return answers.json(await self._read(request), request)
            case "/files/download":
                return await self._download(request)
            case "/files/debug":
                return answers.json({str(self.root): str(self.root)}, request)
        return Response(404, b"", {}, "")

    # -- what runs here

    def _runs(self) -> list[Run]:
        return [run for pod in list(self.pods()) if (run := read_run(pod)) is not None]

    def _agent_id(self, past: Sequence[Sandbox] = ()) -> str:
        known = [run.agent_id for run in self._runs()] or [sandbox.agent_id for sandbox in past]
        return known[0] if known else ""

    def state(self, past: Sequence[Sandbox] = ()) -> dict[str, Any]:
        """`/state`; `past` are the sandboxes of tasks that are over."""
        node = self.node() or core.Node()
        total = agents.total(node, (self.ports,))
        used = amounts.total(run.held for run in self._runs() if not run.ended)
        address = next((each.address for each in node.status.addresses if each.type == "InternalIP"), "127.0.0.1")
        return classic.version() | {
            "start_time": self.started,
            "id": self._agent_id(past),
            "pid": f"slave(1)@{address}:{self.port}",
            "hostname": node.metadata.name,
            "capabilities": list(descriptions.AGENT_CAPABILITIES),
            "resources": classic.resources(total),
            "reserved_resources": {},
            "unreserved_resources": classic.resources(total),
            "reserved_resources_full": {},
            "unreserved_resources_full": classic.full(total),
            "reserved_resources_allocated": {},
            "unreserved_resources_allocated": classic.resources(used),
            "resource_providers": [],
            "attributes": classic.attributes(agents.attributes(node.metadata.labels)),
            "master_hostname": self.master_hostname,
            "flags": self._flags(),
            **self._frameworks(past),
        }

    def _flags(self) -> dict[str, str]:
        return {"work_dir": str(self.root), "port": str(self.port), "sandbox_directory": tasks.SANDBOX_IN_CONTAINER}

    def _frameworks(self, past: Sequence[Sandbox]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, dict[str, Any]] = {}
        for run in self._runs():
            framework = found.setdefault(run.framework_id, _framework(run.framework_id, run.framework_name))
            if run.role not in framework["roles"]:
                framework["roles"].append(run.role)
            framework["completed_executors" if run.ended else "executors"].append(run.tree())
        over: dict[str, dict[str, Any]] = {}
        for sandbox in past:
            framework_id = sandbox.framework_id
            framework = found.get(framework_id) or over.setdefault(framework_id, _framework(framework_id, ""))
            if len(framework["completed_executors"]) < MAX_SHOWN:
                framework["completed_executors"].append(_completed(sandbox))
        return {"frameworks": list(found.values()), "completed_frameworks": list(over.values())}

    def metrics(self) -> dict[str, float]:
        """`/metrics/snapshot`."""
        found = metrics.system() | {
            "slave/registered": 1.0,
            "slave/uptime_secs": self.clock.now().timestamp() - self.started,
            "slave/recovery_errors": 0.0,
            "slave/frameworks_active": float(len({run.framework_id for run in self._runs()})),
            "slave/executors_running": float(sum(not run.ended for run in self._runs())),
            "slave/executors_terminated": float(sum(run.ended for run in self._runs())),
        }
        words = ("staging", "starting", "running", "killing", "finished", "failed", "killed", "lost", "gone")
        found |= dict.fromkeys((f"slave/tasks_{word}" for word in words), 0.0)
        for run in self._runs():
            for state in run.states():
                name = f"slave/tasks_{state.removeprefix('TASK_').lower()}"
                found[name] = found.get(name, 0.0) + 1
        return found

    async def _containers(self, request: Request) -> list[dict[str, Any]]:
        wanted = {name: request.query.get(name) for name in ("container_id", "framework_id", "executor_id")}
        found = []
        for run in self._runs():
            entry = run.identity()
            if run.ended or any(value and entry[name] != value for name, value in wanted.items()):
                continue
            status = task_status.container_status(run.pod, run.container_id)
            tree = json_form.write(status, message("mesos.v1.ContainerStatus"))
            found.append(entry | {"status": tree, "statistics": await self._figures(run)})
        return found

    async def _statistics(self) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in run.identity().items() if name != "container_id"}
            | {"statistics": await self._figures(run)}
            for run in self._runs()
            if not run.ended
        ]

    async def _figures(self, run: Run) -> dict[str, float]:
        limits = {
            "timestamp": self.clock.now().timestamp(),
            "cpus_limit": (run.held.scalar("cpus") + tasks.EXTRA_CPUS) / amounts.UNIT,
            "mem_limit_bytes": (run.held.scalar("mem") + tasks.EXTRA_MEM) * amounts.MIB // amounts.UNIT,
        }
        return limits | dict(await self.usage(run.pod))

    # -- files

    async def _parts(self, request: Request) -> list[str]:
        path = request.query.get("path")
        if not path:
            raise Refused(400, "Expecting 'path=value' in query.\n")
        return await self._locate(path)

    async def _locate(self, path: str) -> list[str]:
        """The place beneath the root that a virtual path means. Raises Refused if it means none."""
        parts = sandbox_files.segments(path.removeprefix(str(self.root))) or []
        if parts[:1] == ["frameworks"]:
            parts = ["slaves", self._agent_id() or self._agent_id(await self._past()), *parts]
        if len(parts) > 7 and parts[0] == "slaves" and parts[6:8] == ["runs", "latest"]:
            parts = [*parts[:7], await self._latest(parts[3], parts[5]), *parts[8:]]
        if len(parts) > 9 and parts[8] == "tasks":
            parts = [*parts[:9], self._folder_of(parts[7], parts[9]), *parts[10:]]
        if parts[:1] != ["slaves"] or len(parts) < 8:
            raise Refused(404)
        return parts

    async def _latest(self, framework_id: str, executor_id: str) -> str:
        """The container of an executor's last run."""
        asked = (framework_id, executor_id)
        runs = [run for run in self._runs() if (run.framework_id, run.executor_id) == asked]
        if runs:
            return max(runs, key=lambda run: run.pod.metadata.creation_timestamp).container_id
        past = [each for each in await self._past() if (each.framework_id, each.executor_id) == asked]
        if not past:
            raise Refused(404)
        return past[0].container_id

    def _folder_of(self, container_id: str, task_id: str) -> str:
        """The folder of one task of a group; it is named by the task's container."""
        run = next((run for run in self._runs() if run.container_id == container_id), None)
        ids = [info["task_id"]["value"] for info in run.infos] if run is not None else []
        return tasks.container_name(ids.index(task_id), group=True) if task_id in ids else task_id

    async def _browse(self, request: Request) -> list[dict[str, Any]]:
        parts, path = await self._parts(request), request.query.get("path").rstrip("/")
        entries = await self._on_disk(sandbox_files.browse, self.root, parts)
        return [
            {
                "path": f"{path}/{entry.name}",
                "nlink": entry.links,
                "size": entry.size,
                "mtime": int(entry.modified_s),
                "mode": entry.mode_text,
                "uid": str(entry.uid),
                "gid": str(entry.gid),
            }
            for entry in entries
        ]

    async def _read(self, request: Request) -> dict[str, Any]:
        parts = await self._parts(request)
        offset = _integer(request, "offset", -1)
        length = _integer(request, "length", -1)
        data, size = await self._on_disk(sandbox_files.read, self.root, parts, offset=max(offset, 0), length=length)
        if offset < 0:
            return {"data": "", "offset": size}
        return {"data": data.decode("utf-8", "replace"), "offset": offset}

    async def _download(self, request: Request) -> Answer:
        parts = await self._parts(request)
        await self._on_disk(sandbox_files.read, self.root, parts, offset=0, length=0)
        name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in parts[-1])
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = {"Content-Disposition": f"attachment; filename={name}"}
        return Stream(self._chunks(parts), 200, headers, kind)

    async def _chunks(self, parts: list[str]) -> AsyncIterator[bytes]:
        offset = 0
        while True:
            data, _ = await self._on_disk(sandbox_files.read, self.root, parts, offset=offset, length=-1)
            if not data:
                return
            offset += len(data)
            yield data

    async def _on_disk(self, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        try:
            return await asyncio.to_thread(call, *given, **named)
        except IsADirectoryError as error:
            raise Refused(400, "Cannot read from a directory.\n") from error
        except OSError as error:
            refused = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
            raise Refused(404 if refused else 500, "" if refused else "The file cannot be read") from error

    # -- operator API

    async def _operator(self, request: Request) -> Answer:
        if request.method != "POST":
            raise method_not_allowed(request, "POST")
        call = answers.decode(request, protocol.AGENT_CALL, answers.body_type(request))
        lacking = missing(call, message(protocol.AGENT_CALL))
        if lacking:
            raise Refused(400, f"Failed to validate agent::Call: Not initialized: {', '.join(lacking)}")
        kind = str(call.get("type", ""))
        if not kind:
            raise Refused(400, "Failed to validate agent::Call: Expecting 'type' to be present")
        body = await self._call(kind, call)
        if body is None:
            raise Refused(501, f"Call {kind} is not supported by this agent")
        value = {"type": kind, kind.lower(): body}
        return answers.encoded(value, protocol.AGENT_RESPONSE, answers.answer_type(request))

    async def _call(self, kind: str, call: Message) -> Message | None:
        match kind:
            case "GET_HEALTH":
                return {"healthy": True}
            case "GET_VERSION":
                return {"version_info": {"version": events.VERSION}}
            case "GET_FLAGS":
                return {"flags": [{"name": name, "value": value} for name, value in self._flags().items()]}
            case "GET_METRICS":
                return {"metrics": [{"name": name, "value": value} for name, value in self.metrics().items()]}
            case "GET_LOGGING_LEVEL":
                return {"level": 0}
            case "GET_CONTAINERS":
                return {"containers": [run.message() for run in self._runs() if not run.ended]}
            case "GET_AGENT":
                node = self.node() or core.Node()
                info = {"hostname": node.metadata.name, "port": self.port}
                return {"agent_info": info | {"resources": amounts.write(agents.total(node, (self.ports,)))}}
            case "LIST_FILES" if "list_files" in call:
                return await self._list_files(call["list_files"]["path"])
            case "READ_FILE" if "read_file" in call:
                return await self._read_file(call["read_file"])
        return None

    async def _list_files(self, path: str) -> Message:
        parts = await self._locate(path)
        entries = await self._on_disk(sandbox_files.browse, self.root, parts)
        return {
            "file_infos": [
                {
                    "path": f"{path.rstrip('/')}/{entry.name}",
                    "nlink": entry.links,
                    "size": entry.size,
                    "mtime": {"nanoseconds": int(entry.modified_s * 1e9)},
                    "mode": entry.mode,
                    "uid": str(entry.uid),
                    "gid": str(entry.gid),
                }
                for entry in entries
            ]
        }

    async def _read_file(self, body: Message) -> Message:
        parts = await self._locate(body["path"])
        offset, length = body["offset"], body.get("length", -1)
        data, size = await self._on_disk(sandbox_files.read, self.root, parts, offset=offset, length=length)
        return {"size": size, "data": data}


def _framework(framework_id: str, name: str) -> dict[str, Any]:
    return {
        "id": framework_id,
        "name": name,
        "user": "root",
        "failover_timeout": 0.0,
        "checkpoint": True,
        "hostname": "",
        "roles": [],
        "executors": [],
        "completed_executors": [],
    }


def _completed(sandbox: Sandbox) -> dict[str, Any]:
    """An executor of which only its sandbox is left."""
    return {
        "id": sandbox.executor_id,
        "name": "",
        "source": sandbox.executor_id,
        "container": sandbox.container_id,
        "directory": str(sandbox.directory),
        "resources": classic.resources(amounts.NOTHING),
        "tasks": [],
        "queued_tasks": [],
        "completed_tasks": [],
    }


def _integer(request: Request, name: str, default: int) -> int:
    given = request.query.get(name)
    if not given:
        return default
    try:
        number = int(given) if len(given) < 20 else None
    except ValueError:
        number = None
    if number is None or number < -1:
        raise Refused(400, f"Failed to parse {name}: '{given}' is not a valid number.\n")
    return number
