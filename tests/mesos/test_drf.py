"""Fair order: against a plain reference, and in examples of the paper."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.mesos.drf import FairOrder, Vector, dominant_share

EVERYONE = (1 << 64) - 1


def order_of(total: Vector, *claims: tuple[str, str, Vector], weights: dict[str, float] | None = None) -> FairOrder:
    """The order of frameworks in roles and what they hold; their numbers are their places."""
    order = FairOrder()
    order.set_total(total)
    for role, weight in (weights or {}).items():
        order.set_weight(role, weight)
    for number, (role, framework, held) in enumerate(claims):
        order.enter(number, role, framework)
        order.take_offers(number, taking=True)
        order.charge(number, held)
    return order


def test_the_example_of_the_paper() -> None:
    """NSDI 2011, 4.1: 9 CPUs and 18 GB; A wants (1, 4) a task, B (3, 1): A gets 3 tasks, B gets 2."""
    wants = [{"cpus": 1, "mem": 4}, {"cpus": 3, "mem": 1}]
    left = {"cpus": 9, "mem": 18}
    order = order_of(left, ("*", "A", {}), ("*", "B", {}))
    turns = [0, 0]
    while True:
        fitting = [all(left[each] >= amount for each, amount in want.items()) for want in wants]
        chosen = order.first(sum(1 << number for number in range(2) if fitting[number]))
        if chosen is None:
            break
        turns[chosen] += 1
        order.charge(chosen, wants[chosen])
        left = {name: left[name] - wants[chosen][name] for name in left}
    assert turns == [3, 2]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=12),
    st.lists(st.floats(0.5, 4), min_size=4, max_size=4),
)
@settings(deadline=None)
def test_the_heap_agrees_with_a_plain_search(
    frameworks: list[tuple[int, int, int]], gifts: list[tuple[int, int]], weights: list[float]
) -> None:
    total = {"cpus": 100, "mem": 100}
    by_role = {f"r{number}": weight for number, weight in enumerate(weights)}
    claims = [(f"r{role}", f"f{n}", {"cpus": c, "mem": m}) for n, (role, c, m) in enumerate(frameworks)]
    order = order_of(total, *claims, weights=by_role)
    held = {name: dict(holds) for _, name, holds in claims}
    role_of = {name: role for role, name, _ in claims}
    role_held = {role: {"cpus": 0, "mem": 0} for role in set(role_of.values())}
    for role, _, holds in claims:
        for name, amount in holds.items():
            role_held[role][name] += amount
    for cpus, mem in gifts:
        got = order.first(EVERYONE)
        assert got is not None
        order.charge(got, {"cpus": cpus, "mem": mem}, turns=1)
        role, framework, _ = claims[got]
        shares = {each: dominant_share(used, total, weight=by_role[each]) for each, used in role_held.items()}
        assert shares[role] == pytest.approx(min(shares.values()))
        inside = {name: dominant_share(used, total) for name, used in held.items() if role_of[name] == role}
        assert inside[framework] == pytest.approx(min(inside.values()))
        for name, amount in (("cpus", cpus), ("mem", mem)):
            held[framework][name] += amount
            role_held[role][name] += amount


def test_a_role_counts_with_all_below_it() -> None:
    claims = (("eng/web", "a", {"cpus": 60}), ("ads", "b", {"cpus": 30}), ("eng", "c", {}))
    order = order_of({"cpus": 100}, *claims)
    assert order.first(EVERYONE) == 1
    assert order.first(0b101) == 2
    assert order.shares()["eng"] == pytest.approx(0.6)


def test_weights_shrink_shares() -> None:
    claims = (("heavy", "a", {"cpus": 40}), ("light", "b", {"cpus": 30}))
    assert order_of({"cpus": 100}, *claims).first(EVERYONE) == 1
    assert order_of({"cpus": 100}, *claims, weights={"heavy": 2.0}).first(EVERYONE) == 0


def test_who_takes_no_offers_counts_for_its_role_all_the_same() -> None:
    order = order_of({"cpus": 100}, ("x", "a", {"cpus": 60}), ("x", "b", {}), ("y", "c", {"cpus": 30}))
    order.take_offers(0, taking=False)
    assert order.first(EVERYONE) == 2
    order.leave(0)
    assert order.first(EVERYONE) == 1


def test_equals_take_turns_though_they_give_everything_back() -> None:
    order = order_of({"cpus": 100}, ("*", "a", {}), ("*", "b", {}))
    turns = []
    for _ in range(4):
        turns.append(order.first(EVERYONE))
        order.charge(turns[-1], {"cpus": 10}, turns=1)
        order.charge(turns[-1], {"cpus": 10}, times=-1)
    assert turns == [0, 1, 0, 1]


def test_nobody_is_left() -> None:
    order = order_of({"cpus": 1}, ("*", "a", {}))
    assert order.first(0) is None
    assert order.first(EVERYONE) == 0


ROLES = ["*", "a", "a/b", "a/b/c", "a/d", "e", "e/f"]
LITTLE = st.integers(0, 5)


@st.composite
def orders(draw: st.DrawFn) -> FairOrder:
    """Some frameworks in roles of any depth, many of them alike; of one resource the cluster may have none."""
    total = {"cpus": draw(st.sampled_from([0, 70, 1000])), "mem": 1000}
    claim = st.builds(lambda cpus, mem: {"cpus": cpus, "mem": mem}, LITTLE, LITTLE)
    claims = draw(st.lists(st.tuples(st.sampled_from(ROLES), claim), min_size=1, max_size=30))
    weights = draw(st.dictionaries(st.sampled_from(ROLES), st.sampled_from([0.3, 1.0, 7.0])))
    named = [(role, f"f{number * 7 % 31:02}", held) for number, (role, held) in enumerate(claims)]
    order = order_of(total, *named, weights=weights)
    for number in draw(st.lists(st.integers(0, len(named) - 1), max_size=5)):
        order.charge(number, {}, times=0, turns=draw(st.integers(1, 3)))
    return order


@given(
    orders(),
    st.integers(0, (1 << 30) - 1) | st.just(EVERYONE),
    st.dictionaries(st.sampled_from(["cpus", "mem", "gpus"]), LITTLE),
    st.integers(0, 80),
)
@settings(deadline=None)
def test_turns_found_together_are_those_found_one_by_one(
    order: FairOrder, among: int, amounts: dict[str, int], count: int
) -> None:
    together = order.turns(among, amounts, count)
    one_by_one = []
    for _ in range(count):
        number = order.first(among)
        if number is not None:
            one_by_one.append(number)
            order.charge(number, amounts, turns=1)
    assert together == one_by_one


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(-1, 40), st.booleans()), max_size=60), st.data())
@settings(deadline=None)
def test_a_hundred_siblings_stay_in_order(steps: list[tuple[int, int, bool]], data: st.DataObject) -> None:
    """Whoever is charged, leaves off taking offers, and is asked about between."""
    order = order_of({"cpus": 1000}, *(("*", f"f{number:03}", {"cpus": 2}) for number in range(100)))
    held, taking = dict.fromkeys(range(100), 2), set(range(100))
    for number, cpus, asked in steps:
        if cpus < 0:
            taking ^= {number}
            order.take_offers(number, taking=number in taking)
        else:
            held[number] += cpus
            order.charge(number, {"cpus": cpus})
        if asked:
            among = data.draw(st.sets(st.integers(0, 99), min_size=1))
            expected = min(among & taking, key=lambda each: (held[each], each), default=None)
            assert order.first(sum(1 << each for each in among)) == expected


@pytest.mark.parametrize("roles", [1, 10, 1000])
def test_a_thousand_frameworks_are_passed_in_runs(roles: int) -> None:
    """Those who may not have something are passed by dozens, wherever they stand."""
    order = order_of({"cpus": 10**9}, *((f"r{n % roles}", f"f{n:04}", {"cpus": n}) for n in range(1000)))
    for number in range(999, -1, -7):
        assert order.first(1 << number) == number
