"""Sets of completion indexes as Jobs write them: "0-2,5,6" is 0, 1, 2, 5 and 6. Runs are of three or more."""

from collections.abc import Iterable


def parse(text: str) -> set[int]:
    """The numbers that the text names."""
    numbers: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def spelled(numbers: Iterable[int]) -> str:
    """The text for the numbers."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(_run(first, last) for first, last in runs)


def _run(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"
