"""Several claims on one shelf: kept by node, the answer is that of looking at every volume."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api import volumes as words
from bireme.api.kinds import core, meta
from bireme.client.informer import Key
from bireme.scheduler.volumes_choice import Choice, Wish, outcome, places
from bireme.scheduler.volumes_shelf import Shelf
from bireme.scheduler.volumes_supply import Supply

NODES = frozenset("abcd")
SETS = st.sets(st.sampled_from(sorted(NODES))).map(frozenset)
KINDS = ("fast", "slow")


@dataclass(frozen=True)
class Disk:
    """A volume, and the nodes that reach it: all of them where that is None."""

    volume: core.PersistentVolume
    nodes: frozenset[str] | None


def disk(number: int, size: int, kind: str, nodes: frozenset[str] | None) -> Disk:
    volume = core.PersistentVolume(
        metadata=meta.ObjectMeta(name=f"v{number:02}", labels={"kind": kind}),
        spec=core.PersistentVolumeSpec(
            access_modes=["ReadWriteOnce"], capacity={"storage": f"{size}Gi"}, storage_class_name="local"
        ),
        status=core.PersistentVolumeStatus(phase="Available"),
    )
    return Disk(volume, nodes)


def claim(number: int, size: int, kind: str) -> core.PersistentVolumeClaim:
    selector = meta.LabelSelector(match_labels={"kind": kind}) if kind else None
    return core.PersistentVolumeClaim(
        metadata=meta.ObjectMeta(name=f"c{number}", namespace="d"),
        spec=core.PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"],
            storage_class_name="local",
            selector=selector,
            resources=core.VolumeResourceRequirements(requests={"storage": f"{size}Gi"}),
        ),
    )


disks = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(KINDS), st.none() | SETS), max_size=8)
claims = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(("", *KINDS))), min_size=2, max_size=3)


def plain_wish(
    wanted: core.PersistentVolumeClaim, free: list[Disk], makes: frozenset[str], room: frozenset[str]
) -> Wish:
    suiting = [each for each in free if words.suits(wanted, each.volume)]
    suiting.sort(key=lambda each: (words.capacity(each.volume), each.volume.metadata.name))
    choices = tuple(Choice(each.volume.metadata.name, each.nodes) for each in suiting)
    return Wish(Key("d", wanted.metadata.name), "local", words.requested(wanted), choices, makes, room)


@settings(max_examples=300, deadline=None)
@given(
    disks, claims, st.lists(st.integers(0, 7), max_size=12), st.lists(st.tuples(SETS, SETS), min_size=3, max_size=3)
)
def test_what_is_kept_is_what_a_look_at_every_volume_finds(
    stock: list[tuple[int, str, frozenset[str] | None]],
    wanted: list[tuple[int, str]],
    moves: list[int],
    made: list[tuple[frozenset[str], frozenset[str]]],
) -> None:
    everything = [disk(number, *each) for number, each in enumerate(stock)]
    reached = {each.volume.metadata.name: each.nodes for each in everything}
    asking = sorted((claim(number, *each) for number, each in enumerate(wanted)), key=words.requested)
    supplies = [Supply(each, lambda volume: reached[volume.metadata.name]) for each in asking]
    shelf, free = Shelf(supplies), list[Disk]()
    for move in (*range(len(everything)), *moves):  # each comes, and then some go and come again
        if move >= len(everything):
            continue
        chosen = everything[move]
        for supply in supplies:
            if chosen in free:
                supply.withdraw(chosen.volume.metadata.name)
            else:
                supply.offer(chosen.volume)
        if chosen in free:
            free.remove(chosen)
        else:
            free.append(chosen)
        plain = [
            plain_wish(each, free, makes, makes & some) for each, (makes, some) in zip(asking, made, strict=False)
        ]
        kept = [
            Wish(each.claim, each.shelf, each.size, (), each.makes, each.room, supply, shelf)
            for each, supply in zip(plain, supplies, strict=True)
        ]
        assert places(kept, NODES) == places(plain, NODES)
        for node in NODES:
            assert outcome(kept, node) == outcome(plain, node)
