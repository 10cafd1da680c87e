"""One turn of scheduling, as a decision: which node for this pod, or why none, and who would have to go for it.

Plain calls between two events, so nothing changes under them. What was decided stands in the ledger (and with the
rules) when `decide` returns; telling the API is `acting.py`'s. The steps are those of the Kubernetes documentation
("Scheduling Framework"): filters and scores are the template's, what rules add comes as masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bireme.api.kinds import core
from bireme.scheduler.configuration import Settings
from bireme.scheduler.explanation import Explanation, message
from bireme.scheduler.interface import (
    NOTHING,
    ROOM,
    Choosing,
    Cold,
    Lack,
    Mask,
    Move,
    Ranking,
    Rule,
    Stop,
    looked,
    plugin_of,
)
from bireme.scheduler.mask_scores import preferences
from bireme.scheduler.nominated import Nominated
from bireme.scheduler.preempting import Preempting, Said
from bireme.scheduler.preemption import NOT_HELPFUL, Choice
from bireme.scheduler.scores import REFUSED
from bireme.scheduler.templates import DefaultSelector, Template, Templates
from bireme.scheduler.twins import Twins
from bireme.scheduler.world import World


@dataclass(frozen=True, slots=True)
class Found:
    """The pod's node; booked. `rules` are those with which something was reserved."""

    node: str
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """No node will do: the words of the event, what would help, and whose departure would.

    `lack` is nothing where a node was found but could not be had. `wants_offers`: offers that are out stand in the
    way. `gives_up`: no node is being made free for the pod, nor could be. `choices`: a rule must agree to one first.
    `moves`: room is to be made for several pods at once.
    """

    text: str
    lack: Lack
    twins: Twins | None = None
    choice: Choice | None = None
    wants_offers: bool = False
    gives_up: bool = False
    choices: tuple[Choice, ...] = ()
    moves: tuple[Move, ...] = ()


