"""Offers: never the same thing twice, never to one who refused it."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.mesos import eligibility, refusals
from bireme.mesos.allocator import Allocator, FrameworkView, Grant
from bireme.mesos.amounts import NOTHING, Amounts
from bireme.mesos.constraints import InvalidConstraints, compile_constraints
from bireme.mesos.eligibility import AgentView
from bireme.mesos.refusals import Filters
from bireme.mesos.seats import Seats, members


def agent(number: int, cpus: int = 4000, mem: int = 8_000_000) -> AgentView:
    return AgentView(f"S{number}", Amounts({"cpus": cpus, "mem": mem}), f"host{number}")


def framework(name: str, *roles: str, **more: object) -> FrameworkView:
    return FrameworkView(name, roles or ("*",), **more)  # type: ignore[arg-type]


def allocator_of(agents: list[AgentView], frameworks: list[FrameworkView], *, seed: int = 1) -> Allocator:
    allocator = Allocator(random=Random(seed))
    allocator.order.set_total({"cpus": 100_000, "mem": 100_000_000})
    for each in frameworks:
        allocator.set_framework(each)
    for view in agents:
        allocator.set_agent(view)
    return allocator


def allocate(allocator: Allocator, now: float = 0) -> list[Grant]:
    """All there is to grant, each charged and taken from its agent."""
    found: list[Grant] = []
    while allocator.waiting:
        allocator.begin(now=now)
        while grants := allocator.grants():
            for grant in grants:
                allocator.charge(grant.framework_id, grant.role, grant.amounts.scalars, turns=1)
                allocator.set_free(grant.agent_id, NOTHING)
            found += grants
    return found


def granted(agents: list[AgentView], frameworks: list[FrameworkView]) -> list[Grant]:
    return allocate(allocator_of(agents, frameworks))


@given(
    st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 100_000)), max_size=12),
    st.lists(st.sampled_from(["*", "a", "a/b", "c"]), min_size=1, max_size=5),
    st.integers(0, 100),
)
@settings(deadline=None)
def test_each_agent_goes_whole_to_one_framework_in_one_of_its_roles(
    sizes: list[tuple[int, int]], roles: list[str], seed: int
) -> None:
    agents = [agent(number, cpus, mem) for number, (cpus, mem) in enumerate(sizes)]
    frameworks = [framework(f"f{number}", role) for number, role in enumerate(roles)]
    free = {each.agent_id: each.free for each in agents}
    grants = allocate(allocator_of(agents, frameworks, seed=seed))
    assert len({grant.agent_id for grant in grants}) == len(grants)
    role_of = {each.framework_id: each.roles for each in frameworks}
    for grant in grants:
        assert grant.amounts == free[grant.agent_id]
        assert grant.role in role_of[grant.framework_id]
    large = [name for name, each in free.items() if eligibility.is_large_enough(each, eligibility.MINIMUM)]
    assert {grant.agent_id for grant in grants} == set(large)


def test_two_equal_frameworks_share_the_agents() -> None:
    grants = granted([agent(n) for n in range(10)], [framework("a"), framework("b")])
    assert sorted(grant.framework_id for grant in grants) == ["a"] * 5 + ["b"] * 5


def test_a_refusal_holds_for_as_much_or_less_and_only_for_its_time() -> None:
    """Decline 10 s of 2 CPU: an offer of 3 CPU passes, one of 1 CPU doesn't."""
    for cpus, who, now, passes in ((1000, "a", 9, 0), (3000, "a", 9, 1), (1000, "b", 9, 1), (1000, "a", 10, 1)):
        allocator = allocator_of([agent(0, cpus)], [framework(who)])
        allocator.refuse("a", "*", "S0", Amounts({"cpus": 2000, "mem": 8_000_000}), until=10)
        assert len(allocate(allocator, now)) == passes


def test_what_nobody_took_is_looked_at_again_when_a_refusal_ends() -> None:
    allocator = allocator_of([agent(0)], [framework("a"), framework("b")])
    for name, until in (("a", 5.0), ("b", 7.0)):
        allocator.refuse(name, "*", "S0", agent(0).free, until=until)
    assert allocate(allocator, 4.9) == []
    assert not allocator.waiting
    allocator.begin(now=5.0)
    (grant,) = allocate(allocator, 5.0)
    assert grant.framework_id == "a"


def test_a_framework_that_joins_or_wants_more_is_offered_what_is_there() -> None:
    allocator = allocator_of([agent(0), agent(1)], [])
    assert allocate(allocator) == []
    allocator.set_framework(framework("a", minimum={"*": ({"cpus": 9000},)}))
    assert allocate(allocator) == []
    allocator.set_framework(framework("a"))
    assert len(allocate(allocator)) == 2


def test_offers_suppressed_for_a_role_still_count_for_it() -> None:
    allocator = allocator_of([], [framework("a", "x"), framework("b", "x"), framework("c", "y")])
    allocator.charge("a", "x", {"cpus": 4000})
    allocator.set_framework(framework("a", "z"))
    allocator.set_agent(agent(0))
    assert [grant.role for grant in allocate(allocator)] == ["y"]


class PlainFilters:
    """Refusals as a plain list: what `Filters` must agree with."""

    def __init__(self) -> None:
        self.held: list[tuple[str, str, str, Amounts, float]] = []

    def refuse(self, framework_id: str, role: str, agent_id: str, amounts: Amounts, *, until: float) -> None:
        self.held.append((framework_id, role, agent_id, amounts, until))

    def clear(self, framework_id: str, roles: list[str] | None) -> None:
        self.held = [
            each for each in self.held if each[0] != framework_id or (roles is not None and each[1] not in roles)
        ]

    def forget_agent(self, agent_id: str) -> None:
        self.held = [each for each in self.held if each[2] != agent_id]

    def against(self, agent_id: str, amounts: Amounts, now: float) -> set[tuple[str, str]]:
        return {
            (role, framework_id)
            for framework_id, role, agent, refused, until in self.held
            if agent == agent_id and until > now and refused.contains(amounts)
        }


