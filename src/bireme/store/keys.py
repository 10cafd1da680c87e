"""Keys in order, and the bucket that each belongs to.

A bucket holds the keys of one resource: "/registry/<group>/<plural>/". Lists, counts, events and watchers
are looked for in one bucket, whatever the rest of the store holds.

`SortedKeys` is a list of short sorted runs: adding or removing a key moves at most one run (some
microseconds at 300,000 keys, against milliseconds for one flat list), and reading in order from any place
costs two bisections. The idea is that of Grant Jenks, Sorted Containers.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

RUN = 512


def bucket_of(key_or_prefix: str) -> str:
    """The bucket of a key, or the one that a prefix lies in; "" for what has less than four slashes."""
    parts = key_or_prefix.split("/", 4)
    if len(parts) < 5:
        return ""
    return f"{parts[0]}/{parts[1]}/{parts[2]}/{parts[3]}/"


def after_prefix(prefix: str) -> str | None:
    """The least text that is greater than all that begins with `prefix`; None when there is none."""
    for end in range(len(prefix) - 1, -1, -1):
        if prefix[end] != "\U0010ffff":
            return prefix[:end] + following(prefix[end])
    return None


def following(character: str) -> str:
    """The next character; surrogates are no text and are left out."""
    code = ord(character) + 1
    return chr(0xE000 if code == 0xD800 else code)


class SortedKeys:
    """A set of keys, always in order. Adding a key twice, or removing one that is not there, is an error."""

    __slots__ = ("_lasts", "_runs")

    def __init__(self) -> None:
        self._runs: list[list[str]] = []
        self._lasts: list[str] = []  # the greatest key of each run

    def add(self, key: str) -> None:
        """Put `key` in its place."""
        if not self._runs:
            self._runs.append([key])
            self._lasts.append(key)
            return
        at = min(bisect_left(self._lasts, key), len(self._runs) - 1)
        run = self._runs[at]
        insort(run, key)
        if len(run) > 2 * RUN:
            self._runs.insert(at + 1, run[RUN:])
            del run[RUN:]
            self._lasts.insert(at, run[-1])
            self._lasts[at + 1] = self._runs[at + 1][-1]
        else:
            self._lasts[at] = run[-1]

    def remove(self, key: str) -> None:
        """Take `key` out."""
        at = bisect_left(self._lasts, key)
        run = self._runs[at]
        place = bisect_left(run, key)
        if run[place] != key:
            raise KeyError(key)
        del run[place]
        if run:
            self._lasts[at] = run[-1]
        else:
            del self._runs[at], self._lasts[at]

    def under(self, prefix: str, after: str = "") -> Iterator[str]:
        """The keys that begin with `prefix` and are greater than `after`, in order."""
        end = after_prefix(prefix)
        at, place = self._start(prefix, after)
        for run in self._runs[at:]:
            if end is not None and run[-1] >= end:
                yield from run[place : bisect_left(run, end)]
                return
            yield from run[place:]
            place = 0

    def count(self, prefix: str, after: str = "") -> int:
        """How many keys `under` would give."""
        first = self._rank(*self._start(prefix, after))
        end = after_prefix(prefix)
        if end is None:
            return len(self) - first
        at = bisect_left(self._lasts, end)
        last = self._rank(at, bisect_left(self._runs[at], end) if at < len(self._runs) else 0)
        return max(0, last - first)

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def _start(self, prefix: str, after: str) -> tuple[int, int]:
        """Which run, and where in it, the keys from `prefix` on and beyond `after` begin."""
        find, sought = (bisect_right, after) if after and after >= prefix else (bisect_left, prefix)
        at = find(self._lasts, sought)
        return at, find(self._runs[at], sought) if at < len(self._runs) else 0

    def _rank(self, at: int, place: int) -> int:
        return sum(map(len, self._runs[:at])) + place
