"""The allocator, which looks only at what changed, grants what one that looks at everything would."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_allocation import PlainAllocator

from bireme.mesos.allocator import Allocator, FrameworkView, Grant
from bireme.mesos.amounts import Amounts
from bireme.mesos.constraints import compile_constraints
from bireme.mesos.eligibility import AgentView
from bireme.mesos.quota import Quota

TOTAL = {"cpus": 40_000, "mem": 40_000_000, "gpus": 4000}
NAMES = st.sampled_from(["f0", "f1", "f2", "f3", "f4"])
ROLES = st.sampled_from(["*", "a", "a/b", "a/b/c", "a/d", "e"])
AGENTS = st.sampled_from([f"S{number}" for number in range(6)])
SIZES = st.sampled_from(
    [
        Amounts({name: amount for name, amount in (("cpus", cpus), ("mem", mem), ("gpus", gpus)) if amount})
        for cpus, mem, gpus in ((1000, 20_000, 0), (4000, 4_000_000, 0), (4000, 4_000_000, 1000), (2000, 0, 0))
    ]
)
MINIMUMS = st.sampled_from([None, (), ({"cpus": 2000},), ({"cpus": 4000}, {"mem": 4_000_000})])
RACKS = st.sampled_from(["", "r0", "r1"])


def _rack(value: str) -> dict[str, Any]:
    selector = {"attribute_name": "rack"}
    group = {"attribute_constraints": [{"selector": selector, "predicate": {"text_equals": {"value": value}}}]}
    return {"groups": [group]}


@st.composite
def frameworks(draw: st.DrawFn) -> FrameworkView:
    roles = tuple(draw(st.lists(ROLES, min_size=draw(st.sampled_from([0, 1, 1, 1])), max_size=3, unique=True)))
    minimum, rack = draw(MINIMUMS), draw(RACKS)
    return FrameworkView(
        draw(NAMES),
        roles,
        frozenset(draw(st.sets(st.sampled_from(["GPU_RESOURCES", "REGION_AWARE"])))),
        {} if minimum is None else dict.fromkeys(roles, minimum),
        compile_constraints({"role_constraints": dict.fromkeys(roles[:1], _rack(rack))}) if rack else {},
    )


@st.composite
def agents(draw: st.DrawFn) -> AgentView:
    attributes = [{"name": "rack", "type": "TEXT", "text": {"value": draw(RACKS)}}]
    return AgentView(draw(AGENTS), draw(SIZES), "host", attributes, draw(st.sampled_from([False, False, True])))


QUOTAS = st.builds(
    lambda cpus, mem, more: Quota(
        {name: amount for name, amount in (("cpus", cpus), ("mem", mem)) if amount},
        {name: amount + more for name, amount in (("cpus", cpus), ("mem", mem)) if amount or more},
    ),
    st.sampled_from([0, 0, 1500, 8000]),
    st.sampled_from([0, 0, 30_000, 4_000_000]),
    st.sampled_from([0, 2000, 10**9]),
)
STEPS = st.one_of(
    st.tuples(st.just("framework"), frameworks()),
    st.tuples(st.just("agent"), agents()),
    st.tuples(st.just("refuse"), NAMES, ROLES, AGENTS, SIZES, st.integers(1, 4)),
    st.tuples(st.just("revive"), NAMES, st.none() | st.lists(ROLES, max_size=2)),
    st.tuples(st.just("weight"), ROLES, st.sampled_from([0.5, 1.0, 3.0])),
    st.tuples(st.just("total"), st.sampled_from([0, 20_000, 80_000])),
    st.tuples(st.just("quota"), st.sampled_from(["*", "a", "e"]), st.none() | QUOTAS),
    st.tuples(st.just("drop agent"), AGENTS),
    st.tuples(st.just("drop framework"), NAMES),
    st.tuples(st.just("give back"), st.integers(0, 10)),
    *[st.tuples(st.just("decline"), st.integers(0, 10), st.integers(1, 4))] * 2,
    st.tuples(st.just("wait"), st.floats(0.01, 3)),
    *[st.tuples(st.just("allocate"), st.none() | st.integers(1, 3))] * 3,
)


class Both:
    """The allocator and the plain one, told the same."""

    def __init__(self, many: int) -> None:
        self.real, self.plain = Allocator(random=Random(1), many=many), PlainAllocator(dict(TOTAL))
        self.real.order.set_total(TOTAL)
        self.now = 0.0
        self.out: list[tuple[str, tuple[str, str], Amounts]] = []

    def do(self, what: str, *words: Any) -> None:
        match what, *words:
            case "framework", view:
                self.real.set_framework(view)
                self.plain.set_framework(view)
            case "agent", view:
                self.real.set_agent(view)
                self.plain.agents[view.agent_id] = replace(view)
            case "refuse", name, role, agent_id, amounts, seconds:
                if name in self.plain.frameworks:
                    self.real.refuse(name, role, agent_id, amounts, until=self.now + seconds)
                    self.plain.held.setdefault((role, name), {})
                    self.plain.refused.append(((role, name), agent_id, amounts, self.now + seconds))
            case "revive", name, roles:
                self.real.revive(name, roles)
                self.plain.refused = [
                    each
                    for each in self.plain.refused
                    if each[0][1] != name or (roles is not None and each[0][0] not in roles)
                ]
            case "weight", role, weight:
                self.real.order.set_weight(role, weight)
                self.plain.weights[role] = weight
            case "total", cpus:
                self.plain.total["cpus"] = cpus
                self.real.order.set_total(self.plain.total)
            case "quota", role, quota:
                self.real.set_quota(role, quota or Quota())
                self.plain.quotas[role] = quota or Quota()
            case "drop agent", agent_id:
                self.real.drop_agent(agent_id)
                self.plain.agents.pop(agent_id, None)
            case "drop framework", name:
                for each in [each for each in self.out if each[1][1] == name]:
                    self.give_back(each)
                self.real.drop_framework(name)
                self.plain.drop_framework(name)
            case "give back", number, *_:
                if self.out:
                    self.give_back(self.out[number % len(self.out)])
            case "decline", number, seconds:
                if self.out:
                    agent_id, (role, name), amounts = self.out[number % len(self.out)]
                    self.do("refuse", name, role, agent_id, amounts, seconds)
                    self.do("give back", number)
            case "wait", seconds:
                self.now += seconds
            case "allocate", at_most:
                self.allocate(at_most)

    def give_back(self, offer: tuple[str, tuple[str, str], Amounts]) -> None:
        self.out.remove(offer)
        agent_id, (role, name), amounts = offer
        self.real.charge(name, role, amounts.scalars, times=-1)
        self.plain.charge((role, name), amounts.scalars, sign=-1)
        if agent_id in self.plain.agents:
            agent = self.plain.agents[agent_id]
            agent.free = agent.free + amounts if agent.free else amounts
            self.real.set_free(agent_id, agent.free)

    def allocate(self, at_most: int | None) -> None:
        """So many grants, or all there are; after those, nobody may have anything of what is left."""
        rounds = 0
        while at_most is None or at_most > 0:
            rounds += 1
            assert rounds < 1000, "agents wait, but nobody is granted any"
            self.real.begin(now=self.now)
            while (at_most is None or at_most > 0) and (grants := self.real.grants(at_most)):
                for grant in grants:
                    self.check(grant)
                at_most = None if at_most is None else at_most - len(grants)
            if not self.real.waiting:
                break
        if at_most is None:
            for agent in self.plain.agents.values():
                for lacking in (True, False):
                    assert not self.plain.eligible(agent, self.now, lacking=lacking)

    def check(self, grant: Grant) -> None:
        agent, seat = self.plain.agents[grant.agent_id], (grant.role, grant.framework_id)
        lacking = self.plain.choice(agent, self.now, lacking=True)
        shared = self.plain.choice(agent, self.now)
        assert (seat, grant.amounts) in (lacking, shared)
        before = {name: (self.plain.spare(name), self.plain.consumed(seat[0].split("/")[0], name)) for name in TOTAL}
        self.real.charge(grant.framework_id, grant.role, grant.amounts.scalars, turns=1)
        self.plain.charge(seat, grant.amounts.scalars, turns=1)
        self.out.append((grant.agent_id, seat, grant.amounts))
        agent.free = agent.free - grant.amounts
        self.real.set_free(grant.agent_id, agent.free)
        self.check_quotas(seat[0].split("/")[0], before)

    def check_quotas(self, role: str, before: dict[str, tuple[int, int]]) -> None:
        """No grant takes a role over its limit, or what guarantees lack."""
        quotas = self.plain.quotas
        for name, (spare, consumed) in before.items():
            limit = quotas.get(role, Quota()).limits.get(name)
            assert limit is None or self.plain.consumed(role, name) <= max(limit, consumed)
            lacking = any(self.plain.lacks(each, name) for each in quotas)
            assert not lacking or self.plain.spare(name) >= min(0, spare)


@given(
    st.lists(frameworks(), min_size=4, max_size=8),
    st.lists(agents(), min_size=4, max_size=10),
    st.lists(STEPS, min_size=10, max_size=40),
    st.sampled_from([2, 100]),
)
@settings(deadline=None, max_examples=50)
def test_grants_are_those_of_a_plain_search(
    there: list[FrameworkView], free: list[AgentView], steps: list[tuple[Any, ...]], many: int
) -> None:
    both = Both(many)
    for view in there:
        both.do("framework", view)
    for agent in free:
        both.do("agent", agent)
    for step in steps:
        both.do(*step)
    both.do("allocate", None)


LARGE, SMALL = Amounts({"cpus": 4000, "mem": 4_000_000}), Amounts({"cpus": 1000, "mem": 2_000_000})
MANY_ROLES = ["*", "a", "a/b", "a/b/c", "a/d", "e", "e/f"]


@pytest.mark.parametrize("seed", range(20))
def test_planned_turns_are_those_of_a_plain_search(seed: int) -> None:
    """Busy cycles: a dozen frameworks, most agents of two sizes, some of the offers declined, some accepted."""
    random = Random(seed)
    both = Both(many=2)
    for role in MANY_ROLES[1:4]:
        both.do("weight", role, random.choice((0.5, 1.0, 2.0)))
    for number in range(12):
        roles = tuple(random.sample(MANY_ROLES, random.choice((1, 1, 2))))
        rack = {"role_constraints": {roles[0]: _rack("r0")}} if random.random() < 0.3 else {}
        minimum = dict.fromkeys(roles, ({"cpus": 2000},)) if random.random() < 0.3 else {}
        view = FrameworkView(f"f{number:02}", roles, minimum=minimum, constraints=compile_constraints(rack))
        both.do("framework", view)
    for number in range(30):
        attributes = [{"name": "rack", "type": "TEXT", "text": {"value": f"r{number % 2}"}}]
        both.do("agent", AgentView(f"S{number}", random.choice((LARGE, LARGE, SMALL)), "host", attributes))
    for _ in range(4):
        both.do("allocate", random.choice((None, 7)))
        for _ in range(random.randrange(30)):
            both.do(random.choice(("decline", "give back")), random.randrange(30), random.choice((1, 3)))
        both.do("wait", random.random() * 2)
    both.do("allocate", None)
