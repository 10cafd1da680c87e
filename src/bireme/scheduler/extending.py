"""Extenders among the rules: servers of users' own that say which nodes will do for a pod, and how well.

A decision is a plain call and an answer takes its time, so a pod is decided on twice: the first look stops with
`Unheard`, and the nodes that would do go to the extenders, one after the other, while other pods are placed; what
they said is kept as the pod's `Verdict`, and the second look takes it for a mask. By then other nodes may do than
those they were shown: where none that they left is still free, they are asked again. How many pods are out at a time
is `outside.py`'s; a server that is slow holds up those pods only of which it wants to hear.
Source: the Kubernetes documentation; the order of calls is kube-scheduler's.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog

from bireme.api.kinds import core
from bireme.client.informer import Informer, Key
from bireme.http.requests import Session
from bireme.ledger.columns import Columns
from bireme.scheduler.extender import ExtenderFailed, Filtered, HttpExtender, Plan
from bireme.scheduler.extender_nodes import ShownNodes
from bireme.scheduler.extender_settings import Extender
from bireme.scheduler.interface import ANYTHING, NOTHING, Cold, Lack, Mask, Unheard
from bireme.scheduler.placed import Placed
from bireme.scheduler.preemption import Choice
from bireme.scheduler.residents import by_importance

log = structlog.get_logger(__name__)
NOT_SHOWN = "node(s) were not shown to the extenders"
REFUSED_BY_ONE = "node(s) were refused by an extender"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the extenders said of the nodes they were shown."""

    shown: frozenset[str]
    passed: frozenset[str]
    failed: Mapping[str, str] = field(default_factory=dict)
    hopeless: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


