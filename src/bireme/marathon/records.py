"""Marathon's state as objects of the API, and back.

Object names have no slashes: `/shop/cart` is kept as `shop.cart`; where that would
be ambiguous or too long a digest tells them apart. What an object stands for is always in its spec.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime

from bireme.api.kinds import marathon as kinds
from bireme.api.times import parse_time, rfc3339_micro
from bireme.marathon.deployment import Action, Plan, Side
from bireme.marathon.instances import Instance
from bireme.marathon.model import App, Group, Tree
from bireme.marathon.paths import PathId

REGISTRATION = "marathon"
ROOT_NAME = "root.group"
_LONGEST = 180


def name_of(path: PathId) -> str:
    """The name of the object that stands for a path."""
    if path == "/":
        return ROOT_NAME
    plain = path[1:].replace("/", ".")
    if "." not in path and len(plain) <= _LONGEST and plain != ROOT_NAME:
        return plain
    return f"{plain[:_LONGEST].rstrip('.-')}-{hashlib.sha256(path.encode()).hexdigest()[:12]}"


def instance_name(instance: Instance) -> str:
    """The name of the object that stands for an instance."""
    _, _, unique = instance.id.rpartition(".")
    return f"{name_of(instance.app_id)}.{unique.lower()}"


def app_object(app: App, counts: Tree, failure: Tree) -> kinds.App:
    """An app, with the counts of /v2/apps."""
    status = kinds.AppStatus(
        staged=counts.get("tasksStaged"),
        running=counts.get("tasksRunning"),
        healthy=counts.get("tasksHealthy"),
        unhealthy=counts.get("tasksUnhealthy"),
        last_task_failure=failure,
    )
    spec = kinds.AppSpec(id=app.id, instances=app.instances, version=app.version, app=app.tree)
    return kinds.App(spec=spec, status=status)


def group_tree(group: Group) -> Tree:
    """A group's own fields as JSON."""
    return {
        "id": group.id,
        "version": group.version,
        "dependencies": list(group.dependencies),
        "enforceRole": group.enforce_role,
    }


def read_group_tree(tree: Tree) -> Group:
    """What `group_tree` wrote."""
    return Group(tree["id"], tree["version"], tuple(tree.get("dependencies", ())), bool(tree.get("enforceRole")))


def group_object(group: Group) -> kinds.Group:
    spec = kinds.GroupSpec(
        id=group.id,
        version=group.version,
        dependencies=list(group.dependencies),
        enforce_role=group.enforce_role or None,
    )
    return kinds.Group(spec=spec)


def read_group(obj: kinds.Group) -> Group:
    return Group(obj.spec.id, obj.spec.version, tuple(obj.spec.dependencies), bool(obj.spec.enforce_role))


def _side(side: Side) -> kinds.DeploymentSide:
    return kinds.DeploymentSide(
        apps={path: app.tree if app is not None else {} for path, app in side.apps.items()},
        groups={path: group_tree(group) if group is not None else {} for path, group in side.groups.items()},
    )


def _read_side(side: kinds.DeploymentSide) -> Side:
    return Side(
        {path: App(tree) if tree else None for path, tree in side.apps.items()},
        {path: read_group_tree(tree) if tree else None for path, tree in side.groups.items()},
    )


def deployment_object(plan: Plan, step: int) -> kinds.Deployment:
    """A deployment that is at its step number `step`, counted from 0."""
    spec = kinds.DeploymentSpec(
        version=plan.version,
        steps=[
            [kinds.DeploymentAction(action=each.kind, app=each.app) for each in actions] for actions in plan.steps
        ],
        original=_side(plan.original),
        target=_side(plan.target),
    )
    status = kinds.DeploymentStatus(current_step=min(step + 1, len(plan.steps)), total_steps=len(plan.steps))
    return kinds.Deployment(spec=spec, status=status)


def read_deployment(obj: kinds.Deployment) -> tuple[Plan, int]:
    """The plan, and the step it is at, counted from 0."""
    steps = tuple(tuple(Action(each.action, each.app) for each in actions) for actions in obj.spec.steps)
    plan = Plan(
        obj.metadata.name, obj.spec.version, _read_side(obj.spec.original), _read_side(obj.spec.target), steps
    )
    return plan, max(0, (obj.status.current_step or 1) - 1)


