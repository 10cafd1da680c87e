"""What a group means for one of its pods, seen from outside: which members are there, and is there room for them.

The rule is the scheduler's own (`groups.py`), over what was listed. Not seen is whose turn it is among groups.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from bireme.api.kinds import core
from bireme.scheduler.configuration import Settings
from bireme.scheduler.cycle import Cycle
from bireme.scheduler.groups import PodGroups, sort_members
from bireme.scheduler.groups_kinds import GroupKey
from bireme.scheduler.interface import Lack, Mask, Rule, Stop, looked
from bireme.scheduler.profile import Profile
from bireme.scheduler.templates import DefaultSelector
from bireme.scheduler.together import Together
from bireme.scheduler.world import World


def tell_members(groups: PodGroups, key: GroupKey, pods: Sequence[core.Pod]) -> str:
    """Who of the group is there: `group train: 2 of 3 members, 1 of them on a node; it waits for 1 more`."""
    if not groups.caches.is_there(key):
        return f"group {key.name}: there is no such PodGroup; its pods wait until there is"
    gang = groups.caches.gang(key)
    if gang is None:
        return ""
    members = sort_members(pods)
    there = len(members.bound) + len(members.uids)
    text = f"group {key.name}: {there} of {gang.minimum} members"
    if members.bound:
        text += f", {len(members.bound)} of them with a node"
    if there < gang.minimum:
        text += f"; it waits for {gang.minimum - there} more"
    if gated := sum(bool(pod.spec.scheduling_gates) and not pod.spec.node_name for pod in pods):
        text += f"; {gated} held back by scheduling gates"
    return text


def look_at_group(
    groups: PodGroups,
    pod: core.Pod,
    world: World,
    profile: Profile,
    rules: Sequence[Rule],
    default_selector: DefaultSelector,
) -> Sequence[Mask] | Stop | str:
    """What the rule says of the pod: the nodes that it leaves, or why it waits.

    That there is no room for enough members together comes in words: what nodes say of the pod alone is of use then.
    """
    settings = Settings(profiles=(replace(profile, name=pod.spec.scheduler_name or profile.name),))
    cycle = Cycle(world, settings, rules=rules, default_selector=default_selector)
    together = Together(cycle, unheard=nullcontext)
    groups.trial = lambda pods, wanted, within: together.could_place(pods, wanted, but=groups, within=within)
    said = looked(groups, pod)
    if isinstance(said, Stop) and said.lack != Lack.GROUP:
        return said.message.partition(": ")[2].removesuffix(".")
    return said