class Extending:
    """The rule. See the module, and `interface.Rule`. `open_nodes` says which nodes would do for a pod now, as far as
    everybody else goes; it is set by who knows. Keep `run` running, which closes the connections at the end."""

    plugin = "extenders"

    def __init__(
        self,
        extenders: Sequence[Extender],
        columns: Columns,
        *,
        pods: Informer[core.Pod],
        nodes: Informer[core.Node],
    ) -> None:
        self._columns, self._pods = columns, pods
        self._session = Session()
        shown = ShownNodes(nodes)
        self._extenders = [HttpExtender(each, self._session, nodes=shown) for each in extenders]
        self._verdicts: dict[str, Verdict] = {}
        self.open_nodes: Callable[[core.Pod], Collection[str]] = lambda pod: ()
        pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Hold the connections until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Ask nobody any more."""
        await self._session.close()

    def concerns(self, pod: core.Pod) -> bool:
        """Whether an extender wants to hear of the pod."""
        return any(each.is_interested(pod) for each in self._extenders)

    def look(self, pod: core.Pod) -> Sequence[Mask]:
        """What the extenders left. Raises Unheard where they must be asked."""
        verdict = self._verdicts.get(pod.metadata.uid)
        free = frozenset(self.open_nodes(pod)) if self.asks(pod) else frozenset[str]()
        if not free:
            return ()
        if verdict is None or (free.isdisjoint(verdict.passed) and not free <= verdict.shown):
            raise Unheard
        return self.masks(verdict)

    def reserve(self, pod: core.Pod, node: str) -> bool:
        """The verdict has been used."""
        self._verdicts.pop(pod.metadata.uid, None)
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        """Nothing is to be made ready."""

    async def bind(self, pod: core.Pod, node: str) -> bool:
        """Have the first extender that binds such pods do it; whether there is one. Raises ExtenderFailed."""
        for each in self._extenders:
            if each.settings.bind_verb and each.is_interested(pod):
                await each.bind(pod, node)
                return True
        return False

    def release(self, pod: core.Pod) -> None:
        """The pod is to be asked about again."""
        self._verdicts.pop(pod.metadata.uid, None)

    def refused(self, pod: core.Pod) -> Lack:
        """No node was found: next time the extenders may say otherwise."""
        self._verdicts.pop(pod.metadata.uid, None)
        return NOTHING

    def would_allow(self, pod: core.Pod, node: str, gone: Collection[str]) -> bool:
        """As in the original, evictions may help wherever an extender did not say that nothing will."""
        return True

    # Asking

    async def hear(self, pod: core.Pod) -> None:
        """Ask the extenders about the nodes that would do; the next look at the pod goes by what they say.

        Raises ExtenderFailed.
        """
        verdict = await self.ask(pod, await self._free(pod))
        now = self._pods.get(Key(pod.metadata.namespace, pod.metadata.name))
        if now is not None and now.metadata.uid == pod.metadata.uid:
            self._verdicts[pod.metadata.uid] = verdict

    async def ask(self, pod: core.Pod, names: frozenset[str]) -> Verdict:
        """What they say of these nodes. Raises ExtenderFailed."""
        passed = names
        failed, hopeless = dict[str, str](), dict[str, str]()
        for each in self._interested(pod):
            if each.settings.filter_verb and passed:
                found = await self._filtered(each, pod, passed)
                failed |= found.failed
                hopeless |= found.hopeless
                passed &= found.passed
        scores: dict[str, float] = {}
        if len(passed) > 1:
            scoring = [each for each in self._interested(pod) if each.settings.prioritize_verb]
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(self._scored(each, pod, passed)) for each in scoring]
            for task in asked:
                for node, score in task.result().items():
                    scores[node] = scores.get(node, 0.0) + score
        return Verdict(names, passed, failed, hopeless, scores)

    async def _free(self, pod: core.Pod) -> frozenset[str]:
        while True:
            try:
                return frozenset(self.open_nodes(pod))
            except Cold as cold:
                for _ in cold.steps:
                    await asyncio.sleep(0)

    def chooses(self, pod: core.Pod) -> bool:
        """Whether an extender has a say about whom to evict for the pod."""
        return any(each.settings.preempt_verb for each in self._interested(pod))

    async def choose(
        self, pod: core.Pod, choices: Sequence[Choice], on_row: Callable[[int], Collection[Placed]]
    ) -> Choice | None:
        """The best of the choices that they leave, with the victims that they name. Raises ExtenderFailed."""
        left = {self._columns.nodes[choice.row]: choice for choice in choices}
        for each in self._interested(pod):
            if not each.settings.preempt_verb or not left:
                continue
            try:
                said = await each.preempt(pod, [self._plan(node, choice) for node, choice in left.items()])
            except ExtenderFailed as error:
                self._excuse(each, error)
                continue
            named = {node: said[node] for node in left if node in said}
            left = {
                node: Choice(left[node].row, tuple(_named(on_row(left[node].row), uids)), violations)
                for node, (uids, violations) in named.items()
            }
            left = {node: choice for node, choice in left.items() if choice.victims}
        return min(left.values(), key=lambda choice: choice.cost, default=None)

    def _interested(self, pod: core.Pod) -> list[HttpExtender]:
        return [each for each in self._extenders if each.is_interested(pod)]

    def asks(self, pod: core.Pod) -> bool:
        """Whether an extender is to be asked where the pod may go."""
        return any(each.settings.filter_verb or each.settings.prioritize_verb for each in self._interested(pod))

    async def _filtered(self, extender: HttpExtender, pod: core.Pod, names: frozenset[str]) -> Filtered:
        try:
            return await extender.filter(pod, names)
        except ExtenderFailed as error:
            self._excuse(extender, error)
            return Filtered(names)

    @staticmethod
    async def _scored(extender: HttpExtender, pod: core.Pod, names: frozenset[str]) -> dict[str, float]:
        """As in the original, an extender that fails to score just has no opinion."""
        try:
            return await extender.prioritize(pod, names)
        except ExtenderFailed as error:
            log.warning("extender gave no scores", extender=extender.settings.url_prefix, error=error.message)
            return {}

    @staticmethod
    def _excuse(extender: HttpExtender, error: ExtenderFailed) -> None:
        """Go on without the extender, if that may be."""
        if not extender.settings.ignorable:
            raise error
        log.warning("extender is passed over", extender=extender.settings.url_prefix, error=error.message)

    def _plan(self, node: str, choice: Choice) -> Plan:
        pods = (self._pods.get(Key(victim.namespace, victim.name)) for victim in choice.victims)
        return Plan(node, tuple(pod for pod in pods if pod is not None), choice.violations)

    def masks(self, verdict: Verdict, *, by: str = "") -> tuple[Mask, ...]:
        """Which nodes nothing will help, and which others are left out; `by` goes before an extender's own words."""
        columns = self._columns
        allowed, hopeful = np.zeros(columns.capacity, dtype=bool), np.ones(columns.capacity, dtype=bool)
        score = np.zeros(columns.capacity)
        for node in verdict.hopeless:
            if (row := columns.rows.get(node)) is not None:
                hopeful[row] = False
        for node in verdict.passed:
            if (row := columns.rows.get(node)) is not None:
                allowed[row] = True
                score[row] = verdict.scores.get(node, 0.0)

        def reason(row: int) -> str:
            node = columns.nodes[row]
            said = verdict.hopeless.get(node) or verdict.failed.get(node)
            return NOT_SHOWN if node not in verdict.shown else by + (said or REFUSED_BY_ONE)

        left = Mask(allowed, reason, ANYTHING, curable=True, score=score, last=True)
        return (Mask(hopeful, reason, ANYTHING, last=True), left) if verdict.hopeless else (left,)

    def _pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid or new.spec.node_name):
            self._verdicts.pop(old.metadata.uid, None)


def _named(pods: Iterable[Placed], uids: Collection[str]) -> list[Placed]:
    return by_importance(pod for pod in pods if pod.uid in uids)