class Cycle:
    """See the module."""

    def __init__(
        self,
        world: World,
        settings: Settings,
        *,
        rules: Sequence[Rule] = (),
        default_selector: DefaultSelector,
    ) -> None:
        self.world = world
        self._preempting_profiles = settings.preempting
        self._templates = {
            profile.name: Templates(world, profile, default_selector=default_selector)
            for profile in settings.profiles
        }
        self._rules_of = {
            profile.name: tuple(rule for rule in rules if plugin_of(rule) not in profile.off)
            for profile in settings.profiles
        }
        for rule in rules:
            if isinstance(rule, Ranking):
                rule.rank_in(world.ranks)
        self.names = frozenset(self._templates)
        self._last: tuple[object, Refused] | None = None
        self.nominated = Nominated(world)
        self.preempting = Preempting(world, self.nominated)

    def template(self, pod: core.Pod) -> Template:
        """The template of the pod in its profile."""
        return self._templates[pod.spec.scheduler_name].of(pod)

    def rules_of(self, pod: core.Pod) -> tuple[Rule, ...]:
        """The rules that have a say about the pod."""
        rules = self._rules_of[pod.spec.scheduler_name]
        return tuple(rule for rule in rules if rule.concerns(pod)) if rules else ()

    def may_preempt(self, pod: core.Pod) -> bool:
        """Whether others may have to go for the pod at all."""
        return pod.spec.scheduler_name in self._preempting_profiles and self.world.ranks.may_preempt(pod)

    def decide(self, pod: core.Pod) -> Found | Refused:
        """The pod's node, which it holds from now on, or why it gets none. Raises Cold or Unheard."""
        template = self.template(pod)
        rules = self.rules_of(pod)
        said: list[Said] = []
        for rule in rules:
            answer = rule.look(pod)
            if isinstance(answer, Stop):
                return self._stopped(pod, template, answer)
            said += ((rule, mask) for mask in answer)
        masks = [mask for _, mask in said]
        if len(self.nominated):
            uid, priority = pod.metadata.uid, self.world.ranks.priority(pod)
            held = self.nominated.mask(template, least=priority, but=uid)
            if held is not None:
                masks.append(held)
        row = self._row(pod, template, masks)
        if row is None:
            return self._refused(pod, template, said, masks)
        node = self.world.ledger.columns.nodes[row]
        for number, rule in enumerate(rules):
            if not rule.reserve(pod, node):
                for reserved in rules[: number + 1]:
                    reserved.release(pod)
                return Refused("", NOTHING)
        self.nominated.remove(pod.metadata.uid)
        template.assume(pod, node)
        return Found(node, rules)

    def reasons(self, pod: core.Pod) -> dict[str, list[str]]:
        """The reasons of each node that refuses the pod, by node name; an empty list for one that would take it."""
        masks: list[Mask] = []
        for rule in self.rules_of(pod):
            answer = looked(rule, pod)
            if isinstance(answer, Stop):
                return {name: [answer.message] for name in self.world.ledger.nodes()}
            masks += answer
        found = Explanation(self.template(pod), masks)
        return {name: found.of(row) for name, row in self.world.ledger.columns.live_rows()}

    def _row(self, pod: core.Pod, template: Template, masks: Sequence[Mask]) -> int | None:
        """The best row; that which was made free for the pod before all others."""
        node = self.nominated.node_of(pod.metadata.uid)
        row = self.world.nodes.row(node) if node else -1
        if row >= 0 and template.scores(masks, pod=pod)[row] > REFUSED:
            return row
        if any(mask.score is not None for mask in masks):
            return best_of(template, masks, pod)
        return template.best(masks, pod=pod)

    def _stopped(self, pod: core.Pod, template: Template, stop: Stop) -> Refused:
        text, count = stop.message, int(self.world.nodes.present.sum())
        if count and not stop.moves and self.may_preempt(pod):
            text += f" preemption: {message(count, [(NOT_HELPFUL, count)])}"
        twins = Twins(template, self.world.ranks.priority(pod), preempts=False, only=pod.metadata.uid)
        held = stop.gives_up and not stop.moves and bool(self.nominated.node_of(pod.metadata.uid))
        waits = held and bool(self.preempting.objection(pod))  # those who are leaving may still make the room
        lack = stop.lack | ROOM if waits else stop.lack  # and when they have left, it may be given up
        return Refused(text, lack, twins, gives_up=held and not waits, moves=stop.moves)

    def _refused(self, pod: core.Pod, template: Template, said: Sequence[Said], masks: Sequence[Mask]) -> Refused:
        """The last answer, if this pod is a twin of the last that was refused and nothing has changed since."""
        twins = self._twins(pod, template, said)
        world, spec = self.world, pod.spec
        state = world.ledger.columns.position, world.nodes.version, world.namespaces_version
        key = (twins, spec.scheduler_name, spec.preemption_policy, state)
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        refused = self._explained(pod, template, said, masks)
        own = self._templates[spec.scheduler_name].profile.scorers or template.spread is not None
        self._last = None if own or twins.only or refused.choice is not None else (key, refused)
        return refused

    def _explained(self, pod: core.Pod, template: Template, said: Sequence[Said], masks: Sequence[Mask]) -> Refused:
        found = Explanation(template, masks)
        text = message(int(self.world.nodes.present.sum()), found.counts().items())
        lack = found.lack | Lack.NODE
        if lack & (Lack.AMOUNTS | Lack.PORTS) and self._offers_are_in_the_way(template):
            return Refused(text, lack, self._twins(pod, template, said), wants_offers=True)
        if pod.spec.scheduler_name not in self._preempting_profiles or not self.world.nodes.present.any():
            return Refused(text, lack, self._twins(pod, template, said))
        if objection := self.preempting.objection(pod):
            return Refused(f"{text} preemption: {objection}", lack, self._twins(pod, template, said))
        if self.preempting.is_cold(self.world.ranks.priority(pod)):
            raise Cold(self.preempting.warm())
        others = any(isinstance(rule, Choosing) and rule.chooses(pod) for rule in self.rules_of(pod))
        seen: list[Choice] = []
        choice = self.preempting.choose(pod, template, found, said, seen if others else None)
        if isinstance(choice, str):
            return Refused(f"{text} preemption: {choice}", lack, self._twins(pod, template, said), gives_up=True)
        return Refused(text, lack, self._twins(pod, template, said, alone=True), choice, choices=tuple(seen))

    def _twins(self, pod: core.Pod, template: Template, said: Sequence[Said], *, alone: bool = False) -> Twins:
        uid = pod.metadata.uid
        alone = alone or bool(said) or bool(self.nominated.node_of(uid))
        return Twins(template, self.world.ranks.priority(pod), self.may_preempt(pod), uid if alone else "")

    def _offers_are_in_the_way(self, template: Template) -> bool:
        ledger = self.world.ledger
        uncounted = template.column.uncounted
        requests = {name: amount for name, amount in template.demand.requests.items() if name not in uncounted}
        if not ledger.statistics().offers:
            return False
        nodes = ledger.would_fit_without_offers(requests, ports=template.column.ports)
        return any(template.column.allowed[ledger.columns.rows[node]] for node in nodes)


def best_of(template: Template, masks: Sequence[Mask], pod: core.Pod) -> int | None:
    """The best row where rules have preferences of their own, the lowest of equals."""
    total = template.scores(masks, pod=pod)
    for _, weight, points in preferences(masks, template.profile, total > REFUSED):
        total = total + weight * points
    row = int(total.argmax()) if len(total) else -1
    return row if row >= 0 and total[row] > REFUSED else None