def instance_object(instance: Instance) -> kinds.Instance:
    """An instance, with the definition it runs."""
    spec = kinds.InstanceSpec(
        app_id=instance.app_id,
        instance_id=instance.id,
        task_id=instance.task_id,
        goal=instance.goal,
        app=instance.app.tree,
        host=instance.host,
        address=instance.address,
        agent_id=instance.agent_id,
        region=instance.region,
        zone=instance.zone,
        attributes=instance.attributes,
        host_ports=[port or 0 for port in instance.host_ports],
    )
    status = kinds.InstanceStatus(
        state=instance.state,
        condition=instance.condition,
        since=rfc3339_micro(instance.since),
        staged_at=rfc3339_micro(instance.staged_at),
        started_at=_optional(instance.started_at),
        healthy=instance.mesos_healthy,
        addresses=instance.addresses,
        check_result=instance.check_result,
    )
    return kinds.Instance(spec=spec, status=status)


def _optional(moment: datetime | None) -> str:
    return rfc3339_micro(moment) if moment is not None else ""


def read_instance(obj: kinds.Instance) -> Instance:
    """An instance as it was kept; what its health checks found must be found again."""
    spec, status = obj.spec, obj.status
    return Instance(
        spec.instance_id,
        App(spec.app),
        spec.task_id,
        spec.host,
        spec.address,
        spec.agent_id,
        tuple(port or None for port in spec.host_ports),
        parse_time(status.staged_at),
        parse_time(status.since),
        attributes=spec.attributes,
        region=spec.region,
        zone=spec.zone,
        goal=spec.goal,
        state=status.state,
        condition=status.condition,
        started_at=parse_time(status.started_at) if status.started_at else None,
        mesos_healthy=status.healthy,
        addresses=status.addresses,
        check_result=status.check_result,
    )


class Past:
    """What apps and groups were, by version: enough to show them and to go back."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._entries: dict[tuple[str, PathId], list[tuple[str, Tree | None]]] = {}

    def note(self, of: str, path: PathId, version: str, tree: Tree | None) -> tuple[str, PathId]:
        """Note what an "App" or "Group" became, None for deleted; gives back the key of what changed."""
        entries = self._entries.setdefault((of, path), [])
        if not entries or entries[-1][0] != version:
            entries.append((version, tree))
        else:
            entries[-1] = (version, tree)
        del entries[: -self._most]
        return of, path

    def history_object(self, key: tuple[str, PathId]) -> kinds.History:
        """The object that keeps one history."""
        of, path = key
        entries = [kinds.HistoryEntry(version=at, definition=tree or {}) for at, tree in self._entries[key]]
        return kinds.History(spec=kinds.HistorySpec(of=of, id=path, entries=entries))

    def restore(self, obj: kinds.History) -> None:
        """Read a history back."""
        key = (obj.spec.of, obj.spec.id)
        self._entries[key] = [(each.version, each.definition or None) for each in obj.spec.entries]

    def versions(self, of: str, path: PathId) -> list[str]:
        """The stamps at which the thing was there, newest first; only those since it was made anew."""
        found: list[str] = []
        for at, tree in reversed(self._entries.get((of, path), [])):
            if tree is None:
                break
            found.append(at)
        return found

    def at(self, of: str, path: PathId, version: str) -> Tree | None:
        """What the thing became at exactly that stamp."""
        return next((tree for at, tree in self._entries.get((of, path), ()) if at == version), None)

    def as_of(self, of: str, version: str) -> Mapping[PathId, Tree]:
        """Everything of a sort as it was at a stamp."""
        found: dict[PathId, Tree] = {}
        for (sort, path), entries in self._entries.items():
            before = [tree for at, tree in entries if at <= version]
            if sort == of and before and before[-1] is not None:
                found[path] = before[-1]
        return found

    def stamps(self) -> Mapping[tuple[str, PathId], list[str]]:
        """All stamps of everything, deletions too."""
        return {key: [at for at, _ in entries] for key, entries in self._entries.items()}


def history_name(key: tuple[str, PathId]) -> str:
    """The name of the object that keeps a history."""
    of, path = key
    return f"{of.lower()}.{name_of(path)}"
