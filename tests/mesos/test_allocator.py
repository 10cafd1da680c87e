"""Offers: never the same thing twice, never to one who refused it."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.mesos import allocator
from bireme.mesos.allocator import AgentView, Filters, FrameworkView
from bireme.mesos.amounts import Amounts
from bireme.mesos.constraints import InvalidConstraints, compile_constraints


def agent(number: int, cpus: int = 4000, mem: int = 8_000_000) -> AgentView:
    return AgentView(f"S{number}", Amounts({"cpus": cpus, "mem": mem}), f"host{number}")


def framework(name: str, *roles: str, **more: object) -> FrameworkView:
    return FrameworkView(name, roles or ("*",), **more)  # type: ignore[arg-type]


def allocate(
    agents: list[AgentView], frameworks: list[FrameworkView], filters: Filters | None = None, now: float = 0
):
    total = {"cpus": 100_000, "mem": 100_000_000}
    return allocator.allocate(agents, frameworks, filters or Filters(), total=total, now=now, random=Random(1))


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
    grants = allocator.allocate(agents, frameworks, Filters(), total={"cpus": 100_000}, now=0, random=Random(seed))
    assert len({grant.agent_id for grant in grants}) == len(grants)
    free = {each.agent_id: each.free for each in agents}
    role_of = {each.framework_id: each.roles for each in frameworks}
    for grant in grants:
        assert grant.amounts == free[grant.agent_id]
        assert grant.role in role_of[grant.framework_id]
    large = [each for each in agents if allocator.is_large_enough(each.free, allocator.MINIMUM)]
    assert {grant.agent_id for grant in grants} == {each.agent_id for each in large}


def test_two_equal_frameworks_share_the_agents() -> None:
    grants = allocate([agent(n) for n in range(10)], [framework("a"), framework("b")])
    assert sorted(grant.framework_id for grant in grants) == ["a"] * 5 + ["b"] * 5


def test_a_refusal_holds_for_as_much_or_less_and_only_for_its_time() -> None:
    """Decline 10 s of 2 CPU: an offer of 3 CPU passes, one of 1 CPU doesn't."""
    filters = Filters()
    filters.refuse("a", "*", "S0", Amounts({"cpus": 2000, "mem": 8_000_000}), until=10)
    assert allocate([agent(0, 1000)], [framework("a")], filters, now=9) == []
    assert len(allocate([agent(0, 3000)], [framework("a")], filters, now=9)) == 1
    assert len(allocate([agent(0, 1000)], [framework("b")], filters, now=9)) == 1
    assert len(allocate([agent(0, 1000)], [framework("a")], filters, now=10)) == 1


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
    st.tuples(st.just("wait"), st.integers(1, 3)),
)


@given(st.lists(STEPS, max_size=40))
@settings(deadline=None)
def test_refusals_agree_with_a_plain_list(steps: list[tuple]) -> None:
    """Whatever was refused, asked for, cleared and outlived before."""
    filters, plain, now = Filters(), PlainFilters(), 0.0
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
                assert set(filters.against(*words, now=now)) == plain.against(*words, now)
            case "wait":
                now += words[0]


def test_refusals_are_cleared_by_role() -> None:
    filters = Filters()
    for role in ("x", "y"):
        filters.refuse("a", role, "S0", Amounts({"cpus": 9000, "mem": 9_000_000}), until=10)
    filters.clear("a", ["x"])
    (grant,) = allocate([agent(0)], [framework("a", "x", "y")], filters)
    assert grant.role == "x"
    assert filters.active(0) == {"y": 1}


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
    assert allocator.refuse_seconds(filters) == seconds


def test_gpus_only_for_those_who_asked() -> None:
    view = AgentView("S0", Amounts({"cpus": 1000, "mem": 1_000_000, "gpus": 1000}))
    assert allocate([view], [framework("a")]) == []
    assert len(allocate([view], [framework("a", capabilities=frozenset(("GPU_RESOURCES",)))])) == 1


def test_minimal_sizes_by_role() -> None:
    info = {
        "offer_filters": {
            "*": {"min_allocatable_resources": {"quantities": [{"quantities": {"cpus": {"value": 8}}}]}}
        }
    }
    minimum = allocator.minimum_of(info)
    assert allocate([agent(0)], [framework("a", minimum=minimum)]) == []
    assert len(allocate([agent(0, 8000)], [framework("a", minimum=minimum)])) == 1


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