NAMES, ROLES, AGENTS = (st.sampled_from(list(words)) for words in ("fg", "xy", "ST"))
SIZES = st.builds(lambda cpus, mem: Amounts({"cpus": cpus, "mem": mem}), st.integers(1, 3), st.integers(1, 3))
STEPS = st.one_of(
    st.tuples(st.just("refuse"), NAMES, ROLES, AGENTS, SIZES, st.integers(0, 6)),
    st.tuples(st.just("clear"), NAMES, st.none() | st.lists(ROLES, max_size=2)),
    st.tuples(st.just("forget"), AGENTS),
    st.tuples(st.just("ask"), AGENTS, SIZES),
    st.tuples(st.just("wait"), st.integers(1, 20)),
)


@given(st.lists(STEPS, max_size=40))
@settings(deadline=None)
def test_refusals_agree_with_a_plain_list(steps: list[tuple]) -> None:
    """Whatever was refused, asked for, cleared and outlived before."""
    seats, plain, now = Seats(), PlainFilters(), 0.0
    filters = Filters(seats)
    for what, *words in steps:
        match what:
            case "refuse":
                *words, seconds = words
                filters.refuse(*words, until=now + seconds)
                plain.refuse(*words, until=now + seconds)
            case "clear":
                filters.clear(*words)
                plain.clear(*words)
            case "forget":
                filters.forget_agent(*words)
                plain.forget_agent(*words)
            case "ask":
                filters.expire(now)
                found = {seats.seat(number) for number in members(filters.against(*words))}
                assert found == plain.against(*words, now)
            case "wait":
                now += words[0] / 8
    filters.expire(now)
    live = {(each[0], each[1], each[2], repr(each[3])) for each in plain.held if each[4] > now}
    assert sum(filters.active().values()) == len(live)


def test_the_table_of_ends_does_not_grow_with_refusals_that_were_cleared() -> None:
    filters = Filters()
    for _ in range(100):
        for number in range(100):
            filters.refuse("a", "*", f"S{number}", Amounts({"cpus": 1}), until=1e9)
        filters.clear("a")
    assert filters.noted < 5000


def test_refusals_are_cleared_by_role() -> None:
    allocator = allocator_of([agent(0)], [framework("a", "x", "y")])
    for role in ("x", "y"):
        allocator.refuse("a", role, "S0", Amounts({"cpus": 9000, "mem": 9_000_000}), until=10)
    assert allocate(allocator) == []
    allocator.revive("a", ["x"])
    (grant,) = allocate(allocator)
    assert grant.role == "x"
    assert allocator.filters.active() == {"y": 1}


@pytest.mark.parametrize(
    ("filters", "seconds"),
    [
        (None, 5),
        ({}, 5),
        ({"refuse_seconds": 0.0}, 0),
        ({"refuse_seconds": -1.0}, 5),
        ({"refuse_seconds": float("nan")}, 5),
        ({"refuse_seconds": 1e12}, 365 * 86400),
    ],
)
def test_refuse_seconds(filters: dict[str, float] | None, seconds: float) -> None:
    assert refusals.refuse_seconds(filters) == seconds


def test_gpus_only_for_those_who_asked() -> None:
    for wants, passes in ((frozenset(), 0), (frozenset(("GPU_RESOURCES",)), 1)):
        view = AgentView("S0", Amounts({"cpus": 1000, "mem": 1_000_000, "gpus": 1000}))
        assert len(granted([view], [framework("a", capabilities=wants)])) == passes


def test_minimal_sizes_by_role() -> None:
    info = {
        "offer_filters": {
            "*": {"min_allocatable_resources": {"quantities": [{"quantities": {"cpus": {"value": 8}}}]}}
        }
    }
    minimum = eligibility.minimum_of(info)
    assert granted([agent(0)], [framework("a", minimum=minimum)]) == []
    assert len(granted([agent(0, 8000)], [framework("a", minimum=minimum)])) == 1


def group(attribute: str, **predicate: object) -> dict[str, object]:
    return {"attribute_constraints": [{"selector": {"attribute_name": attribute}, "predicate": predicate}]}


@pytest.mark.parametrize(
    ("predicate", "passes"),
    [
        ({"exists": {}}, True),
        ({"not_exists": {}}, False),
        ({"text_equals": {"value": "r1"}}, True),
        ({"text_not_equals": {"value": "r1"}}, False),
        ({"text_matches": {"regex": "r[0-9]"}}, True),
        ({"text_matches": {"regex": "r"}}, False),
        ({"text_not_matches": {"regex": "x.*"}}, True),
    ],
)
def test_offer_constraints(predicate: dict[str, object], passes: bool) -> None:
    constraints = compile_constraints({"role_constraints": {"*": {"groups": [group("rack", **predicate)]}}})
    view = AgentView(
        "S0", Amounts({"cpus": 1000}), attributes=[{"name": "rack", "type": "TEXT", "text": {"value": "r1"}}]
    )
    assert constraints["*"](view) is passes


@pytest.mark.parametrize(
    "wish",
    [{}, {"groups": [{}]}, {"groups": [group("x")]}, {"groups": [group("x", text_matches={"regex": "("})]}],
    ids=["no groups", "empty group", "no predicate", "broken pattern"],
)
def test_constraints_that_are_refused(wish: dict[str, object]) -> None:
    with pytest.raises(InvalidConstraints):
        compile_constraints({"role_constraints": {"*": wish}})
