"""Whatever happens in whatever order, the account is the sum of its promises, and no offer holds what a pod holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bireme.ledger.columns import Load
from bireme.ledger.ledger import Ledger
from bireme.ledger.ports import NO_PORTS, PortSet

NODES = st.sampled_from(["n0", "n1", "n2"])
PODS = st.sampled_from([f"p{number}" for number in range(8)])
FRAMEWORKS = st.sampled_from(["a", "b"])
SIZES = st.fixed_dictionaries({"cpu": st.sampled_from([100, 500, 2000]), "memory": st.sampled_from([0, 100, 700])})
CAPACITIES = st.fixed_dictionaries(
    {"cpu": st.sampled_from([500, 4000]), "memory": st.sampled_from([400, 2000]), "pods": st.sampled_from([2, 10])}
)
PORTS = st.sets(st.tuples(st.sampled_from(["TCP", "UDP"]), st.integers(80, 84)), max_size=3).map(PortSet.of)


@dataclass
class Held:
    """What the test knows that somebody was promised."""

    node: str
    amounts: dict[str, int]
    ports: PortSet = NO_PORTS
    framework: str = ""
    imposed: bool = False  # bound elsewhere: a fact, whether or not there was room


@dataclass
class Model:
    """What there should be."""

    nodes: dict[str, dict[str, int]] = field(default_factory=dict)
    pods: dict[str, Held] = field(default_factory=dict)
    offers: dict[str, Held] = field(default_factory=dict)
    overdrawn: set[str] = field(default_factory=set)  # shrank, or had pods imposed, since it last had room

    def on(self, node: str) -> list[Held]:
        return [held for held in (*self.pods.values(), *self.offers.values()) if held.node == node]

    def free(self, node: str) -> dict[str, int]:
        left = dict(self.nodes[node])
        for held in self.on(node):
            for name, amount in held.amounts.items():
                left[name] = left.get(name, 0) - amount
        return left


class Interleavings(RuleBasedStateMachine):
    """Both decks, nodes and the API, each doing something at a time of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger, self.model = Ledger(), Model()
        self.number = 0
        self.position, self.mirror = 0, dict[str, dict[str, int]]()

    @rule(node=NODES, capacity=CAPACITIES)
    def node_comes_or_changes(self, node: str, capacity: dict[str, int]) -> None:
        self.ledger.set_node(node, capacity)
        self.model.nodes[node] = capacity
        if min(self.model.free(node).values()) < 0:
            self.model.overdrawn.add(node)

    @rule(node=NODES)
    def node_leaves(self, node: str) -> None:
        self.ledger.remove_node(node)
        self.model.nodes.pop(node, None)
        self.model.offers = {name: held for name, held in self.model.offers.items() if held.node != node}

    @rule(uid=PODS, node=NODES, amounts=SIZES, ports=PORTS)
    def scheduler_places(self, uid: str, node: str, amounts: dict[str, int], ports: PortSet) -> None:
        """It books what it found to fit a moment before, in the same turn of the loop."""
        wanted = {"pods": 1, **amounts}
        free = self.ledger.free(node)
        if uid in self.model.pods or any(amount > free.get(name, 0) for name, amount in wanted.items()):
            return
        if ports.overlaps(self.ledger.ports(node)):
            return
        self.ledger.promise_pod(uid, node, amounts, ports=ports)
        self.model.pods[uid] = Held(node, wanted, ports)

    @rule(uid=PODS, node=NODES, amounts=SIZES, ports=PORTS)
    def pod_is_bound_elsewhere(self, uid: str, node: str, amounts: dict[str, int], ports: PortSet) -> None:
        self.ledger.promise_pod(uid, node, amounts, ports=ports)
        self.model.pods[uid] = Held(node, {"pods": 1, **amounts}, ports, imposed=True)
        if node not in self.model.nodes or min(self.model.free(node).values()) < 0:
            self.model.overdrawn.add(node)

    @rule(uid=PODS)
    def pod_ends(self, uid: str) -> None:
        self.ledger.release_pod(uid)
        self.model.pods.pop(uid, None)

    @rule(node=NODES, amounts=SIZES, ports=PORTS, framework=FRAMEWORKS)
    def master_offers(self, node: str, amounts: dict[str, int], ports: PortSet, framework: str) -> None:
        wanted = {"pods": 1, **amounts}
        name = f"o{self.number}"
        self.number += 1
        fits = self.would_fit(node, wanted, ports)
        assert self.ledger.try_offer(name, node, wanted, ports=ports) is fits
        if fits:
            self.model.offers[name] = Held(node, wanted, ports, framework)

    @rule(nodes=st.sets(NODES), amounts=SIZES, ports=PORTS, framework=FRAMEWORKS)
    def master_offers_many(self, nodes: set[str], amounts: dict[str, int], ports: PortSet, framework: str) -> None:
        load = Load({"pods": 1, **amounts})
        names = {node: f"o{self.number + place}" for place, node in enumerate(sorted(nodes))}
        self.number += len(nodes)
        fitting = [node for node in names if self.would_fit(node, load.amounts, ports)]
        assert self.ledger.try_offers(names, load, ports=ports) == [names[node] for node in fitting]
        self.model.offers |= {names[node]: Held(node, dict(load.amounts), ports, framework) for node in fitting}

    def would_fit(self, node: str, wanted: Mapping[str, int], ports: PortSet) -> bool:
        return (
            node in self.model.nodes
            and all(amount <= 0 or amount <= self.model.free(node).get(name, 0) for name, amount in wanted.items())
            and not any(ports.overlaps(held.ports) for held in self.model.on(node))
        )

    @precondition(lambda self: self.model.offers)
    @rule(data=st.data(), parts=st.integers(0, 2))
    def framework_accepts(self, data: st.DataObject, parts: int) -> None:
        """So many pods, each of a part of what was offered; the first gets the ports."""
        name = data.draw(st.sampled_from(sorted(self.model.offers)))
        offer = self.model.offers.pop(name)
        amounts = {each: amount // 2 for each, amount in offer.amounts.items() if each != "pods"}
        fresh = [f"t{self.number + number}" for number in range(parts)]
        self.number += len(fresh)
        ports = dict.fromkeys(fresh[:1], offer.ports)
        self.ledger.turn_offer_into_pods(name, dict.fromkeys(fresh, amounts), ports=ports)
        for uid in fresh:
            self.model.pods[uid] = Held(offer.node, {"pods": 1, **amounts}, ports.get(uid, NO_PORTS))
        if offer.node in self.model.nodes and min(self.model.free(offer.node).values()) < 0:
            self.model.overdrawn.add(offer.node)  # a slot was offered, two pods were made of it

    @precondition(lambda self: self.model.offers)
    @rule(data=st.data())
    def offer_is_declined_rescinded_or_expires(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.offers)))
        self.ledger.release_offer(name)
        self.ledger.release_offer(name)
        del self.model.offers[name]

    @rule(framework=FRAMEWORKS)
    def framework_fails_over(self, framework: str) -> None:
        for name in [name for name, held in self.model.offers.items() if held.framework == framework]:
            self.ledger.release_offer(name)
            del self.model.offers[name]

    @invariant()
    def the_account_is_the_sum_of_its_promises(self) -> None:
        assert set(self.ledger.nodes()) == set(self.model.nodes)
        for node in self.model.nodes:
            expected = self.model.free(node)
            assert {name: expected.get(name, 0) for name in self.ledger.free(node)} == self.ledger.free(node)
            joined = 0
            for held in self.model.on(node):
                joined |= held.ports.bits
            assert self.ledger.ports(node).bits == joined
        statistics = self.ledger.statistics()
        assert (statistics.pods, statistics.offers) == (len(self.model.pods), len(self.model.offers))

    @invariant()
    def nothing_is_promised_twice(self) -> None:
        for node in self.model.nodes:
            if min(self.model.free(node).values()) >= 0:
                self.model.overdrawn.discard(node)
            assert node in self.model.overdrawn or min(self.ledger.free(node).values()) >= 0
        for node in self.model.nodes:
            promised = [held for held in self.model.on(node) if not held.imposed]
            union = 0
            for held in promised:
                assert not union & held.ports.bits
                union |= held.ports.bits

    @invariant()
    def who_reads_only_what_changed_misses_nothing(self) -> None:
        self.position, names = self.ledger.changed_since(self.position)
        assert names is not None
        resources, free = self.ledger.free_of(names)
        self.mirror |= {
            name: dict(zip(resources, amounts, strict=True)) for name, amounts in zip(names, free, strict=True)
        }
        for node in self.ledger.nodes():
            assert self.mirror[node] == self.ledger.free(node)

    def teardown(self) -> None:
        """When everybody has left, everything is free."""
        for uid in list(self.model.pods):
            self.ledger.release_pod(uid)
        for name in list(self.model.offers):
            self.ledger.release_offer(name)
        for node, capacity in self.model.nodes.items():
            assert {name: amount for name, amount in self.ledger.free(node).items() if amount} == {
                name: amount for name, amount in capacity.items() if amount
            }
            assert not self.ledger.ports(node)
        assert (self.ledger.statistics().pods, self.ledger.statistics().offers) == (0, 0)
        assert not self.ledger.columns.promised.any()


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
