"""Who is tried when: priority, back-off, and what change wakes whom."""

from collections.abc import Hashable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.client.informer import Key
from bireme.scheduler.interface import NOTHING, Lack
from bireme.scheduler.queue import SWEEP_AT, QueueLengths, SchedulingQueue, State, Waiting

A, B, C = Key("default", "a"), Key("default", "b"), Key("default", "c")


def taken(queue: SchedulingQueue, *, now: float) -> Waiting:
    waiting = queue.take(now=now)
    assert waiting is not None
    return waiting


def parked(*keys: Key, lack: Lack = Lack.AMOUNTS, group: Hashable = None) -> SchedulingQueue:
    """A queue whose pods were all tried at 0 and found nothing."""
    queue = SchedulingQueue()
    for key in keys:
        queue.add(key, priority=0, now=0.0)
        waiting = taken(queue, now=0.0)
        waiting.group = group
        queue.give_back(waiting, lack, now=0.0)
    return queue


def test_higher_priority_goes_first_then_the_older() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    queue.add(B, priority=10, now=1.0)
    queue.add(C, priority=0, now=2.0)
    assert [taken(queue, now=3.0).key for _ in range(3)] == [B, A, C]


def test_a_refused_pod_sleeps_until_something_helps() -> None:
    queue = parked(A)
    queue.wake(Lack.PORTS, now=0.1)
    assert queue.take(now=100.0) is None
    queue.wake(Lack.AMOUNTS, now=100.0)
    assert taken(queue, now=100.0).attempts == 2


def test_one_that_was_woken_waits_its_time_behind_those_that_are_ready() -> None:
    queue = parked(A)
    queue.add(B, priority=0, now=0.2)
    queue.wake(Lack.AMOUNTS, now=0.2)
    assert queue.lengths() == QueueLengths(active=1, backing_off=1, unschedulable=0)
    assert taken(queue, now=0.2).key == B
    assert taken(queue, now=0.2).key == A, "nothing else is to do"


def test_time_alone_makes_it_ready() -> None:
    queue = parked(A)
    queue.add(B, priority=-1, now=0.2)
    queue.wake(Lack.AMOUNTS, now=0.2)
    assert taken(queue, now=1.0).key == A


def test_a_change_during_the_attempt_is_not_missed() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    waiting = taken(queue, now=0.0)
    queue.wake(Lack.AMOUNTS, now=0.0)
    queue.give_back(waiting, Lack.AMOUNTS, now=0.0)
    assert queue.lengths().backing_off == 1


def test_a_failed_binding_backs_off_one_second_then_two() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    now = 0.0
    for delay in (1.0, 2.0, 4.0, 8.0, 10.0):
        waiting = taken(queue, now=now)
        queue.bind(waiting)
        queue.give_back(waiting, NOTHING, now=now)
        assert queue.next_due(now=now) == delay
        assert queue.take(now=now + delay / 2) is None
        now += delay


def test_every_pod_is_tried_again_after_five_minutes() -> None:
    queue = parked(A, lack=Lack.NODE)
    assert queue.next_due(now=0.0) == 30.0
    for now in range(30, 300, 30):
        assert queue.take(now=float(now)) is None
    assert taken(queue, now=300.0).key == A


def test_a_removed_pod_does_not_come_back() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    waiting = taken(queue, now=0.0)
    queue.remove(A)
    queue.give_back(waiting, NOTHING, now=0.0)
    assert queue.take(now=1000.0) is None
    assert queue.lengths() == QueueLengths(0, 0, 0)


def test_a_pod_made_again_is_another() -> None:
    queue = parked(A)
    queue.remove(A)
    queue.add(A, priority=0, now=5.0)
    assert taken(queue, now=5.0).attempts == 1


def test_a_pod_that_is_being_bound_is_not_tried_again() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    queue.bind(taken(queue, now=0.0))
    queue.add(A, priority=0, now=0.1)
    queue.wake(Lack.AMOUNTS, now=0.1)
    assert queue.take(now=1000.0) is None


