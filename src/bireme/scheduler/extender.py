"""One extender asked over HTTP, in the words of the extender protocol (`k8s.io/kube-scheduler/extender/v1`).

The names of fields are sent as the original sends them, with capitals; of an answer's no notice is taken of case, as
the original takes none. Whom to ask when is `extending.py`'s.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bireme.api.codec.json import encode
from bireme.api.kinds import core
from bireme.client.informer import Informer, Key
from bireme.http.requests import RequestFailed, Session
from bireme.scheduler.extender_settings import Extender
from bireme.scheduler.interface import NotReady

LARGEST_ANSWER = 64 << 20
TENFOLD = 10
"""An extender scores from 0 to 10, where other scores go to 100."""


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


class HttpExtender:
    """Asks one extender. `nodes` are those that it is shown whole unless it has a cache of its own."""

    def __init__(self, settings: Extender, session: Session, *, nodes: Informer[core.Node]) -> None:
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
        answer = await self._ask(self.settings.filter_verb, self._args(pod, names))
        if error := answer.get("error"):
            raise ExtenderFailed(str(error))
        with _read():
            failed, hopeless = answer.get("failednodes") or {}, answer.get("failedandunresolvablenodes") or {}
            return Filtered(frozenset(names) & self._left(answer), _texts(failed), _texts(hopeless))

    def _left(self, answer: Mapping[str, Any]) -> frozenset[str]:
        named = answer.get("nodenames")
        if self.settings.node_cache_capable and named is not None:
            return frozenset(map(str, named))
        items = _lower(answer.get("nodes") or {}).get("items") or []
        return frozenset(str(_lower(_lower(item).get("metadata")).get("name")) for item in items)

    async def prioritize(self, pod: core.Pod, names: Collection[str]) -> dict[str, float]:
        """A score for each of the nodes that it has an opinion of, with its weight. Raises ExtenderFailed."""
        answer = await self._ask(self.settings.prioritize_verb, self._args(pod, names))
        with _read():
            scores = [_lower(each) for each in answer.get("", [])]
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
        answer = await self._ask(self.settings.preempt_verb, args)
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
        answer = await self._ask(self.settings.bind_verb, args)
        if error := answer.get("error"):
            raise ExtenderFailed(str(error))

    def _args(self, pod: core.Pod, names: Collection[str]) -> dict[str, Any]:
        if self.settings.node_cache_capable:
            return {"Pod": pod, "Nodes": None, "NodeNames": sorted(names)}
        found = (self._nodes.get(Key("", name)) for name in sorted(names))
        items = [node for node in found if node is not None]
        return {"Pod": pod, "Nodes": {"metadata": {}, "items": items}, "NodeNames": None}

    async def _ask(self, verb: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer's fields in lower case; of a list, the list under ""."""
        url = f"{self.settings.url_prefix.rstrip('/')}/{verb}"
        try:
            reply = await self._session.request(
                "POST",
                url,
                headers={"content-type": "application/json"},
                body=encode(args),
                tls=self._tls,
                timeout_s=self.settings.timeout_s,
                limit=LARGEST_ANSWER,
                server_name=self.settings.server_name or None,
            )
        except RequestFailed as error:
            raise ExtenderFailed(str(error)) from error
        if reply.status != 200:
            raise ExtenderFailed(f"failed {verb} with extender at URL {url}, code {reply.status}")
        try:
            answer = msgspec.json.decode(reply.body)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ExtenderFailed(f"extender at URL {url}: the answer is not JSON") from error
        with _read():
            return {"": answer} if isinstance(answer, list) else _lower(answer)


@contextmanager
def _read() -> Iterator[None]:
    """Reading of what another says, which may be anything."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ExtenderFailed("the answer is not of the form that the protocol has") from error


def _lower(tree: Any) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in tree.items()}


def _texts(reasons: Any) -> dict[str, str]:
    return {str(node): str(reason) for node, reason in reasons.items()}
