"""Frameworks in roles, numbered: a set of them is the bits of one number, and sets meet in one operation."""

from collections.abc import Iterable, Iterator

Seat = tuple[str, str]  # a role, and a framework in it


class Seats:
    """Numbers for (role, framework) pairs. A number is given again once its framework has left."""

    def __init__(self) -> None:
        self._numbers: dict[Seat, int] = {}
        self._seats: list[Seat] = []
        self._free: list[int] = []
        self._roles: dict[str, dict[str, int]] = {}

    def number(self, role: str, framework_id: str) -> int:
        """The number of a framework in a role, a new one if it has none."""
        seat = (role, framework_id)
        number = self._numbers.get(seat)
        if number is None:
            number = self._free.pop() if self._free else len(self._seats)
            self._seats[number : number + 1] = [seat]
            self._numbers[seat] = number
            self._roles.setdefault(framework_id, {})[role] = number
        return number

    def find(self, role: str, framework_id: str) -> int | None:
        """The number of a framework in a role, if it has one."""
        return self._numbers.get((role, framework_id))

    def seat(self, number: int) -> Seat:
        return self._seats[number]

    def of_each(self, numbers: Iterable[int]) -> list[Seat]:
        return list(map(self._seats.__getitem__, numbers))

    def of_framework(self, framework_id: str) -> dict[str, int]:
        """The numbers of a framework, by role."""
        return dict(self._roles.get(framework_id, {}))

    def give_up(self, framework_id: str) -> None:
        """The framework has left: its numbers may go to others."""
        for role, number in self._roles.pop(framework_id, {}).items():
            del self._numbers[role, framework_id]
            self._free.append(number)


def mask(numbers: Iterable[int]) -> int:
    """The set of these numbers."""
    bits = 0
    for number in numbers:
        bits |= 1 << number
    return bits


def union(sets: Iterable[int], *, most: int = -1) -> int:
    """The numbers that are in any of these sets. None are outside of `most`: once all of it is there, that is it."""
    found = 0
    for each in sets:
        found |= each
        if found == most:
            break
    return found


def members(bits: int) -> Iterator[int]:
    """The numbers in a set, from the lowest."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
