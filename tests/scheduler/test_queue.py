"""Who is tried when: priority, back-off, and what change wakes whom."""

from bireme.client.informer import Key
from bireme.scheduler.interface import NOTHING, Lack
from bireme.scheduler.queue import SchedulingQueue

A, B = Key("default", "a"), Key("default", "b")


def test_higher_priority_goes_first_then_the_older() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    queue.add(B, priority=10, now=1.0)
    first = queue.take(now=1.0)
    assert first is not None
    assert first.key == B


def test_a_refused_pod_sleeps_until_something_helps_then_backs_off() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    waiting = queue.take(now=0.0)
    assert waiting is not None
    queue.give_back(waiting, Lack.AMOUNTS, now=0.0)
    queue.wake(Lack.PORTS, now=0.1)
    assert queue.take(now=100.0) is None
    queue.wake(Lack.AMOUNTS, now=100.0)
    again = queue.take(now=100.0)
    assert again is not None
    assert again.attempts == 2


def test_a_change_during_the_attempt_is_not_missed() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    waiting = queue.take(now=0.0)
    assert waiting is not None
    queue.wake(Lack.AMOUNTS, now=0.0)
    queue.give_back(waiting, Lack.AMOUNTS, now=0.0)
    assert queue.take(now=0.5) is None
    assert queue.take(now=1.0) is not None


def test_a_failed_binding_backs_off_one_second_then_two() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    now = 0.0
    for delay in (1.0, 2.0, 4.0, 8.0, 10.0):
        waiting = queue.take(now=now)
        assert waiting is not None
        queue.give_back(waiting, NOTHING, now=now)
        assert queue.next_due(now=now) == delay
        now += delay


def test_every_pod_is_tried_again_after_five_minutes() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    waiting = queue.take(now=0.0)
    assert waiting is not None
    queue.give_back(waiting, Lack.NODE, now=0.0)
    assert queue.next_due(now=0.0) == 300.0
    assert queue.take(now=299.0) is None
    assert queue.take(now=300.0) is not None


def test_a_removed_pod_does_not_come_back() -> None:
    queue = SchedulingQueue()
    queue.add(A, priority=0, now=0.0)
    waiting = queue.take(now=0.0)
    assert waiting is not None
    queue.remove(A)
    queue.give_back(waiting, NOTHING, now=0.0)
    assert queue.take(now=1000.0) is None
    assert queue.lengths().active == 0
