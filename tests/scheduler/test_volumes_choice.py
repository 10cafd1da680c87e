"""Choosing volumes for claims: what one node gets agrees with which nodes are said to do."""

from hypothesis import given
from hypothesis import strategies as st

from bireme.client.informer import Key
from bireme.scheduler.volumes_choice import Choice, Wish, outcome, places

NODES = frozenset("abcd")
SETS = st.sets(st.sampled_from(sorted(NODES))).map(frozenset)


@st.composite
def wishes(draw: st.DrawFn) -> list[Wish]:
    volumes = {f"v{number}": draw(st.none() | SETS) for number in range(draw(st.integers(0, 5)))}
    made = []
    for number in range(draw(st.integers(1, 3))):
        names = draw(st.lists(st.sampled_from(sorted(volumes)), unique=True)) if volumes else []
        makes = draw(SETS)
        made.append(
            Wish(
                Key("d", f"c{number}"),
                draw(st.sampled_from(["one", "one", f"own-{number}"])),
                draw(st.integers(1, 3)),
                tuple(Choice(f"{name}", volumes[name]) for name in names),
                makes,
                makes & draw(SETS),
            )
        )
    # Volumes stand on one shelf: those of another are others.
    return [
        Wish(
            w.claim,
            w.shelf,
            w.size,
            tuple(Choice(f"{w.shelf}/{c.volume}", c.nodes) for c in w.choices),
            w.makes,
            w.room,
        )
        for w in made
    ]


@given(wishes())
def test_a_node_will_do_when_every_claim_gets_something_there(wanted: list[Wish]) -> None:
    found = places(wanted, NODES)
    assert found.fits == {node for node in NODES if outcome(wanted, node) is not None}
    assert not found.fits & found.cramped


@given(wishes(), st.sampled_from(sorted(NODES)))
def test_what_is_given_can_be_reached_and_is_given_once(wanted: list[Wish], node: str) -> None:
    given_here = outcome(wanted, node)
    if given_here is None:
        return
    by_claim = {wish.claim: wish for wish in wanted}
    assert len(set(given_here.volumes.values())) == len(given_here.volumes)
    assert set(given_here.volumes) | set(given_here.provisions) == set(by_claim)
    for key, volume in given_here.volumes.items():
        nodes = next(choice.nodes for choice in by_claim[key].choices if choice.volume == volume)
        assert nodes is None or node in nodes
    assert all(node in by_claim[key].room for key in given_here.provisions)
