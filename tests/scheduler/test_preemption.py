"""Whom preemption evicts: as a plain search over all nodes would."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api.kinds import core, meta, policy
from bireme.api.times import parse_time
from bireme.ledger.columns import Amounts
from bireme.ledger.ledger import Ledger
from bireme.scheduler.budgets import Budget, Budgets, budget_of
from bireme.scheduler.nodes import NodeFacts
from bireme.scheduler.placed import Placed
from bireme.scheduler.preemption import Choice, Costs, choose_exactly
from bireme.scheduler.profile import Candidates
from bireme.scheduler.ranks import Rank
from bireme.scheduler.residents import Residents
from bireme.scheduler.world import World

NODE = {"cpu": 10_000, "memory": 10_000, "pods": 5}


def pod(
    name: str, priority: int = 0, *, cpu: int = 1000, start: int | None = 0, labels: Mapping[str, str] | None = None
) -> core.Pod:
    container = core.Container(name="c", resources=core.ResourceRequirements(requests={"cpu": f"{cpu}m"}))
    made = core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="default", uid=f"uid-{name}", labels=dict(labels or {})),
        spec=core.PodSpec(containers=[container], priority=priority),
    )
    made.status = core.PodStatus(start_time="" if start is None else f"2026-01-01T00:00:{start:02}Z")
    return made


def budget(allowed: int, *, disrupted: Iterable[str] = (), **labels: str) -> Budget:
    return budget_of(
        policy.PodDisruptionBudget(
            metadata=meta.ObjectMeta(name="".join(labels.values()), namespace="default"),
            spec=policy.PodDisruptionBudgetSpec(selector=meta.LabelSelector(match_labels=labels)),
            status=policy.PodDisruptionBudgetStatus(
                disruptions_allowed=allowed, disrupted_pods=dict.fromkeys(disrupted, "")
            ),
        )
    )


@dataclass
class Setting:
    """Nodes with pods, budgets, and amounts that nominated pods hold by row."""

    world: World = field(default_factory=lambda: World(Ledger()))
    budgets: list[Budget] = field(default_factory=list)
    held: dict[int, int] = field(default_factory=dict)

    def node(self, name: str, *pods: core.Pod, allocatable: Mapping[str, int] = NODE) -> None:
        self.world.set_facts(NodeFacts(name), allocatable)
        for each in pods:
            self.world.place(each, name)

    def known_budgets(self) -> Budgets:
        known = Budgets()
        for each in self.budgets:
            known.set(each.key, each)
        return known

    def costs(self, priority: int, cpu: int) -> Costs:
        columns = self.world.ledger.columns
        return Costs(
            self.world,
            Residents(self.world),
            lambda: columns.vector({"cpu": cpu, "pods": 1}),
            priority,
            held=self._held,
            budgets=self.known_budgets(),
        )

    def _held(self, rows: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> Amounts | None:
        if not self.held:
            return None
        made = np.zeros((len(rows), len(self.world.ledger.columns.names)), dtype=np.int64)
        made[:, 0] = [self.held.get(row, 0) for row in rows.tolist()]
        return made

    def best(self, priority: int, cpu: int) -> Choice | None:
        return self.costs(priority, cpu).best(self.world.ledger.columns.live)

    def victims(self, priority: int, cpu: int) -> tuple[str, list[str]] | None:
        choice = self.best(priority, cpu)
        if choice is None:
            return None
        return self.world.ledger.columns.nodes[choice.row], [victim.name for victim in choice.victims]


@dataclass
class Refused:
    """The what-if of a template that knows cpu and slots alone, worked out from scratch."""

    setting: Setting
    cpu: int

    def __call__(self, row: int, gone: Collection[str]) -> bool:
        stay = [pod for pod in self.setting.world.on_row(row) if pod.uid not in gone]
        columns = self.setting.world.ledger.columns
        cpu = sum(pod.demand.requests.get("cpu", 0) for pod in stay) + self.setting.held.get(row, 0)
        short = self.cpu > 0 and cpu + self.cpu > columns.allocatable[row, 0]
        return bool(short or len(stay) + 1 > columns.allocatable[row, 3])


def test_the_least_important_go() -> None:
    setting = Setting()
    setting.node("n", pod("high", 20, cpu=4000), pod("low", 1, cpu=3000), pod("mid", 5, cpu=3000))
    assert setting.victims(10, 3000) == ("n", ["low"])
    assert setting.victims(10, 4000) == ("n", ["mid", "low"])
    assert setting.victims(10, 7000) is None
    assert setting.victims(1, 3000) is None


def test_among_equals_the_younger_goes() -> None:
    setting = Setting()
    setting.node("n", pod("old", 1, cpu=5000, start=1), pod("new", 1, cpu=5000, start=2))
    assert setting.victims(10, 5000) == ("n", ["new"])
    setting.node("n", pod("coming", 1, cpu=0, start=None))
    assert setting.victims(10, 5000) == ("n", ["new"])


def test_a_big_victim_spares_small_ones_that_still_fit() -> None:
    setting = Setting()
    setting.node("n", pod("a", 5, cpu=8000), pod("b", 1, cpu=1000), pod("c", 1, cpu=1000))
    assert setting.victims(10, 8000) == ("n", ["a"])


@pytest.mark.parametrize(
    ("one", "other", "chosen"),
    [
        pytest.param([(5, 10_000, 0)], [(4, 5000, 0), (4, 5000, 0)], "other", id="the lower top victim"),
        pytest.param([(5, 5000, 0), (5, 5000, 0)], [(5, 10_000, 0)], "other", id="the smaller sum"),
        pytest.param(
            [(5, 5000, 0), (2, 5000, 0)], [(5, 5000, 0), (1, 5000, 0)], "other", id="the smaller sum of two"
        ),
        pytest.param([(5, 10_000, 1)], [(5, 10_000, 2)], "other", id="the later start"),
        pytest.param([(5, 10_000, 1)], [(5, 10_000, 1)], "one", id="the first"),
    ],
)
def test_the_cheapest_node_is_chosen(
    one: list[tuple[int, int, int]], other: list[tuple[int, int, int]], chosen: str
) -> None:
    setting = Setting()
    for name, pods in (("one", one), ("other", other)):
        setting.node(name, *(pod(f"{name}{n}", p, cpu=cpu, start=s) for n, (p, cpu, s) in enumerate(pods)))
    choice = setting.best(10, 10_000)
    assert choice is not None
    assert setting.world.ledger.columns.nodes[choice.row] == chosen


def test_budgets_come_before_priorities() -> None:
    setting = Setting(budgets=[budget(0, app="web")])
    setting.node("one", pod("guarded", 1, cpu=10_000, labels={"app": "web"}))
    setting.node("two", pod("free", 9, cpu=10_000, labels={"app": "db"}))
    assert setting.victims(10, 5000) == ("two", ["free"])
    setting.budgets = [budget(1, app="web")]
    assert setting.victims(10, 5000) == ("one", ["guarded"])
    setting.budgets = [budget(0, app="web", disrupted=["guarded"])]
    assert setting.victims(10, 5000) == ("one", ["guarded"])


def test_a_guarded_pod_is_let_back_first() -> None:
    setting = Setting(budgets=[budget(0, app="web")])
    setting.node("n", pod("guarded", 1, cpu=5000, labels={"app": "web"}), pod("free", 5, cpu=5000))
    assert setting.victims(10, 5000) == ("n", ["free"])


def test_what_nominated_pods_hold_is_not_free() -> None:
    setting = Setting()
    setting.node("n", pod("a", 1, cpu=4000), pod("b", 2, cpu=4000))
    assert setting.victims(10, 4000) == ("n", ["a"])
    setting.held = {0: 2000}
    assert setting.victims(10, 4000) == ("n", ["a"])
    setting.held = {0: 4000}
    assert setting.victims(10, 4000) == ("n", ["b", "a"])


pods = st.tuples(
    st.integers(-2, 12),
    st.sampled_from([0, 1000, 2000, 3000, 5000]),
    st.none() | st.integers(0, 3),
    st.sampled_from([{}, {"app": "a"}, {"app": "b"}]),
)
worlds = st.lists(st.lists(pods, max_size=6), min_size=1, max_size=5)


def built(nodes: list[list[tuple[int, int, int | None, dict[str, str]]]]) -> Setting:
    setting = Setting()
    for number, held in enumerate(nodes):
        made = [
            pod(f"p{number}-{n}", priority, cpu=cpu, start=start, labels=labels)
            for n, (priority, cpu, start, labels) in enumerate(held)
        ]
        setting.node(f"n{number}", *made)
    return setting


def plain(setting: Setting, priority: int, cpu: int) -> Choice | None:
    """A search over all nodes with dictionaries, as the documentation tells it."""
    best: tuple[tuple[float, ...], Choice] | None = None
    columns = setting.world.ledger.columns
    refused = Refused(setting, cpu)
    for row in sorted(columns.rows.values()):
        lower = [placed for placed in setting.world.on_row(row) if placed.priority < priority]
        lower.sort(key=lambda placed: placed.uid)
        lower.sort(key=lambda placed: parse_time(placed.started).timestamp() if placed.started else 1e30)
        lower.sort(key=lambda placed: placed.priority, reverse=True)
        gone = {placed.uid for placed in lower}
        if not lower or refused(row, gone):
            continue
        spent = [0] * len(setting.budgets)
        guarded = []
        for placed in lower:
            for number, each in enumerate(setting.budgets):
                if placed.labels.labels and each.selector.matches(placed.labels.labels):
                    spent[number] += 1
                    if spent[number] > each.allowed and placed not in guarded:
                        guarded.append(placed)
        violated = 0
        for placed in [*guarded, *(each for each in lower if each not in guarded)]:
            if not refused(row, gone - {placed.uid}):
                gone.remove(placed.uid)
            elif placed in guarded:
                violated += 1
        victims = tuple(placed for placed in lower if placed.uid in gone)
        if victims:
            cost = cost_of(victims, violated)
            if best is None or cost < best[0]:
                best = cost, Choice(row, victims, violated)
    return best[1] if best else None


def cost_of(victims: tuple[Placed, ...], violated: int) -> tuple[float, ...]:
    highest = max(placed.priority for placed in victims)
    start = min(
        parse_time(placed.started).timestamp() if placed.started else 1e30
        for placed in victims
        if placed.priority == highest
    )
    return violated, highest, sum(placed.priority + 2**31 for placed in victims), len(victims), -start


@settings(max_examples=300, deadline=None)
@given(worlds, st.integers(0, 12), st.sampled_from([0, 1000, 4000, 9000]), st.lists(st.integers(0, 2), max_size=2))
def test_every_choice_is_that_of_a_plain_search(
    nodes: list[list[tuple[int, int, int | None, dict[str, str]]]], priority: int, cpu: int, allowed: list[int]
) -> None:
    setting = built(nodes)
    setting.budgets = [budget(count, app=app) for count, app in zip(allowed, "ab", strict=False)]
    expected = plain(setting, priority, cpu)
    assert setting.best(priority, cpu) == expected
    rows = sorted(setting.world.ledger.columns.rows.values())
    assert expected == choose_exactly(
        rows,
        setting.world.on_row,
        Refused(setting, cpu),
        priority=priority,
        budgets=setting.known_budgets(),
        enough=100,
    )


def test_the_search_ends_when_enough_was_found_that_violates_no_budget() -> None:
    setting = Setting(budgets=[budget(0, app="x")])
    for number in range(4):
        setting.node(f"x{number}", pod(f"x{number}", 1, cpu=9000, labels={"app": "x"}))
    setting.node("free", pod("free", 5, cpu=9000))
    setting.node("late", pod("late", 1, cpu=9000))
    rows = [setting.world.nodes.row(name) for name in ("x0", "x1", "x2", "x3", "free", "late")]
    seen: list[Choice] = []
    choice = choose_exactly(
        rows,
        setting.world.on_row,
        Refused(setting, 5000),
        priority=10,
        budgets=setting.known_budgets(),
        enough=2,
        seen=seen,
    )
    assert choice is not None
    assert [victim.name for victim in choice.victims] == ["free"]
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("percentage", "absolute", "nodes", "expected"),
    [(10, 100, 50, 50), (10, 100, 500, 100), (10, 100, 5000, 500), (100, 0, 7, 7), (0, 1, 7, 1)],
)
def test_a_tenth_of_the_nodes_but_a_hundred_are_candidates(
    percentage: int, absolute: int, nodes: int, expected: int
) -> None:
    assert Candidates(percentage, absolute).among(nodes) == expected


steps = st.lists(
    st.one_of(
        st.tuples(st.just("go"), st.integers(0, 30)),
        st.tuples(st.just("come"), st.integers(0, 4)),
        st.tuples(st.just("leave"), st.integers(0, 4)),
        st.tuples(st.just("preempt"), st.integers(0, 12)),
        st.tuples(st.just("gpu"), st.integers(0, 4)),
    ),
    max_size=20,
)


@settings(max_examples=100, deadline=None)
@given(worlds, steps)
def test_costs_that_are_kept_are_those_worked_out_anew(
    nodes: list[list[tuple[int, int, int | None, dict[str, str]]]], history: list[tuple[str, int]]
) -> None:
    setting = built(nodes)
    kept = setting.costs(8, 4000)
    for number, (action, value) in enumerate(history):
        name = f"n{value % len(nodes)}"
        if action == "go" and setting.world.placed:
            uids = sorted(setting.world.placed)
            setting.world.displace(uids[value % len(uids)])
        elif action == "come":
            setting.node(name, pod(f"new{number}", value, cpu=2000))
        elif action == "leave":
            setting.world.remove_node(name)
        elif action == "gpu":
            setting.node(name, allocatable={**NODE, f"example.com/gpu{value}": 1})
        else:
            choice = kept.best(setting.world.ledger.columns.live)
            assert choice == plain(setting, 8, 4000)
            for victim in choice.victims if choice else ():
                setting.world.displace(victim.uid)


def plain_whole(setting: Setting, priority: int, cpu: int) -> Choice | None:
    """As `plain`, without budgets, where pods of some groups go together or not at all."""
    best: tuple[tuple[float, ...], Choice] | None = None
    world, refused = setting.world, Refused(setting, cpu)

    def important(placed: Placed) -> tuple[float, float, str]:
        started = parse_time(placed.started).timestamp() if placed.started else 1e30
        return -placed.priority, started, placed.uid

    for row in sorted(world.ledger.columns.rows.values()):
        parts: list[list[Placed]] = []
        for placed in world.on_row(row):
            mates = [each for each in world.placed.values() if placed.unit and each.unit == placed.unit]
            part = sorted(mates or [placed], key=important)
            if placed.priority < priority and part not in parts:
                parts.append(part)
        parts.sort(key=lambda part: min(important(each) for each in part if each.row == row))
        parts.sort(key=lambda part: (-part[0].priority, not part[0].unit, -len(part)))
        if not parts or refused(row, {each.uid for part in parts for each in part}):
            continue
        for part in list(parts):
            others = {each.uid for other in parts for each in other if other is not part}
            if not refused(row, others):
                parts.remove(part)
        victims = tuple(sorted((each for part in parts for each in part), key=important))
        if victims:
            cost = cost_of(victims, 0)
            if best is None or cost < best[0]:
                best = cost, Choice(row, victims, 0)
    return best[1] if best else None


@settings(max_examples=200, deadline=None)
@given(
    worlds,
    st.lists(st.sampled_from(["", "", "one", "two"]), min_size=30, max_size=30),
    st.integers(0, 12),
    st.integers(0, 12),
    st.sampled_from([1000, 4000, 9000]),
)
def test_groups_that_go_as_a_whole_are_chosen_as_by_a_plain_search(
    nodes: list[list[tuple[int, int, int | None, dict[str, str]]]],
    groups: list[str],
    ranked: int,
    priority: int,
    cpu: int,
) -> None:
    setting, left = Setting(), list(groups)
    for number, held in enumerate(nodes):
        made = [pod(f"p{number}-{n}", own, cpu=amount, start=start) for n, (own, amount, start, _) in enumerate(held)]
        for each in made:
            if name := left.pop():
                each.spec.scheduling_group = core.PodSchedulingGroup(pod_group_name=name)
        setting.node(f"n{number}", *made)
        if number == 0:  # ranks come before some of the pods and after others
            for name in ("one", "two"):
                setting.world.ranks.set("default", name, Rank(ranked, whole=name == "one"))
            for each in made:
                setting.world.rank_anew(each)
    world = setting.world
    assert all(placed.priority == ranked for unit in world.units.values() for placed in unit.values())
    assert sum(map(len, world.units.values())) == sum(placed.unit != "" for placed in world.placed.values())
    rows = sorted(world.ledger.columns.rows.values())
    found = choose_exactly(
        rows,
        world.on_row,
        Refused(setting, cpu),
        priority=priority,
        budgets=Budgets(),
        enough=len(rows),
        whole=world.together_with,
    )
    assert found == plain_whole(setting, priority, cpu)
    leaving = {victim.uid for victim in found.victims} if found is not None else set()
    for unit in world.units.values():
        assert unit.keys() <= leaving or not unit.keys() & leaving
