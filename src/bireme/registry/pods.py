"""Binding a pod to its node, and the conditions of a pod that verbs set. Eviction stands in `eviction.py`.

Source: the Kubernetes documentation on writing.
"""

from typing import Any

import msgspec
import orjson

from bireme.api.errors import BadRequest, Conflict
from bireme.api.times import rfc3339
from bireme.registry.kinds import Kind
from bireme.registry.options import Call
from bireme.registry.verbs import Raced, Registry

Tree = dict[str, Any]
SCHEDULED = "PodScheduled"


class _Metadata(msgspec.Struct, rename="camel", gc=False):
    uid: str = ""
    deletion_timestamp: str = ""


class _Pod(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: msgspec.Raw
    status: msgspec.Raw


_pods = msgspec.json.Decoder(_Pod)


async def bind(registry: Registry, kind: Kind, namespace: str, name: str, binding: Tree, call: Call) -> None:
    """Give the pod its node. Raises Conflict where it has one, or is going."""
    target = binding.get("target") or {}
    if not isinstance(target, dict) or not target.get("name") or target.get("kind", "Node") not in ("", "Node"):
        raise BadRequest('Binding in version "v1" cannot be handled as a Binding: target must name a Node')
    await registry.admit(kind, namespace, name, "binding", binding, call)
    said = binding.get("metadata") or {}
    uid, plain = said.get("uid") or "", not (said.get("annotations") or said.get("labels") or call.dry_run)
    while True:
        now = rfc3339(registry.clock.now())
        item = registry.item(kind, namespace, name)
        value = bound(item.value, target["name"], uid=uid, now=now) if plain else None
        try:
            if value is not None:
                await registry.put(kind, item.key, value, expect=item.revision)
            else:
                tree = registry.tree_of(kind, item)
                _check_bindable(name, tree, uid=uid)
                bind_tree(tree, target["name"], said, now=now)
                await registry.write(kind, item, tree, call)
        except Raced:
            continue
        return


def bind_tree(tree: Tree, node: str, said: Tree, *, now: str) -> None:
    """Give a pod its node, in place, and the labels and annotations that the binding says."""
    tree["spec"]["nodeName"] = node
    for field in ("annotations", "labels"):
        if said.get(field):
            tree["metadata"][field] = {**(tree["metadata"].get(field) or {}), **said[field]}
    set_condition(tree, SCHEDULED, status="True", now=now)
    tree["status"].pop("nominatedNodeName", None)


def bound(value: bytes, node: str, *, uid: str, now: str) -> bytes | None:
    """The stored bytes of a pod once it is bound: the name of its node after its spec, and its status anew.

    None where that is not all there is to it, or something may be wrong: then the tree tells.
    """
    try:
        pod = _pods.decode(value)
    except msgspec.MsgspecError:
        return None
    spec, status = bytes(pod.spec), bytes(pod.status)
    tail = b'"spec":%b,"status":%b}' % (spec, status)
    if not value.endswith(tail) or (uid and uid != pod.metadata.uid) or pod.metadata.deletion_timestamp:
        return None
    if (
        len(spec) <= len(b"{}")
        or b'"nodeName"' in spec
        or b'"schedulingGates"' in spec
        or not status.startswith(b"{")
    ):
        return None
    tree = {"spec": {}, "status": orjson.loads(status)}
    bind_tree(tree, node, {}, now=now)
    head, named = value[: -len(tail)], orjson.dumps(node)
    return b'%b"spec":%b,"nodeName":%b},"status":%b}' % (head, spec[:-1], named, orjson.dumps(tree["status"]))


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
