"""Nothing is promised twice, and what is given back is free again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.ledger.columns import DEFAULT_BYTES, FIRST, SPARE, Columns, Load
from bireme.ledger.ledger import Ledger
from bireme.ledger.ports import PortSet

NODE = {"cpu": 4000, "memory": 1000, "pods": 10}


def test_an_offer_takes_only_what_is_free() -> None:
    ledger = Ledger()
    ledger.set_node("n", NODE)
    ledger.promise_pod("p", "n", {"cpu": 3000})
    assert not ledger.try_offer("o", "n", {"cpu": 2000})
    assert ledger.try_offer("o", "n", {"cpu": 1000})
    assert ledger.free("n")["cpu"] == 0
    ledger.release_offer("o")
    assert ledger.free("n")["cpu"] == 1000


def test_an_offer_turns_into_pods_with_nothing_between() -> None:
    ledger = Ledger()
    ledger.set_node("n", NODE)
    assert ledger.try_offer("o", "n", {"cpu": 4000}, ports=PortSet.of([("TCP", 31000), ("UDP", 31000)]))
    ledger.turn_offer_into_pods("o", {"t": {"cpu": 500}}, ports={"t": PortSet.of([("TCP", 31000)])})
    assert ledger.free("n")["cpu"] == 3500
    assert set(ledger.ports("n")) == {("TCP", 31000)}


def test_a_pod_booked_before_its_node_is_counted_when_the_node_comes() -> None:
    ledger = Ledger()
    ledger.promise_pod("p", "n", {"cpu": 1500})
    ledger.set_node("n", NODE)
    assert ledger.free("n")["cpu"] == 2500


def test_a_node_that_comes_back_still_holds_its_pods_but_no_offers() -> None:
    ledger = Ledger()
    ledger.set_node("n", NODE)
    ledger.promise_pod("p", "n", {"cpu": 1500})
    assert ledger.try_offer("o", "n", {"cpu": 500})
    ledger.remove_node("n")
    ledger.set_node("n", NODE)
    assert ledger.free("n")["cpu"] == 2500


def test_a_port_claimed_twice_is_free_only_when_both_let_go() -> None:
    ledger = Ledger()
    ledger.set_node("n", NODE)
    for uid in ("a", "b"):
        ledger.promise_pod(uid, "n", {}, ports=PortSet.of([("TCP", 80)]))
    ledger.release_pod("a")
    assert ("TCP", 80) in ledger.ports("n")
    ledger.release_pod("b")
    assert not ledger.ports("n")


def test_an_unknown_resource_gets_a_column_and_is_accounted() -> None:
    ledger = Ledger()
    ledger.set_node("n", {**NODE, "example.com/gpu": 2})
    ledger.promise_pod("p", "n", {"example.com/gpu": 1})
    assert not ledger.try_offer("o", "n", {"example.com/gpu": 2})
    assert not ledger.try_offer("o", "n", {"example.com/other": 1})
    assert ledger.free("n")["example.com/gpu"] == 1


def test_what_would_fit_without_offers_names_only_nodes_where_offers_are_in_the_way() -> None:
    ledger = Ledger()
    for node in ("a", "b", "c"):
        ledger.set_node(node, NODE)
    ledger.promise_pod("p", "b", {"cpu": 3000})
    assert ledger.try_offer("o1", "a", {"cpu": 4000}, ports=PortSet.of([("TCP", 80)]))
    assert ledger.try_offer("o2", "b", {"cpu": 1000})
    assert ledger.would_fit_without_offers({"cpu": 2000}) == ["a"]
    assert ledger.would_fit_without_offers({"cpu": 2000}, ports=PortSet.of([("TCP", 80)])) == ["a"]
    assert ledger.would_fit_without_offers({"cpu": 5000}) == []


def test_listeners_hear_of_what_is_given_back_and_of_nothing_else() -> None:
    ledger = Ledger()
    ledger.set_node("a", NODE)
    heard: list[int] = []
    ledger.on_release(lambda: heard.append(ledger.free("a")["cpu"]))
    assert ledger.try_offer("o", "a", {"cpu": 1000})
    ledger.release_offer("o")
    ledger.release_offer("o")
    ledger.release_pod("nobody")
    assert heard == [4000]


actions = st.lists(
    st.tuples(
        st.sampled_from(["pod", "drop-pod", "offer", "drop-offer", "accept", "leave", "join"]),
        st.integers(0, 4),
        st.integers(0, 2),
        st.integers(1, 1500),
    ),
    max_size=80,
)


@settings(max_examples=80, deadline=None)
@given(actions)
def test_the_account_is_the_sum_of_its_promises(history: list[tuple[str, int, int, int]]) -> None:
    ledger = Ledger()
    for number in range(3):
        ledger.set_node(f"n{number}", NODE)
    pods: dict[str, tuple[str, int]] = {}
    offers: dict[str, tuple[str, int]] = {}
    for action, who, where, cpu in history:
        node, pod, offer = f"n{where}", f"p{who}", f"o{who}"
        match action:
            case "pod":
                ledger.promise_pod(pod, node, {"cpu": cpu})
                pods[pod] = (node, cpu)
            case "drop-pod":
                ledger.release_pod(pod)
                pods.pop(pod, None)
            case "offer" if offer not in offers:
                free = ledger.free(node).get("cpu", -1)
                if ledger.try_offer(offer, node, {"cpu": cpu}):
                    assert cpu <= free
                    offers[offer] = (node, cpu)
            case "drop-offer":
                ledger.release_offer(offer)
                offers.pop(offer, None)
            case "accept" if offer in offers and pod not in pods:
                node, held = offers.pop(offer)
                part = min(cpu, held)
                ledger.turn_offer_into_pods(offer, {pod: {"cpu": part}})
                pods[pod] = (node, part)
            case "leave":
                ledger.remove_node(node)
                offers = {key: value for key, value in offers.items() if value[0] != node}
            case "join":
                ledger.set_node(node, NODE)
    for node in ledger.nodes():
        held = sum(cpu for where, cpu in [*pods.values(), *offers.values()] if where == node)
        assert ledger.free(node)["cpu"] == 4000 - held


def test_columns_of_resources_that_are_gone_are_dropped() -> None:
    columns = Columns()
    row = columns.add_node("n")
    columns.set_allocatable(row, {"cpu": 4000, "pods": 10, "example.com/gone": 3, "example.com/kept": 1})
    load = Load({"cpu": 1000, "example.com/kept": 1})
    columns.promise(row, load)
    asked = Load({"example.com/unknown": 2, "example.com/kept": 1})
    columns.row_of(asked)
    columns.set_allocatable(row, {"cpu": 4000, "pods": 10, "example.com/kept": 1})
    generation = columns.generation
    columns.drop_unused()
    assert columns.names == ["cpu", "memory", "ephemeral-storage", "pods", "example.com/kept"]
    assert columns.generation > generation
    assert columns.free(row)["example.com/kept"] == 0
    assert columns.row_of(load).tolist() == [1000, 0, 0, 0, 1]
    columns.index("example.com/other")
    assert columns.row_of(asked).tolist() == [0, 0, 0, 0, 1, 0, 2]
    columns.promise(row, load, sign=-1)
    assert columns.free(row) == {
        "cpu": 4000,
        "memory": 0,
        "ephemeral-storage": 0,
        "pods": 10,
        "example.com/kept": 1,
        "example.com/other": 0,
        "example.com/unknown": 0,
    }


def test_columns_are_tidied_when_there_are_many() -> None:
    columns = Columns()
    for number in range(SPARE):
        columns.row_of(Load({f"example.com/r{number}": 1}))
        columns.tidy()
    assert len(columns.names) < SPARE
    columns.drop_unused()
    assert columns.names == list(FIRST)


def test_plain_numbers_of_a_row_are_by_the_columns_that_there_are() -> None:
    columns = Columns()
    row = columns.add_node("n")
    columns.index("example.com/gone")
    columns.set_allocatable(row, {"cpu": 4000, "memory": 5, "pods": 10, "example.com/kept": 1})
    columns.promise(row, Load({"cpu": 1000}))
    assert columns.numbers(row) == (4000, 5, 1000, 0, 1000, DEFAULT_BYTES, [3000, 5, 0, 10, 0, 1])
    columns.drop_unused()
    assert columns.numbers(row)[-1] == [3000, 5, 0, 10, 1]
    columns.index("example.com/new")
    assert columns.numbers(row)[-1] == [3000, 5, 0, 10, 1, 0]
    columns.promise(row, Load({"cpu": 500}))
    assert columns.numbers(row)[-1] == [2500, 5, 0, 10, 1, 0]
