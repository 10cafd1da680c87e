"""Binding a pod to its node, and the conditions of a pod that verbs set. Eviction stands in `eviction.py`.

Source: the Kubernetes documentation on writing.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import orjson

from bireme.aio.side_by_side import side_by_side
from bireme.api.errors import ApiError, BadRequest, Conflict
from bireme.api.times import rfc3339
from bireme.registry.admission.chain import Attributes
from bireme.registry.kinds import Kind
from bireme.registry.options import Call
from bireme.registry.record import encode
from bireme.registry.verbs import Raced, Registry
from bireme.store.interface import Put

Tree = dict[str, Any]
SCHEDULED = "PodScheduled"


class _Metadata(msgspec.Struct, rename="camel", gc=False):
    uid: str = ""
    deletion_timestamp: str = ""


class _Pod(msgspec.Struct, gc=False):
    metadata: msgspec.Raw
    spec: msgspec.Raw
    status: msgspec.Raw


_pods, _metadata = msgspec.json.Decoder(_Pod), msgspec.json.Decoder(_Metadata)


class Bind(NamedTuple):
    """A Binding for the pod of that name."""

    namespace: str
    name: str
    said: Tree

    @property
    def uid(self) -> str:
        """The pod's, if it must be that one."""
        return (self.said.get("metadata") or {}).get("uid") or ""


async def bind(registry: Registry, kind: Kind, namespace: str, name: str, binding: Tree, call: Call) -> None:
    """Give the pod its node. Raises Conflict where it has one, or is going."""
    (error,) = await bind_all(registry, kind, [Bind(namespace, name, binding)], call)
    if error is not None:
        raise error


async def bind_all(registry: Registry, kind: Kind, binds: Sequence[Bind], call: Call) -> list[Exception | None]:
    """Give each pod its node, by one call of the store; the errors of those that don't get theirs.

    Where somebody is to be asked about each, which may take long, they are bound one by one, side by side.
    """
    if len(binds) > 1 and registry.admission.asks_each_time(_attributes(kind, binds[0], call)):
        return await side_by_side(bind(registry, kind, *each, call) for each in binds)
    errors = [await _refusal(registry, kind, each, call) for each in binds]
    left = [number for number, error in enumerate(errors) if error is None]
    while left:
        puts: dict[int, Put] = {}
        now = rfc3339(registry.clock.now())
        for number in left:
            try:
                put = _put(registry, kind, binds[number], call, now=now)
            except Exception as error:
                errors[number] = error
            else:
                puts[number] = put
        left = []
        if call.dry_run:
            break
        for number, outcome in zip(puts, await registry.put_all(kind, list(puts.values())), strict=True):
            if isinstance(outcome, Raced):
                left.append(number)
            elif isinstance(outcome, ApiError):
                errors[number] = outcome
    return errors


async def _refusal(registry: Registry, kind: Kind, bind: Bind, call: Call) -> Exception | None:
    """Why the pod may not be bound like this, whatever it is; admission fills in the binding."""
    target = bind.said.get("target") or {}
    if not isinstance(target, dict) or not target.get("name") or target.get("kind", "Node") not in ("", "Node"):
        return BadRequest('Binding in version "v1" cannot be handled as a Binding: target must name a Node')
    try:
        await registry.admit(kind, bind.namespace, bind.name, "binding", bind.said, call)
    except Exception as error:
        return error
    return None


def _attributes(kind: Kind, bind: Bind, call: Call) -> Attributes:
    return Attributes("CREATE", kind, bind.namespace, bind.name, bind.said, None, call, "binding")


def _put(registry: Registry, kind: Kind, bind: Bind, call: Call, *, now: str) -> Put:
    """The pod as it is to be. Raises NotFound, and Conflict where it has a node or is going."""
    item = registry.item(kind, bind.namespace, bind.name)
    node, said = bind.said["target"]["name"], bind.said.get("metadata") or {}
    value = bound(item.value, node, said, uid=bind.uid, now=now)
    if value is None:
        tree = registry.tree_of(kind, item)
        _check_bindable(bind.name, tree, uid=bind.uid)
        bind_tree(tree, node, said, now=now)
        value = encode(kind.stored, tree)
    return Put(item.key, value, item.revision)


def bind_tree(tree: Tree, node: str, said: Tree, *, now: str) -> None:
    """Give a pod its node, in place, and the labels and annotations that the binding says."""
    tree["spec"]["nodeName"] = node
    for field in ("annotations", "labels"):
        if said.get(field):
            tree["metadata"][field] = {**(tree["metadata"].get(field) or {}), **said[field]}
    set_condition(tree, SCHEDULED, status="True", now=now)
    tree["status"].pop("nominatedNodeName", None)


def bound(value: bytes, node: str, said: Tree, *, uid: str, now: str) -> bytes | None:
    """The stored bytes of a pod once it is bound: the name of its node after its spec, and its status anew.

    `said` is the metadata of the binding, whose labels and annotations it gets. None where that is not all there is
    to it, or something may be wrong: then the tree tells.
    """
    try:
        pod = _pods.decode(value)
        metadata = _metadata.decode(pod.metadata)
    except msgspec.MsgspecError:
        return None
    about, spec, status = bytes(pod.metadata), bytes(pod.spec), bytes(pod.status)
    tail = b'"metadata":%b,"spec":%b,"status":%b}' % (about, spec, status)
    if not value.endswith(tail) or (uid and uid != metadata.uid) or metadata.deletion_timestamp:
        return None
    if (
        len(spec) <= len(b"{}")
        or b'"nodeName"' in spec
        or b'"schedulingGates"' in spec
        or not status.startswith(b"{")
    ):
        return None
    marked = bool(said.get("labels") or said.get("annotations"))
    tree = {"metadata": orjson.loads(about) if marked else {}, "spec": {}, "status": orjson.loads(status)}
    bind_tree(tree, node, said, now=now)
    parts = (
        orjson.dumps(tree["metadata"]) if marked else about,
        spec[:-1],
        orjson.dumps(node),
        orjson.dumps(tree["status"]),
    )
    return value[: -len(tail)] + b'"metadata":%b,"spec":%b,"nodeName":%b},"status":%b}' % parts


def _check_bindable(name: str, tree: Tree, *, uid: str) -> None:
    spec, metadata = tree["spec"], tree["metadata"]
    why = ""
    if uid and uid != metadata["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {metadata['uid']}"
    elif "deletionTimestamp" in metadata:
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise Conflict(
            f'Operation cannot be fulfilled on pods/binding "{name}": {why}',
            details={"name": name, "kind": "pods/binding"},
        )


def set_condition(tree: Tree, kind: str, *, status: str, now: str, reason: str = "", message: str = "") -> None:
    """Set a condition of an object's status, in place; its time changes only with its status."""
    conditions = tree.setdefault("status", {}).setdefault("conditions", [])
    made: Tree = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": now}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    made = {field: value for field, value in made.items() if value is not None}
    for position, condition in enumerate(conditions):
        if condition.get("type") == kind:
            if condition.get("status") == status and "lastTransitionTime" in condition:
                made["lastTransitionTime"] = condition["lastTransitionTime"]
            conditions[position] = made
            return
    conditions.append(made)
