"""What is advised helps, by the word of a plain scheduler, and a little less of it does not."""

from collections.abc import Sequence
from typing import Any

import msgspec.structs
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.scheduler.plain import HOSTNAME, Plain
from tests.scheduler.test_like_plain import Both, histories, kinds

from bireme.api.kinds import core, meta
from bireme.scheduler.advice import Advice, advise
from bireme.scheduler.candidates import smallest
from bireme.scheduler.changes import Change
from bireme.scheduler.changes_of_nodes import AddNode, Evict, NodeChange
from bireme.scheduler.changes_of_pods import AskLess, Skew, asking
from bireme.scheduler.nodes import node_facts
from bireme.scheduler.score_column import REFUSED
from bireme.scheduler.trial import Trial


def newcomer(kind: core.Pod, priority: int) -> core.Pod:
    spec = msgspec.structs.replace(kind.spec, priority=priority)
    return msgspec.structs.replace(
        kind, metadata=msgspec.structs.replace(kind.metadata, name="new", uid="new"), spec=spec
    )


def changed(plain: Plain, pod: core.Pod, changes: Sequence[Change]) -> tuple[Plain, core.Pod]:
    """What there would be after the changes, made by hand."""
    nodes, pods = dict(plain.nodes), dict(plain.pods)
    for change in changes:
        pod = change.to_pod(pod)
        match change:
            case AddNode(like=like):
                nodes["fresh"] = joined(nodes[like])
            case Evict(pods=gone):
                for each in gone:
                    del pods[each.uid]
            case NodeChange(node=name):
                nodes[name] = made(nodes[name], change)
    return Plain(nodes, pods, plain.namespaces), pod


def made(node: core.Node, change: Change) -> core.Node:
    facts = change.to_node(node_facts(node))
    return core.Node(
        metadata=meta.ObjectMeta(name=node.metadata.name, labels=dict(facts.labels)),
        spec=core.NodeSpec(taints=list(facts.taints), unschedulable=facts.unschedulable or None),
        status=node.status,
    )


def joined(node: core.Node) -> core.Node:
    return core.Node(
        metadata=meta.ObjectMeta(name="fresh", labels={**node.metadata.labels, HOSTNAME: "fresh"}),
        spec=core.NodeSpec(taints=node.spec.taints),
        status=node.status,
    )


def less(changes: Sequence[Change]) -> list[tuple[Change, ...]]:
    """Every way of doing a little less."""
    found: list[tuple[Change, ...]] = []
    for place, change in enumerate(changes):
        around = changes[:place], changes[place + 1 :]
        if around[0] or around[1]:
            found.append((*around[0], *around[1]))
        smaller = list(change.without())
        if isinstance(change, AskLess):
            for at, (name, was, to) in enumerate(change.amounts):
                rest = (*change.amounts[:at], (name, was, to + 1), *change.amounts[at + 1 :])
                smaller.append(AskLess(tuple(each for each in rest if each[2] < each[1])))
        if isinstance(change, Skew):
            smaller.append(Skew(change.number, change.topology_key, change.was, change.to - 1))
        found += [(*around[0], each, *around[1]) for each in smaller]
    return found


def checked(plain: Plain, pod: core.Pod, advice: Advice) -> None:
    there, wanting = changed(plain, pod, advice.changes)
    assert advice.nodes
    for name in advice.nodes:
        assert there.fits(wanting, there.nodes["fresh" if name.startswith("\0") else name]), advice.text
    for changes in less(advice.changes):
        there, wanting = changed(plain, pod, changes)
        assert not there.feasible(wanting), (advice.text, [change.text for change in changes])


@settings(max_examples=80, deadline=None, phases=[Phase.generate])
@given(
    histories(), st.lists(kinds(), min_size=1, max_size=3), kinds(), st.sampled_from((0, 5)), st.sampled_from((1, 7))
)
def test_what_is_advised_helps_and_no_less_does(
    history: list[tuple[str, Any]], pods: list[core.Pod], kind: core.Pod, priority: int, factor: int
) -> None:
    both = Both()
    for step, value in history:
        both.play(step, value, pods)
    pod = newcomer(kind, priority)
    pod = asking(pod, {"cpu": 900 * factor, "memory": factor * 2**29})
    feasible = both.plain.feasible(pod)
    for owns_world in (False, True):
        trial = Trial(both.world, pod, owns_world=owns_world)
        before = trial.template().scores().copy()
        advice = advise(trial, trial.explanation())
        assert not (advice and feasible)
        for each in advice:
            checked(both.plain, pod, each)
        after = trial.template().scores()[: len(before)]
        assert (before == after).all(), "nothing may be left of what was tried"
        assert bool((after > REFUSED).any()) == bool(feasible)


@given(st.integers(2, 1000), st.integers(2, 1000), st.integers(2, 1000))
def test_the_smallest_number_that_helps(low: int, least: int, high: int) -> None:
    found = smallest(lambda number: number >= least, low, max(low, high))
    assert found == (max(low, least) if least <= max(low, high) else None)
