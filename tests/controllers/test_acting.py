import pytest

from bireme.api.errors import Forbidden
from bireme.controllers import acting


@pytest.mark.parametrize(
    ("count", "bad_from", "tried", "done"),
    [
        pytest.param(10, None, 10, 10, id="all go well"),
        pytest.param(500, 0, 1, 0, id="what cannot work is tried once"),
        pytest.param(500, 5, 7, 5, id="a batch with an error is the last"),
        pytest.param(0, None, 0, 0, id="nothing to do"),
    ],
)
async def test_in_batches(count: int, bad_from: int | None, tried: int, done: int) -> None:
    seen: list[int] = []

    async def act(number: int) -> int:
        seen.append(number)
        if bad_from is not None and number >= bad_from:
            raise Forbidden("no")
        return number

    outcome = await acting.in_batches(range(count), act)
    assert (len(seen), len(outcome.done)) == (tried, done)
    assert (outcome.error is None) == (bad_from is None)