def test_only_as_many_of_a_group_wake_as_can_be_helped_the_first_first() -> None:
    queue = SchedulingQueue()
    for number, priority in enumerate((0, 5, 5)):
        queue.add(Key("default", str(number)), priority=priority, now=float(number))
    for waiting in [taken(queue, now=3.0) for _ in range(3)]:
        waiting.group = "g"
        queue.give_back(waiting, Lack.AMOUNTS, now=3.0)
    assert queue.wake(Lack.AMOUNTS, now=4.0, helps=lambda _: 2) == 2
    assert [taken(queue, now=4.0).key.name for _ in range(2)] == ["1", "2"]
    assert queue.lengths().unschedulable == 1


def test_a_group_is_asked_about_once() -> None:
    queue = parked(*(Key("default", str(n)) for n in range(5000)), group="g")
    asked: list[Key] = []

    def helps(waiting: Waiting) -> int:
        asked.append(waiting.key)
        return 0

    assert queue.wake(Lack.AMOUNTS, now=1.0, helps=helps) == 0
    assert len(asked) == 1


def test_its_own_change_wakes_a_pod_at_once() -> None:
    queue = parked(A)
    queue.add(A, priority=7, now=0.1)
    waiting = taken(queue, now=0.1)
    assert waiting.priority == 7


actions = st.lists(
    st.tuples(st.sampled_from(["add", "take", "park", "fail", "bind", "remove", "wake", "wait"]), st.integers(0, 5)),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(actions)
def test_no_pod_is_lost_or_doubled(history: list[tuple[str, int]]) -> None:
    queue = SchedulingQueue()
    now, there, out = 0.0, set(), {}
    for action, value in history:
        key = Key("default", str(value))
        now += 0.3
        if action == "add":
            queue.add(key, priority=value, now=now)
            there.add(key)
        elif action == "remove":
            queue.remove(key)
            there.discard(key)
            out.pop(key, None)
        elif action == "take":
            waiting = queue.take(now=now)
            if waiting is not None:
                assert waiting.key in there
                assert waiting.key not in out
                out[waiting.key] = waiting
        elif action == "wake":
            queue.wake(Lack(1 << value % 3), now=now, helps=lambda _, most=value: most)
        elif action == "wait":
            now += value * 100
        elif key in out:
            waiting = out[key]
            if action == "bind" and waiting.state is State.TRIED:
                queue.bind(waiting)
            elif action != "bind":
                del out[key]
                waiting.group = value % 2
                queue.give_back(waiting, Lack(1 << value % 3) if action == "park" else NOTHING, now=now)
        lengths = queue.lengths()
        assert lengths.active + lengths.backing_off + lengths.unschedulable + len(out) == len(there)
        if lengths.active or lengths.backing_off or lengths.unschedulable:
            assert queue.next_due(now=now) is not None
    for waiting in out.values():
        queue.give_back(waiting, NOTHING, now=now)
    found = set()
    for _ in range(40):
        now += 30
        while (waiting := queue.take(now=now)) is not None:
            assert waiting.key not in found
            found.add(waiting.key)
    assert found == there


@pytest.mark.parametrize("lack", [Lack.PODS, Lack.VOLUMES | Lack.AMOUNTS])
def test_any_part_of_what_was_lacking_will_do(lack: Lack) -> None:
    queue = parked(A, lack=lack | Lack.NODE)
    assert queue.wake(lack, now=1.0) == 1


def test_pods_that_come_and_go_behind_one_that_stays_leave_nothing_behind() -> None:
    queue = parked(A, group="twins")
    for number in range(5000):
        key = Key("default", str(number))
        queue.add(key, priority=0, now=1.0)
        waiting = taken(queue, now=1.0)
        waiting.group = "twins"
        queue.give_back(waiting, Lack.AMOUNTS, now=1.0)
        queue.remove(key)
    (group,) = queue._groups.values()
    assert len(group.order) <= SWEEP_AT
    queue.wake(Lack.AMOUNTS, now=1.0)
    assert taken(queue, now=1.0).key == A


def test_who_settles_leaves_another_of_his_name_alone() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    first = taken(queue, now=0.0)
    queue.bind(first)
    queue.remove(A)
    queue.add(A, priority=0, now=1.0)
    queue.settle(first)
    second = taken(queue, now=1.0)
    queue.settle(second)
    assert queue.get(A) is None
