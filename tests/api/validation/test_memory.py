from bireme.api.validation.field import Problems
from bireme.api.validation.memory import Memory
from bireme.api.validation.pods import check_spec


def test_the_oldest_is_forgotten_first() -> None:
    memory = Memory(size=2)
    first, second, third = (memory.digest({"n": number}) for number in range(3))
    for digest in (first, second, third):
        memory.learn(digest)
    assert (first in memory, second in memory, third in memory) == (False, True, True)


def test_what_cannot_be_written_is_never_known() -> None:
    memory = Memory()
    memory.learn(memory.digest({"n": 1 << 70}))
    assert memory.digest({"n": 1 << 70}) not in memory


def test_a_wrong_spec_is_told_each_time() -> None:
    for _ in range(2):
        problems = Problems()
        check_spec(problems, {"containers": []}, "spec")
        assert problems
