"""Fair order: against a plain reference, and in examples of the paper."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.mesos.drf import Claim, FairOrder, dominant_share


def test_the_example_of_the_paper() -> None:
    """NSDI 2011, 4.1: 9 CPUs and 18 GB; A wants (1, 4) a task, B (3, 1): A gets 3 tasks, B gets 2."""
    wants = {"A": {"cpus": 1, "mem": 4}, "B": {"cpus": 3, "mem": 1}}
    held = {name: {"cpus": 0, "mem": 0} for name in wants}
    left = {"cpus": 9, "mem": 18}
    given_out = {"A": 0, "B": 0}
    while True:
        order = FairOrder({"cpus": 9, "mem": 18}, [Claim("*", name, held[name]) for name in wants])
        chosen = order.next(lambda role, name: all(left[each] >= amount for each, amount in wants[name].items()))
        if chosen is None:
            break
        name = chosen[1]
        given_out[name] += 1
        for each, amount in wants[name].items():
            held[name][each] += amount
            left[each] -= amount
    assert given_out == {"A": 3, "B": 2}


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
    claims = [Claim(f"r{role}", f"f{n}", {"cpus": c, "mem": m}) for n, (role, c, m) in enumerate(frameworks)]
    order = FairOrder(total, claims, weights=by_role)
    held = {claim.framework: dict(claim.held) for claim in claims}
    role_of = {claim.framework: claim.role for claim in claims}
    role_held = {role: {"cpus": 0, "mem": 0} for role in set(role_of.values())}
    for claim in claims:
        for name, amount in claim.held.items():
            role_held[claim.role][name] += amount
    for cpus, mem in gifts:
        got = order.give({"cpus": cpus, "mem": mem}, lambda role, name: True)
        assert got is not None
        role, framework = got
        shares = {each: dominant_share(used, total, weight=by_role[each]) for each, used in role_held.items()}
        assert shares[role] == pytest.approx(min(shares.values()))
        inside = {name: dominant_share(used, total) for name, used in held.items() if role_of[name] == role}
        assert inside[framework] == pytest.approx(min(inside.values()))
        for name, amount in (("cpus", cpus), ("mem", mem)):
            held[framework][name] += amount
            role_held[role][name] += amount


def test_a_role_counts_with_all_below_it() -> None:
    claims = [Claim("eng/web", "a", {"cpus": 60}), Claim("ads", "b", {"cpus": 30}), Claim("eng", "c")]
    order = FairOrder({"cpus": 100}, claims)
    assert order.next(lambda role, name: True) == ("ads", "b")
    assert order.next(lambda role, name: name != "b") == ("eng", "c")
    assert order.shares()["eng"] == pytest.approx(0.6)


def test_weights_shrink_shares() -> None:
    claims = [Claim("heavy", "a", {"cpus": 40}), Claim("light", "b", {"cpus": 30})]
    assert FairOrder({"cpus": 100}, claims).next(lambda *_: True) == ("light", "b")
    assert FairOrder({"cpus": 100}, claims, weights={"heavy": 2.0}).next(lambda *_: True) == ("heavy", "a")


def test_nobody_suits() -> None:
    order = FairOrder({"cpus": 1}, [Claim("*", "a")])
    assert order.give({"cpus": 1}, lambda *_: False) is None
    assert order.give({"cpus": 1}, lambda *_: True) == ("*", "a")


def test_ten_thousand_agents_and_a_thousand_frameworks_take_no_time_to_speak_of() -> None:
    total = {"cpus": 160_000_000, "mem": 640_000_000}
    order = FairOrder(total, [Claim(f"r{n % 10}", f"f{n:04}") for n in range(1000)])
    began = time.perf_counter()
    for _ in range(10_000):
        order.give({"cpus": 16_000, "mem": 64_000}, lambda role, name: True)
    assert time.perf_counter() - began < 0.5  # about 0.03 s; the margin is for busy machines
