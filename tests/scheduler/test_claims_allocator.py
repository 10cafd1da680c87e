"""Allocating devices: what a search must find, checked against trying everything in small worlds."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api import quantity
from bireme.api.cel.errors import CelError
from bireme.api.kinds import meta, resource
from bireme.scheduler.claims_allocator import Alternative, Constraint, Pick, Taken, Wanted, allocate
from bireme.scheduler.claims_devices import Device, Pool, PoolId, pool_of
from bireme.scheduler.claims_fit import consumption

ID = PoolId("d.example.com", "p")


def published(
    devices: Sequence[resource.Device], counters: Mapping[str, str] | None = None, **spec: Any
) -> resource.ResourceSlice:
    sets = [
        resource.CounterSet(name="s", counters={k: resource.Counter(value=v) for k, v in (counters or {}).items()})
    ]
    return resource.ResourceSlice(
        metadata=meta.ObjectMeta(name="slice"),
        spec=resource.ResourceSliceSpec(
            driver=ID.driver,
            node_name="n",
            pool=resource.ResourcePool(name=ID.pool, generation=1, resource_slice_count=1),
            devices=list(devices),
            shared_counters=sets if counters else [],
            **spec,
        ),
    )


def pool(*devices: resource.Device, counters: Mapping[str, str] | None = None, rules: Sequence[Any] = ()) -> Pool:
    made = pool_of(ID, [published(devices, counters)], rules)
    assert made is not None
    return made


def device(name: str, *, taint: str = "", draws: int = 0, shared: bool = False, **attributes: Any) -> resource.Device:
    draw = resource.DeviceCounterConsumption(counter_set="s", counters={"slots": resource.Counter(value=str(draws))})
    said: dict[str, resource.DeviceAttribute] = {}
    for key, value in attributes.items():
        said[key] = (
            resource.DeviceAttribute(string=value) if isinstance(value, str) else resource.DeviceAttribute(int_=value)
        )
    return resource.Device(
        name=name,
        attributes=said,
        capacity={"memory": resource.DeviceCapacity(value="8Gi")},
        taints=[resource.DeviceTaint(key=taint, effect="NoSchedule")] if taint else [],
        consumes_counters=[draw] if draws else [],
        allow_multiple_allocations=shared or None,
    )


def ask(name: str = "r", *, count: int | None = 1, cel: str = "true", parent: str = "", **more: Any) -> Alternative:
    return Alternative(name, parent, count, lambda device: device.selected_by(cel), **more)


def one(*alternatives: Alternative, **constraint: Any) -> Wanted:
    several = (Constraint(requests=frozenset(), **constraint),) if constraint else ()
    return Wanted(tuple((each,) for each in alternatives), several)


def names(picks: Sequence[Sequence[Pick]] | None) -> list[list[str]] | None:
    return None if picks is None else [[pick.device.id.name for pick in several] for several in picks]


def found(pool: Pool, *wanted: Wanted, taken: Sequence[str] = ()) -> list[list[str]] | None:
    held = Taken()
    for each in pool.devices:
        if each.id.name in taken:
            held.add(Pick(ask(), each))
    return names(allocate(wanted, pool.devices, held, {pool.id: pool}))


@pytest.mark.parametrize(
    ("wanted", "taken", "expected"),
    [
        pytest.param([one(ask())], [], [["a"]], id="the first that fits"),
        pytest.param([one(ask(count=2))], ["a"], [["b", "c"]], id="those that are free"),
        pytest.param([one(ask(count=3))], ["a"], None, id="not as many"),
        pytest.param(
            [one(ask(count=None, cel='device.attributes["d.example.com"].model == "x"'))], [], [["a", "b"]], id="all"
        ),
        pytest.param([one(ask(count=None))], ["a"], None, id="all, of which one is taken"),
        pytest.param([one(ask(cel='device.attributes["d.example.com"].n == 3'))], [], [["c"]], id="by an expression"),
        pytest.param([one(ask(cel='has(device.attributes["other"].n)'))], [], None, id="by what no device has"),
        pytest.param([one(ask()), one(ask())], [], [["a"], ["b"]], id="two claims get two"),
        pytest.param(
            [one(ask(count=2), attribute="d.example.com/model")], ["a"], None, id="no two of one model are left"
        ),
        pytest.param(
            [one(ask(count=2), attribute="d.example.com/model", distinct=True)], [], [["a", "c"]], id="of two models"
        ),
        pytest.param(
            [one(ask("x"), ask("y", cel='device.attributes["d.example.com"].n == 1'))],
            [],
            [["b", "a"]],
            id="goes back",
        ),
        pytest.param([one(ask(admin=True, count=None))], ["a"], [["a", "b", "c"]], id="an administrator sees all"),
        pytest.param(
            [Wanted(((ask("r/big", count=4, parent="r"), ask("r/small", count=2, parent="r")),))],
            [],
            [["a", "b"]],
            id="the first alternative that can be had",
        ),
    ],
)
def test_devices_for_claims(wanted: list[Wanted], taken: list[str], expected: Any) -> None:
    there = pool(device("a", model="x", n=1), device("b", model="x", n=2), device("c", model="y", n=3))
    assert found(there, *wanted, taken=taken) == expected


def test_a_tainted_device_is_for_those_who_tolerate_it() -> None:
    rule = resource.DeviceTaintRule(
        spec=resource.DeviceTaintRuleSpec(
            device_selector=resource.DeviceTaintSelector(device="b"),
            taint=resource.DeviceTaint(key="k", value="v", effect="NoExecute"),
        )
    )
    there = pool(device("a", taint="broken"), device("b"), rules=[rule])
    assert found(there, one(ask())) is None
    patient = (resource.DeviceToleration(key="k", operator="Equal", value="v"),)
    assert found(there, one(ask(tolerations=patient))) == [["b"]]
    anything = (resource.DeviceToleration(operator="Exists"),)
    assert found(there, one(ask(tolerations=anything))) == [["a"]]


def test_partitions_share_what_their_card_has() -> None:
    there = pool(
        device("whole", draws=4), device("half-1", draws=2), device("half-2", draws=2), counters={"slots": "4"}
    )
    assert found(there, one(ask()), taken=["half-1"]) == [["half-2"]]
    assert found(there, one(ask()), taken=["whole"]) is None
    assert found(there, one(ask(count=2))) == [["half-1", "half-2"]]


def test_parts_of_a_device_are_given_out_until_it_is_used_up() -> None:
    policy = resource.CapacityRequestPolicy(
        default="1Gi", valid_range=resource.CapacityRequestPolicyRange(min="1Gi", step="2Gi", max="5Gi")
    )
    said = device("a", shared=True)
    said.capacity = {"memory": resource.DeviceCapacity(value="8Gi", request_policy=policy)}
    there = pool(said)
    three = ask(capacity={"memory": quantity.nanos("2Gi")})  # rounded up to 3Gi
    assert found(there, one(three), one(three)) == [["a"], ["a"]]
    assert found(there, one(three), one(three), one(three)) is None
    assert consumption(said, {"memory": quantity.nanos("6Gi")}, shared=True) is None
    assert consumption(said, {}, shared=True) == {"memory": quantity.nanos("1Gi")}


def test_a_pool_is_used_when_it_is_complete() -> None:
    slices = [published([device("a")]), published([device("b")])]
    slices[1].metadata.name = "second"
    assert pool_of(ID, slices) is None  # one slice was announced
    for each in slices:
        each.spec.pool.resource_slice_count = 2
    made = pool_of(ID, slices)
    assert made is not None
    assert {each.id.name for each in made.devices} == {"a", "b"}
    slices[1].spec.pool.generation = 2
    assert pool_of(ID, slices) is None  # the newer generation is not whole yet


def test_an_expression_that_fails_is_told() -> None:
    there = pool(device("a"))
    with pytest.raises(CelError, match="no such key"):
        found(there, one(ask(cel='device.attributes["d.example.com"].model == "x"')))


# Against trying everything


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Pool, list[Wanted], list[str]]:
    devices = [
        device(
            f"d{number}",
            model=draw(st.sampled_from(["x", "y"])),
            n=number % draw(st.integers(1, 3)),
            draws=draw(st.integers(0, 2)),
        )
        for number in range(draw(st.integers(1, 5)))
    ]
    there = pool(*devices, counters={"slots": str(draw(st.integers(1, 5)))})
    wanted = []
    for claim in range(draw(st.integers(1, 2))):
        requests = []
        for number in range(draw(st.integers(1, 2))):
            cels = [
                "true",
                'device.attributes["d.example.com"].model == "x"',
                'device.attributes["d.example.com"].n > 0',
            ]
            several = [
                ask(
                    f"r{claim}{number}/{which}",
                    count=draw(st.sampled_from([1, 1, 2, None])),
                    cel=draw(st.sampled_from(cels)),
                )
                for which in range(draw(st.integers(1, 2)))
            ]
            requests.append(tuple(several))
        attribute = draw(st.sampled_from(["", "d.example.com/model", "d.example.com/n"]))
        constraint = Constraint(attribute, frozenset(), draw(st.booleans()))
        wanted.append(Wanted(tuple(requests), (constraint,) if attribute else ()))
    taken = draw(st.lists(st.sampled_from([each.name for each in devices]), unique=True, max_size=2))
    return there, wanted, taken


def every_way(there: Pool, wanted: list[Wanted], busy: set[str]) -> Iterator[list[list[Device]]]:
    """Every way to give each request devices of its own liking, with no regard for anything else."""
    ways = []
    for claim in wanted:
        for alternatives in claim.requests:
            sets: list[tuple[Device, ...]] = []
            for each in alternatives:
                liked = [d for d in there.devices if each.selects(d)]
                if each.count is None:
                    sets += [tuple(liked)] if liked else []
                else:
                    sets += itertools.combinations(liked, each.count)
            ways.append(sets)
    for way in itertools.product(*ways):
        rest = iter(way)
        yield [[d for _ in claim.requests for d in next(rest)] for claim in wanted]


def is_sound(there: Pool, wanted: list[Wanted], busy: set[str], way: list[list[Device]]) -> bool:
    """No device twice, none that is taken, counters not overdrawn, constraints kept."""
    every = [each for several in way for each in several]
    counts = Counter(each.id.name for each in every)
    if max(counts.values(), default=0) > 1 or busy & set(counts):
        return False
    held = [each for each in there.devices if each.id.name in busy]
    drawn = sum(draw.counters["slots"] for each in (*every, *held) for draw in each.draws)
    drawn_before = sum(draw.counters["slots"] for each in held for draw in each.draws)
    if drawn > there.counters["s"]["slots"] and drawn != drawn_before:
        return False
    for claim, several in zip(wanted, way, strict=True):
        for constraint in claim.constraints:
            values = [each.attributes[constraint.attribute] for each in several]
            if constraint.distinct and len(set(values)) != len(values):
                return False
            if not constraint.distinct and len(set(values)) > 1:
                return False
    return True


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_the_search_finds_what_trying_everything_finds(world: tuple[Pool, list[Wanted], list[str]]) -> None:
    there, wanted, busy = world
    held = Taken()
    for each in there.devices:
        if each.id.name in busy:
            held.add(Pick(ask(), each))
    before = (set(held.whole), {k: dict(v) for k, v in held.drawn.items()})
    picks = allocate(wanted, there.devices, held, {there.id: there})
    assert (set(held.whole), {k: dict(v) for k, v in held.drawn.items() if k in before[1]}) == before
    possible = any(is_sound(there, wanted, set(busy), way) for way in every_way(there, wanted, set(busy)))
    assert (picks is not None) == possible
    if picks is not None:
        assert is_sound(there, wanted, set(busy), [[pick.device for pick in several] for several in picks])


@settings(max_examples=100, deadline=None)
@given(worlds(), st.lists(st.integers(0, 3), max_size=12))
def test_claims_that_come_and_go_never_share_a_device(
    world: tuple[Pool, list[Wanted], list[str]], turns: list[int]
) -> None:
    there, wanted, _ = world
    held = Taken()
    mine: dict[int, list[Pick]] = {}
    for number, turn in enumerate(turns):
        if turn == 0 and mine:
            for pick in mine.pop(next(iter(mine))):
                held.add(pick, -1)
            continue
        picks = allocate(wanted, there.devices, held, {there.id: there})
        if picks is not None:
            mine[number] = [pick for several in picks for pick in several]
            for pick in mine[number]:
                held.add(pick)
        every = [pick.device for several in mine.values() for pick in several]
        assert len({each.id for each in every}) == len(every)
        assert held.whole == {each.id for each in every}
        drawn = sum(draw.counters["slots"] for each in every for draw in each.draws)
        assert drawn <= there.counters["s"]["slots"]
