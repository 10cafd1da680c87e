"""Numbers of a range, each given to one holder: the stock behind addresses and ports."""

import random as chance

RANDOM_TRIES = 16


class Taken(Exception):
    """Somebody has that number."""


class OutOfRange(Exception):
    """The number is not ours to give."""


class Full(Exception):
    """Nothing is left."""


class Numbers:
    """The numbers from `first` to `last`, each given to one holder; the lowest `reserved` ones last.

    Those in `named_only` are given only to who asks for them by name.
    """

    def __init__(
        self, first: int, last: int, *, reserved: int, random: chance.Random, named_only: range = range(0)
    ) -> None:
        self.first = first
        self.last = last
        self._dynamic = min(first + reserved, last)
        self._random = random
        self._named_only = named_only
        self._taken: set[int] = set()

    def take(self, number: int) -> None:
        """Take that very number. Raises Taken or OutOfRange."""
        if not self.first <= number <= self.last:
            raise OutOfRange
        if number in self._taken:
            raise Taken
        self._taken.add(number)

    def take_any(self) -> int:
        """Take some number, of the upper part while it has any. Raises Full."""
        for _ in range(RANDOM_TRIES):
            number: int = self._random.randint(self._dynamic, self.last)
            if number not in self._taken and number not in self._named_only:
                self._taken.add(number)
                return number
        for number in (*range(self._dynamic, self.last + 1), *range(self.first, self._dynamic)):
            if number not in self._taken and number not in self._named_only:
                self._taken.add(number)
                return number
        raise Full

    def give_back(self, number: int) -> None:
        """Let somebody else have it."""
        self._taken.discard(number)

    def __contains__(self, number: int) -> bool:
        return number in self._taken
