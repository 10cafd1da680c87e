"""One extender asked over HTTP, in the words of the extender protocol (`k8s.io/kube-scheduler/extender/v1`).

The names of fields are sent as the original sends them, with capitals; of an answer's no notice is taken of case, as
the original takes none. Whom to ask when is `extending.py`'s.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bireme.api.codec.json import encode
from bireme.api.kinds import core
from bireme.http.requests import RequestFailed, Session
from bireme.scheduler.extender_nodes import ShownList, ShownNodes, fields_of, names_of
from bireme.scheduler.extender_settings import Extender
from bireme.scheduler.interface import NotReady

LARGEST_ANSWER = 64 << 20
TENFOLD = 10
"""An extender scores from 0 to 10, where other scores go to 100."""
NOT_OF_THE_FORM = "the answer is not of the form that the protocol has"


class ExtenderFailed(NotReady):
    """The extender gave no answer that can be used."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """The nodes that are left, and why others are not; from the `hopeless` no eviction helps."""

    passed: frozenset[str]
    failed: Mapping[str, str] = field(default_factory=dict)
    hopeless: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom a node would lose for a pod, and how many budgets that would violate."""

    node: str
    victims: tuple[core.Pod, ...]
    violations: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """An object's fields by their names in small letters, which are read when they are asked for; or a list."""

    fields: Mapping[str, msgspec.Raw] = field(default_factory=dict)
    items: Sequence[Any] = ()

    @staticmethod
    def of(body: bytes) -> "Answer":
        """What the body holds. Raises msgspec.DecodeError."""
        if body.lstrip()[:1] == b"[":
            return Answer(items=msgspec.json.decode(body))
        return Answer(fields_of(body))

    def get(self, name: str) -> Any:
        """The value of a field; None where there is none."""
        raw = self.fields.get(name)
        return msgspec.json.decode(raw) if raw is not None else None


class HttpExtender:
    """Asks one extender. `nodes` are what it is shown whole unless it has a cache of its own."""

    def __init__(self, settings: Extender, session: Session, *, nodes: ShownNodes) -> None:
        self.settings, self._session, self._nodes = settings, session, nodes
        self._tls = settings.tls()
        self._managed = frozenset(each.name for each in settings.managed_resources)

    def is_interested(self, pod: core.Pod) -> bool:
        """The pod asks for a resource that the extender manages, or it manages none in particular."""
        if not self._managed:
            return True
        for each in (*pod.spec.containers, *pod.spec.init_containers):
            if each.resources and not self._managed.isdisjoint({*each.resources.requests, *each.resources.limits}):
                return True
        return False

    async def filter(self, pod: core.Pod, names: Collection[str]) -> Filtered:
        """Which of the nodes will do. Raises ExtenderFailed."""
        answer = await self._ask(self.settings.filter_verb, await self._args(pod, names))
        with _read():
            if error := answer.get("error"):
                raise ExtenderFailed(str(error))
            failed, hopeless = answer.get("failednodes") or {}, answer.get("failedandunresolvablenodes") or {}
            return Filtered(frozenset(names) & await self._left(answer), _texts(failed), _texts(hopeless))

    async def _left(self, answer: Answer) -> frozenset[str]:
        named = answer.get("nodenames")
        if self.settings.node_cache_capable and named is not None:
            return frozenset(map(str, named))
        nodes = answer.fields.get("nodes")
        return await names_of(nodes) if nodes is not None else frozenset()

    async def prioritize(self, pod: core.Pod, names: Collection[str]) -> dict[str, float]:
        """A score for each of the nodes that it has an opinion of, with its weight. Raises ExtenderFailed."""
        answer = await self._ask(self.settings.prioritize_verb, await self._args(pod, names))
        with _read():
            scores = [_lower(each) for each in answer.items]
            weight = self.settings.weight * TENFOLD
            return {str(each["host"]): float(each.get("score", 0)) * weight for each in scores}

    async def preempt(self, pod: core.Pod, plans: Sequence[Plan]) -> dict[str, tuple[frozenset[str], int]]:
        """Where pods may be evicted: by node, their uids and the budgets violated. Raises ExtenderFailed."""
        args: dict[str, Any] = {"Pod": pod}
        if self.settings.node_cache_capable:
            args["NodeNameToMetaVictims"] = {
                plan.node: {
                    "Pods": [{"UID": victim.metadata.uid} for victim in plan.victims],
                    "NumPDBViolations": plan.violations,
                }
                for plan in plans
            }
        else:
            args["NodeNameToVictims"] = {
                plan.node: {"Pods": list(plan.victims), "NumPDBViolations": plan.violations} for plan in plans
            }
        answer = await self._ask(self.settings.preempt_verb, encode(args))
        with _read():
            said = {str(node): _lower(each) for node, each in (answer.get("nodenametometavictims") or {}).items()}
            found = {
                node: (
                    frozenset(str(_lower(pod)["uid"]) for pod in each.get("pods") or []),
                    int(each.get("numpdbviolations") or 0),
                )
                for node, each in said.items()
            }
        if empty := [node for node, (uids, _) in found.items() if not uids]:
            raise ExtenderFailed(f"expected at least one victim pod on node {empty[0]!r}")
        return found

    async def bind(self, pod: core.Pod, node: str) -> None:
        """Have it give the pod its node. Raises ExtenderFailed."""
        about = pod.metadata
        args = {"PodName": about.name, "PodNamespace": about.namespace, "PodUID": about.uid, "Node": node}
        answer = await self._ask(self.settings.bind_verb, encode(args))
        with _read():
            if error := answer.get("error"):
                raise ExtenderFailed(str(error))

    async def _args(self, pod: core.Pod, names: Collection[str]) -> bytes | ShownList:
        if self.settings.node_cache_capable:
            return encode({"Pod": pod, "Nodes": None, "NodeNames": sorted(names)})
        return await self._nodes.list_for(pod, names)

    async def _ask(self, verb: str, args: bytes | ShownList) -> Answer:
        url = f"{self.settings.url_prefix.rstrip('/')}/{verb}"
        headers = {"content-type": "application/json"}
        if isinstance(args, ShownList):
            headers["content-length"] = str(args.size)  # many a server reads nothing without it
        try:
            reply = await self._session.request(
                "POST",
                url,
                headers=headers,
                body=args if isinstance(args, bytes) else args.parts(),
                tls=self._tls,
                timeout_s=self.settings.timeout_s,
                limit=LARGEST_ANSWER,
                server_name=self.settings.server_name or None,
            )
        except RequestFailed as error:
            raise ExtenderFailed(str(error)) from error
        await asyncio.sleep(0)  # a long answer has just been put together
        if reply.status != 200:
            raise ExtenderFailed(f"failed {verb} with extender at URL {url}, code {reply.status}")
        try:
            return Answer.of(reply.body)
        except msgspec.ValidationError as error:
            raise ExtenderFailed(NOT_OF_THE_FORM) from error
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ExtenderFailed(f"extender at URL {url}: the answer is not JSON") from error


@contextmanager
def _read() -> Iterator[None]:
    """Reading of what another says, which may be anything."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, msgspec.DecodeError) as error:
        raise ExtenderFailed(NOT_OF_THE_FORM) from error


def _lower(tree: Any) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in tree.items()}


def _texts(reasons: Any) -> dict[str, str]:
    return {str(node): str(reason) for node, reason in reasons.items()}
